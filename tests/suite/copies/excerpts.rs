//! A grid kept equal to a part of another, or to the cells of one of its layers.

use gridstone::{
    Aggregation, ErrorKind, Excerpt, Freshness, Grid, Layer, Levels, Query, SchemaBuilder, Store,
    Window,
};
use proptest::prelude::*;

use super::model::{Pair, change, pair, store, window};
use crate::check::{self, Dice};

/// What is asked of a copy, so that a test can tell what it should hold.
#[derive(Clone, Debug)]
pub struct Asked {
    pub part: Option<Window>,
    pub layer: Option<(Aggregation, Levels)>,
}

impl Asked {
    pub fn excerpt(&self) -> Excerpt {
        let excerpt = self
            .part
            .iter()
            .fold(Excerpt::all(), |excerpt, part| excerpt.window(part));
        self.layer.iter().fold(excerpt, |excerpt, (of, levels)| {
            excerpt.layer(of.clone(), *levels)
        })
    }

    /// What is in the part, of cells that are widened to the coarsest of the base, or are of the
    /// layer's levels.
    fn held(&self, source: &Grid, fine: Levels) -> Option<Window> {
        let structure = source.structure();
        let bounds = source.bounds().unwrap()?;
        let of_base = source.levels_in_use().unwrap().last().copied().unwrap();
        let whole = self.layer.as_ref().map_or(of_base, |(_, levels)| *levels);
        let bounds = structure.cover(&structure.cover(&bounds, self.finest(source)), fine);
        let Some(part) = &self.part else {
            return Some(bounds);
        };
        let widened = structure.cover(&structure.cover(part, whole), fine);
        structure.intersection(&bounds, &widened)
    }

    /// The levels of the finest cells that are copied.
    fn finest(&self, source: &Grid) -> Levels {
        match &self.layer {
            Some((_, levels)) => *levels,
            None => source.base_levels().unwrap().unwrap(),
        }
    }

    /// Whether a target holds exactly that.
    pub fn compare(&self, source: &Grid, target: &Grid) -> Result<(), String> {
        let structure = source.structure();
        let none = |what: &str| match target.bounds().unwrap() {
            None if target.stored_chunks().unwrap().is_empty() => Ok(()),
            there => Err(format!("{what}, and {there:?} here")),
        };
        if source.bounds().unwrap().is_none() {
            return none("nothing was put");
        }
        let finest = self.finest(source);
        let Some(held) = self.held(source, finest) else {
            return none("nothing is in the part");
        };
        let there = target.base_levels().unwrap();
        let Some(there) = there else {
            return Err(format!("{held:?} was put, and nothing here"));
        };
        let wide = structure.cover(&held, there);
        if target.bounds().unwrap() != Some(wide) {
            return Err(format!("{wide:?} was put, and {:?} here", target.bounds()));
        }
        let fine: Levels = finest
            .iter()
            .zip(there.iter())
            .map(|(a, b)| *a.min(b))
            .collect();
        // All that was put, and what lies around it.
        let all = structure.cover(&source.bounds().unwrap().unwrap(), fine);
        let held = structure.cover(&held, fine);
        let values = |grid: &Grid, window: &Window, layer: Option<&Aggregation>| {
            let levels = layer.map_or_else(|| grid.base_levels().unwrap().unwrap(), |_| fine);
            let window = structure.cover(window, levels);
            let layer = layer.map_or(Layer::Base, |layer| Layer::Aggregate(layer.clone()));
            let query = Query::window(window)
                .layer(layer)
                .freshness(Freshness::Fresh);
            let answer = grid.read(&query).unwrap();
            let values: Vec<Option<u64>> = answer
                .values()
                .map(|value| value.map(f64::to_bits))
                .collect();
            (window, values)
        };
        let of = self.layer.as_ref().map(|(of, _)| of);
        let (theirs, ours) = (values(source, &all, of), values(target, &all, None));
        let at = |(window, values): &(Window, Vec<Option<u64>>), cell: &[i64]| {
            let one =
                Window::new(cell, gridstone::Shape::from(vec![1; cell.len()].as_slice())).at(fine);
            let one = structure.cover(&one, window.levels(0));
            let number = one
                .start()
                .iter()
                .zip(window.start().iter().zip(window.shape().iter()))
                .fold(0, |number, (cell, (first, len))| {
                    number * usize::try_from(*len).unwrap() + usize::try_from(cell - first).unwrap()
                });
            values[number]
        };
        for index in crate::oracle::indices(&all.shape()) {
            let cell: Vec<i64> = index
                .iter()
                .zip(all.start().iter())
                .map(|(index, start)| index + start)
                .collect();
            let inside = cell
                .iter()
                .zip(held.start().iter().zip(held.end().iter()))
                .all(|(cell, (first, end))| (first..end).contains(&cell));
            let nothing = (of == Some(&Aggregation::Count)).then_some(0.0_f64.to_bits());
            let want = at(&theirs, &cell).filter(|value| inside && Some(*value) != nothing);
            let got = at(&ours, &cell);
            if want != got {
                return Err(format!(
                    "cell {cell:?} at {fine:?}, in the part: {inside}, is {want:?}, and {got:?} here"
                ));
            }
        }
        Ok(())
    }
}

