//! Statistics as `gridstone stats --json` prints them.

use serde_json::{Map, Value, json};

use super::pieces;
use crate::array::Number;
use crate::statistics::{ClassArea, Estimate, Stat, Statistics, Zones};

/// A figure that is known exactly, where a double may not be.
pub fn exactly(answer: &Statistics, stat: Stat) -> Option<Number> {
    match stat {
        Stat::Sum => answer.whole_sum.map(Number::from),
        Stat::Min => answer.extremes[0],
        Stat::Max => answer.extremes[1],
        _ => None,
    }
}

fn unserved_json(answer: &Statistics) -> Value {
    answer
        .unserved
        .iter()
        .map(|unserved| json!({ "what": unserved.what, "needs": unserved.needs }))
        .collect()
}

/// The statistics of one region.
pub fn statistics_json(answer: &Statistics) -> Value {
    let mut all = figures_json(answer);
    all.insert("unserved".to_owned(), unserved_json(answer));
    all.insert(
        "chunks_read".to_owned(),
        json!({ "base": answer.chunks_read.base, "aggregate": answer.chunks_read.aggregate }),
    );
    Value::Object(all)
}

fn figures_json(answer: &Statistics) -> Map<String, Value> {
    let mut all = Map::new();
    let mut bounds = Map::new();
    let figures = Stat::ALL
        .into_iter()
        .map(|stat| (stat.name(), answer.get(stat)))
        .chain([("area", answer.area)]);
    for (name, estimate) in figures {
        all.insert(
            name.to_owned(),
            json!(estimate.map(|estimate| estimate.value)),
        );
        if let Some(estimate) = estimate.filter(|estimate| !estimate.is_exact()) {
            bounds.insert(name.to_owned(), json!([estimate.low, estimate.high]));
        }
    }
    if let Some(sum) = answer.whole_sum {
        all.insert("sum".to_owned(), pieces::whole(sum));
    }
    for stat in [Stat::Min, Stat::Max] {
        exactly(answer, stat)
            .into_iter()
            .for_each(|exact| drop(all.insert(stat.name().to_owned(), pieces::number(exact))));
    }
    let value = |estimate: &Estimate| estimate.value;
    let histogram = answer.histogram.as_ref().map(|histogram| {
        if !answer.exact {
            let counts = histogram.counts.iter().map(|count| json!([count.low, count.high]));
            bounds.insert("histogram".to_owned(), counts.collect());
        }
        json!({
            "edges": histogram.bins.exact().iter().map(|edge| pieces::number(*edge)).collect::<Vec<_>>(),
            "counts": histogram.counts.iter().map(value).collect::<Vec<_>>(),
            "below": value(&histogram.below), "above": value(&histogram.above),
        })
    });
    let classes = answer.classes.as_ref().map(|classes| {
        if let Some(class) = classes.first().filter(|_| !answer.exact) {
            // Every class, known or not, can have as many cells more.
            bounds.insert("classes".to_owned(), json!([0.0, class.count.high - class.count.low]));
        }
        let class = |class: &ClassArea| {
            json!({ "value": pieces::number(class.exact), "count": class.count.value, "area": class.area.value })
        };
        classes.iter().map(class).collect::<Vec<_>>()
    });
    all.insert("histogram".to_owned(), json!(histogram));
    all.insert("classes".to_owned(), json!(classes));
    all.insert("exact".to_owned(), json!(answer.exact));
    all.insert("bounds".to_owned(), Value::Object(bounds));
    all
}

/// The statistics of several regions, each with its name and what is said of it.
pub fn zones_json<'a>(
    named: impl Iterator<Item = (&'a str, &'a Value)>,
    zones: &Zones<Statistics>,
) -> Value {
    let of_feature = |((name, properties), answer): ((&str, &Value), &Statistics)| {
        let mut all = figures_json(answer);
        all.insert("name".to_owned(), json!(name));
        all.insert("properties".to_owned(), properties.clone());
        Value::Object(all)
    };
    let features: Vec<Value> = named.zip(&zones.each).map(of_feature).collect();
    let unserved = zones
        .each
        .first()
        .map_or(Value::Array(Vec::new()), unserved_json);
    let read = json!({ "base": zones.chunks_read.base, "aggregate": zones.chunks_read.aggregate });
    json!({ "features": features, "unserved": unserved, "chunks_read": read })
}
