//! The coordination of a store's threads, as a plain structure.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use super::backlog::{Backlog, CommitRoom, MarkChanges, Outcome};
use crate::error::ErrorKind;
use crate::key::GridId;

const GRID: GridId = GridId(7);
const FIRST: u64 = 100;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn left(marks: &[u64]) -> MarkChanges {
    let mut changes = MarkChanges::default();
    marks
        .iter()
        .for_each(|sequence| changes.leave(GRID, *sequence));
    changes
}

fn consumed(marks: &[u64]) -> MarkChanges {
    let mut changes = MarkChanges::default();
    marks
        .iter()
        .for_each(|sequence| changes.consume(GRID, *sequence));
    changes
}

fn commit(backlog: &Backlog, changes: &MarkChanges, derived: bool, now: u64) {
    backlog.announce(changes, derived, at(now)).unwrap();
    backlog.committed(changes);
}

/// Whether a wait that takes no time ends well.
fn is_done(backlog: &Backlog, sequence: u64) -> bool {
    match backlog.wait(GRID, sequence, Duration::ZERO, &|| Duration::ZERO) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::TimedOut);
            false
        }
    }
}

#[test]
fn marks_count_from_the_announcement_to_the_commit_that_consumes_them() {
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 2);
    assert_eq!(
        (backlog.pending(GRID).marks, backlog.pending(GRID).since),
        (2, Some(at(0)))
    );
    let changes = left(&[101, 101, 101]);
    backlog.announce(&changes, false, at(5)).unwrap();
    assert_eq!(backlog.pending(GRID).marks, 5);
    backlog.retract(&changes);
    assert_eq!(backlog.pending(GRID).marks, 2);
    commit(&backlog, &left(&[102, 102]), false, 6);
    commit(&backlog, &left(&[103]), false, 9);
    commit(&backlog, &consumed(&[7, 8]), true, 10);
    assert_eq!(
        (backlog.pending(GRID).marks, backlog.pending(GRID).since),
        (3, Some(at(6)))
    );
    commit(&backlog, &consumed(&[102, 102]), true, 11);
    assert_eq!(
        (backlog.pending(GRID).marks, backlog.pending(GRID).since),
        (1, Some(at(9)))
    );
    commit(&backlog, &consumed(&[103, 999]), true, 12);
    assert_eq!(
        backlog.pending(GRID),
        super::backlog::Pending::default(),
        "a mark that was never counted changes nothing"
    );
}

#[test]
fn a_wait_ends_when_no_mark_of_a_commit_up_to_it_is_left() {
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 1);
    commit(&backlog, &left(&[101]), false, 0);
    commit(&backlog, &left(&[102]), false, 0);
    commit(&backlog, &consumed(&[101]), true, 0);
    assert!(!is_done(&backlog, 101), "a mark is older than this process");
    commit(&backlog, &consumed(&[3]), true, 0);
    assert!(is_done(&backlog, 101) && !is_done(&backlog, 102));
    commit(&backlog, &consumed(&[102]), true, 0);
    assert!(is_done(&backlog, u64::MAX));
}

#[test]
fn marks_of_a_step_count_as_those_that_they_come_from() {
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 0);
    commit(&backlog, &left(&[101]), false, 1);
    commit(&backlog, &left(&[102]), false, 2);
    // The pyramid rises: what that leaves may concern the oldest commit that is pending.
    commit(&backlog, &left(&[103, 103]), true, 3);
    commit(&backlog, &consumed(&[101, 102]), true, 4);
    assert!(!is_done(&backlog, 101));
    assert_eq!(
        (backlog.pending(GRID).marks, backlog.pending(GRID).since),
        (2, Some(at(1)))
    );
    let mut on = consumed(&[103]);
    on.leave(GRID, 104);
    commit(&backlog, &on, true, 5);
    commit(&backlog, &consumed(&[103]), true, 6);
    assert!(
        !is_done(&backlog, 101),
        "104 comes from 103, which comes from 101"
    );
    commit(&backlog, &consumed(&[104]), true, 7);
    assert!(is_done(&backlog, u64::MAX));
}

#[test]
fn a_grid_whose_step_failed_rests_twice_as_long_each_time() {
    let (backlog, other) = (Backlog::new(FIRST, Duration::ZERO), GridId(8));
    backlog.found(GRID, 1);
    let mut now = at(0);
    for rest in [100, 200, 400, 800, 1600] {
        assert_eq!(backlog.take(&|| now), Some(GRID));
        backlog.hand_back(GRID, Outcome::Failed("no space".into()), now);
        commit(&backlog, &left(&[101]), false, 0);
        now += Duration::from_millis(rest - 1);
        // Another grid is in line, so that taking does not wait.
        backlog.found(other, 1);
        assert_eq!(
            backlog.take(&|| now),
            Some(other),
            "a commit does not cut the rest short"
        );
        backlog.hand_back(other, Outcome::Done, now);
        now += Duration::from_millis(1);
    }
    assert_eq!(
        (
            backlog.pending(GRID).failures,
            backlog.pending(GRID).failure.as_deref()
        ),
        (5, Some("no space"))
    );
    let late = backlog
        .wait(GRID, 101, Duration::ZERO, &|| now)
        .unwrap_err();
    assert_eq!(
        std::error::Error::source(&late).unwrap().to_string(),
        "no space"
    );
    assert_eq!(backlog.take(&|| now), Some(GRID), "the rest is over");
    backlog.hand_back(GRID, Outcome::Done, now);
    assert_eq!(backlog.pending(GRID).failure, None);
}

