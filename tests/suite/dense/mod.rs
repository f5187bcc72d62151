//! Random histories over all verbs against a dense model, written from the documentation alone.
//!
//! A grid is an array of all its cells at the finest level that a history puts ([`ground`]), and
//! each answer is computed anew from that array ([`want`]). Histories are drawn so that trouble is
//! near ([`design`], [`step`]): small chunks, a few places hit again and again at several levels
//! between two aggregations, blank chunks, data far away on both sides of the origin, nodata values
//! that sums are equal to.
//!
//! `make soak SECONDS=3600` runs as long as it is told. A history that fails is shortened and
//! printed with a line that goes into `regressions.jsonl`, from which it is played again in every
//! run.

mod acts;
mod along;
mod design;
mod events;
mod faults;
mod figures;
mod ground;
mod kernels;
mod linear;
mod look;
mod model;
mod play;
mod region;
mod resampled;
mod shrink;
mod space;
mod step;
mod stepwise;
mod want;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use gridstone::{DType, Schema};
use play::{History, play};

use crate::check::Dice;

/// Draws a history.
fn history(seed: u64) -> History {
    let mut dice = Dice(seed);
    let designs: Vec<_> = (0..dice.pick(&[1, 1, 1, 2]))
        .map(|_| design::design(&mut dice))
        .collect();
    let (durable, policy) = (dice.chance(3), u8::try_from(dice.range(0, 5)).unwrap());
    let count = usize::try_from(dice.pick(&[8, 16, 25, 25, 40])).unwrap();
    let steps = step::Source::new(&designs).steps(&mut dice, count);
    History {
        designs,
        durable,
        policy,
        steps,
    }
}

/// Plays a history; a panic is a failure too.
fn outcome(history: &History) -> Result<(), (usize, String)> {
    catch_unwind(AssertUnwindSafe(|| play(history))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err((history.steps.len(), format!("a panic: {text:?}")))
    })
}

/// A failure as a person reads it, and as it is played again. One that background threads have a
/// part in may not come again: then it is told as it was first.
fn report(seed: u64, history: &History, first: (usize, String), time: Duration) -> String {
    let short = shrink::shrink(history.clone(), time, &|history| outcome(history).is_err());
    let (at, why) = outcome(&short).err().unwrap_or(first);
    let steps: Vec<String> = short
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| format!("  {i}: {step:?}"))
        .collect();
    let designs: Vec<String> = short.designs.iter().map(design::Design::told).collect();
    let line = serde_json::to_string(&short).unwrap();
    format!(
        "seed {seed}: after step {at} of {} ({} at first): {why}\n{}\npolicy {:?}, durable {}\n{}\n{line}\n",
        short.steps.len(),
        history.steps.len(),
        designs.join("\n"),
        play::policy(short.policy),
        short.durable,
        steps.join("\n")
    )
}

/// Plays histories for some time, so many at most; how many there were, and reports of those that
/// failed.
fn run((first, most): (u64, u64), time: Duration, failures: usize) -> (u64, Vec<String>) {
    let (since, mut reports, mut count) = (Instant::now(), Vec::new(), 0);
    while count < most && since.elapsed() < time && reports.len() < failures {
        let (seed, drawn) = (first + count, history(first + count));
        count += 1;
        if let Err(first) = outcome(&drawn) {
            let report = report(seed, &drawn, first, Duration::from_secs(20));
            println!("{:?} after {count} histories\n{report}", since.elapsed());
            reports.push(report);
        }
    }
    (count, reports)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// A history as it was written down. What schemas have since then is as it is by default.
fn remembered(line: &str) -> History {
    let mut history: serde_json::Value = serde_json::from_str(line).unwrap();
    for design in history["designs"].as_array_mut().unwrap() {
        let structure = serde_json::from_value(design["schema"]["structure"].clone()).unwrap();
        let plain =
            serde_json::to_value(Schema::builder(structure, DType::U8).build().unwrap()).unwrap();
        let schema = design["schema"].as_object_mut().unwrap();
        for (key, value) in plain.as_object().unwrap() {
            schema.entry(key).or_insert_with(|| value.clone());
        }
    }
    serde_json::from_value(history).unwrap()
}

#[test]
fn i7_i9_i10_histories_that_failed_once_agree_with_the_dense_model() {
    for (number, line) in include_str!("regressions.jsonl").lines().enumerate() {
        let history = remembered(line);
        assert_eq!(outcome(&history), Ok(()), "line {}", number + 1);
    }
}

#[test]
fn i7_i9_i10_random_histories_agree_with_the_dense_model() {
    let (seed, seconds) = (
        setting("GRIDSTONE_SEED", 1),
        setting("GRIDSTONE_SECONDS", 15),
    );
    let most = u64::from(crate::check::cases(40));
    let (count, reports) = run((seed, most), Duration::from_secs(seconds), 1);
    assert_eq!(
        reports,
        [] as [String; 0],
        "of {count} histories from seed {seed} on"
    );
    assert!(count > 0, "no time, or no cases");
}

/// For hours: `make soak`.
#[test]
#[ignore = "runs as long as it is told"]
fn soak() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (seed, seconds) = (
        setting("GRIDSTONE_SEED", now << 20),
        setting("GRIDSTONE_SECONDS", 60),
    );
    let failures = usize::try_from(setting("GRIDSTONE_FAILURES", 20)).unwrap();
    println!("seed {seed}, {seconds} seconds");
    let (count, reports) = run((seed, u64::MAX), Duration::from_secs(seconds), failures);
    println!("{count} histories, {} failed", reports.len());
    assert_eq!(reports.len(), 0);
}
