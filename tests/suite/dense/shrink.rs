//! Makes a history that fails shorter.

use std::time::{Duration, Instant};

use super::play::History;
use super::step::Op;

/// A history as short as can be found in some time that fails too, in whatever way.
pub fn shrink(mut history: History, time: Duration, fails: &dyn Fn(&History) -> bool) -> History {
    let since = Instant::now();
    let mut part = history.steps.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let before = history.steps.len();
        while at < history.steps.len() {
            if since.elapsed() > time {
                return history;
            }
            let mut less = history.clone();
            less.steps.drain(at..(at + part).min(less.steps.len()));
            if fails(&less) {
                history = less;
            } else {
                at += part;
            }
        }
        match part {
            1 if history.steps.len() == before => return acts(history, since, time, fails),
            1 => {}
            _ => part = part.div_ceil(2),
        }
    }
}

/// The same with fewer acts in its batches.
fn acts(
    mut history: History,
    since: Instant,
    time: Duration,
    fails: &dyn Fn(&History) -> bool,
) -> History {
    for step in 0..history.steps.len() {
        let mut at = 0;
        loop {
            let mut less = history.clone();
            let Op::Batch { acts, .. } = &mut less.steps[step].op else {
                break;
            };
            if acts.len() <= 1 || at >= acts.len() || since.elapsed() > time {
                break;
            }
            acts.remove(at);
            if fails(&less) {
                history = less;
            } else {
                at += 1;
            }
        }
    }
    history
}