#[test]
fn a_commit_has_room_below_the_limit_and_helps_above_it() {
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 0);
    commit(&backlog, &left(&[101, 101, 101]), false, 0);
    backlog.announce(&left(&[102, 102]), false, at(0)).unwrap();
    assert_eq!(backlog.make_room(GRID, 5).unwrap(), CommitRoom::Enough);
    assert_eq!(backlog.make_room(GRID, 2).unwrap(), CommitRoom::Help);
    backlog.hand_back(GRID, Outcome::More, at(0));
    assert_eq!(
        backlog.take(&|| at(0)),
        Some(GRID),
        "the turn is free again"
    );
    commit(&backlog, &consumed(&[101, 101, 101]), true, 0);
    backlog.hand_back(GRID, Outcome::Done, at(0));
}

/// Steps may take the latest marks first, and do here.
#[test]
fn a_commit_waits_when_as_many_marks_as_may_be_pending_were_consumed_before_the_oldest() {
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 0);
    commit(&backlog, &left(&[101]), false, 0);
    for sequence in 102..105 {
        assert_eq!(
            backlog.make_room(GRID, 2).unwrap(),
            CommitRoom::Enough,
            "before {sequence}"
        );
        commit(&backlog, &left(&[sequence]), false, 0);
        commit(&backlog, &consumed(&[sequence]), true, 0);
    }
    assert_eq!(backlog.make_room(GRID, 2).unwrap(), CommitRoom::Help);
    commit(&backlog, &consumed(&[101]), true, 0);
    backlog.hand_back(GRID, Outcome::Done, at(0));
    assert_eq!(backlog.make_room(GRID, 2).unwrap(), CommitRoom::Enough);
    // The same for what was found.
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 1);
    for sequence in 102..105 {
        commit(&backlog, &left(&[sequence]), false, 0);
        commit(&backlog, &consumed(&[sequence]), true, 0);
    }
    assert_eq!(backlog.make_room(GRID, 2).unwrap(), CommitRoom::Help);
}

#[test]
fn poison_and_the_end_refuse_what_comes_after() {
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 1);
    backlog.poison(ErrorKind::Poisoned, "it panicked".into());
    for refused in [
        backlog.announce(&left(&[101]), false, at(0)).unwrap_err(),
        backlog.make_room(GRID, 0).unwrap_err(),
        backlog
            .wait(GRID, 100, Duration::MAX, &|| at(0))
            .unwrap_err(),
        backlog.admit().unwrap_err(),
    ] {
        assert_eq!(refused.kind(), &ErrorKind::Poisoned);
        assert_eq!(
            std::error::Error::source(&refused).unwrap().to_string(),
            "it panicked"
        );
    }
    assert_eq!(backlog.take(&|| at(0)), None);
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 1);
    backlog.stop(true);
    assert_eq!(backlog.admit().unwrap_err().kind(), &ErrorKind::Unavailable);
    assert_eq!(
        backlog
            .wait(GRID, 100, Duration::MAX, &|| at(0))
            .unwrap_err()
            .kind(),
        &ErrorKind::Unavailable
    );
    backlog.announce(&consumed(&[1]), true, at(0)).unwrap();
    assert_eq!(backlog.take(&|| at(0)), None);
}

/// What damage blocks rests; marks that come are not kept waiting by that.
#[test]
fn marks_that_come_while_others_are_blocked_are_taken_at_once() {
    let backlog = Backlog::new(FIRST, Duration::ZERO);
    backlog.found(GRID, 0);
    commit(&backlog, &left(&[101]), false, 0);
    for round in 100..103 {
        // It would rest for longer than any clock here goes.
        assert_eq!(backlog.take(&|| at(100)), Some(GRID));
        if round == 102 {
            // Marks may come while it is found out, too.
            commit(&backlog, &left(&[round + 10]), false, 100);
        }
        backlog.hand_back(GRID, Outcome::Blocked("damaged".into()), at(100));
        assert!(backlog.pending(GRID).failure.is_some());
        if round < 102 {
            commit(&backlog, &left(&[round]), false, 100);
        }
    }
    assert_eq!(backlog.take(&|| at(100)), Some(GRID));
}