fn asked(dice: &mut Dice, pair: &Pair, layered: bool) -> Asked {
    let schema = &pair.schemas[0];
    let layer = layered.then(|| {
        let of = dice.pick(schema.aggregators());
        let up = |dice: &mut Dice, d: usize| {
            if schema.structure().dimensions()[d].is_fixed() {
                0
            } else {
                pair.base[d] + dice.pick(&[0, 1, 1, 2, 3])
            }
        };
        let levels: Vec<i8> = (0..pair.base.len()).map(|d| up(dice, d)).collect();
        (of, check::levels(&levels))
    });
    let part = (!layered || dice.chance(50)).then(|| {
        let at: Vec<i8> = pair
            .base
            .iter()
            .zip(schema.structure().dimensions())
            .map(|(level, d)| {
                if d.is_fixed() {
                    0
                } else {
                    level + dice.pick(&[0, 0, 1])
                }
            })
            .collect();
        window(dice, schema, &at)
    });
    Asked { part, layer }
}

/// Whether what is asked is refused for what the source has now.
fn is_refused(error: &gridstone::Error) -> bool {
    let refused = [
        "have other cells",
        "to be copied: it has",
        "is finer than its cells",
        "it holds data at levels",
    ];
    *error.kind() == ErrorKind::Invalid
        && refused.iter().any(|what| error.to_string().contains(what))
}

fn run(seed: u64, rounds: usize, layered: bool) -> Result<(), String> {
    let mut dice = Dice(seed);
    let pair = pair(&mut dice);
    let stores: [Store; 2] = [store(&mut dice, 1_000_000), store(&mut dice, 1_000_000)];
    let source = stores[0].create("source", pair.schemas[0].clone()).unwrap();
    let mut asked = asked(&mut dice, &pair, layered);
    let schema = if layered {
        let chunk: Vec<u32> = pair.schemas[usize::from(dice.chance(50))]
            .structure()
            .axes()
            .map(|axis| axis.chunk())
            .collect();
        let schema = asked.excerpt().schema(&source).unwrap();
        // Labels stay in the chunks they are in.
        let fixed = source.structure().dimensions().iter().any(|d| d.is_fixed());
        if fixed {
            schema
        } else {
            schema.rechunked(chunk).unwrap()
        }
    } else {
        let schema = SchemaBuilder::from(pair.schemas[1].clone());
        let codec = dice.pick(&[gridstone::Codec::Fast, gridstone::Codec::Small]);
        schema.codec(codec).build().unwrap()
    };
    let target = stores[usize::from(dice.chance(50))]
        .create("target", schema)
        .unwrap();
    for round in 0..rounds {
        for _ in 0..dice.range(0, 4) {
            change(&mut dice, &source, &pair);
        }
        if dice.chance(20) {
            asked.part = Some(window(&mut dice, source.schema(), &pair.base));
        }
        let updated = match target.update_from_excerpt(&source, &asked.excerpt()) {
            Err(error) if is_refused(&error) => return Ok(()),
            updated => updated.map_err(|error| format!("round {round}, {asked:?}: {error}"))?,
        };
        for _ in 0..2 {
            let wrong = |what: String| format!("round {round}, {asked:?}, {updated:?}: {what}");
            asked.compare(&source, &target).map_err(wrong)?;
            let findings = target.store().verify().unwrap().findings;
            if !findings.is_empty() {
                return Err(wrong(format!("verify finds {findings:?}")));
            }
            target.aggregate().unwrap();
        }
        let again = target
            .update_from_excerpt(&source, &asked.excerpt())
            .unwrap();
        assert_eq!(
            (again.full, again.cells, again.chunks, again.chunks_read),
            (false, 0, 0, 0),
            "nothing is new"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: check::cases(100), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn i7_a_copy_of_a_part_has_the_cells_of_it_and_no_others(seed: u64, rounds in 1..6_usize) {
        if let Err(wrong) = run(seed, rounds, false) {
            prop_assert!(false, "{}", wrong);
        }
    }

    #[test]
    fn i7_a_copy_of_a_layer_has_the_cells_of_it_at_its_levels(seed: u64, rounds in 1..6_usize) {
        if let Err(wrong) = run(seed, rounds, true) {
            prop_assert!(false, "{}", wrong);
        }
    }
}
