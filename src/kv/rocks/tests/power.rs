//! What a loss of power or a failed write leaves.

use super::*;

/// Power loss leaves any part of what was not synced; what comes back is all that was synced and a
/// prefix of the rest.
#[test]
fn a_torn_tail_is_no_damage() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    for key in 0..4 {
        put(&engine, key, 30, Durability::Sync);
    }
    let log = file_of(place.path(), ".log");
    let synced = fs::read(&log).expect("readable").len();
    for key in 4..9 {
        put(&engine, key, 30, Durability::Buffered);
    }
    let image = killed(place.path());
    let whole = fs::read(&log).expect("readable");
    let name = log.file_name().expect("a name");
    let zeros = |cut: usize| [&whole[..cut], &[0; 9000]].concat();
    let garbage = |cut: usize| [&whole[..cut], &[5; 3000]].concat();
    for cut in (synced..whole.len()).step_by(23) {
        for (kind, tail) in [
            ("cut", whole[..cut].to_vec()),
            ("zeros", zeros(cut)),
            ("garbage", garbage(cut)),
        ] {
            let torn = killed(image.path());
            fs::write(torn.path().join(name), tail).expect("written");
            let engine = match open(torn.path()) {
                // Garbage in the place of a record's last byte is a damaged byte.
                Err(error)
                    if kind == "garbage"
                        && error.to_string().contains("is not what was written") =>
                {
                    continue;
                }
                opened => opened.unwrap_or_else(|error| panic!("{kind} at {cut}: {error}")),
            };
            let keys = count(&engine);
            assert!((4..9).contains(&keys), "{kind} at {cut}: {keys}");
            put(
                &engine,
                u32::try_from(keys).expect("few"),
                10,
                Durability::Sync,
            );
            drop(engine);
            assert_eq!(count(&open(torn.path()).expect("reopened")), keys + 1);
        }
    }
}

/// Recovery would take a log that begins after the lost end of another one.
#[test]
fn a_hole_between_logs_ends_recovery_there() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    put(&engine, 0, 30, Durability::Sync);
    let synced = fs::read(file_of(place.path(), ".log"))
        .expect("readable")
        .len();
    put(&engine, 1, 30, Durability::Buffered);
    let first = file_of(place.path(), ".log");
    // A copy made before the flush has the manifest that needs both logs.
    let image = killed(place.path());
    engine.flush_space(Space::Dirty).expect("flushed");
    put(&engine, 2, 30, Durability::Buffered);
    let second = file_of(place.path(), ".log");
    assert_ne!(first, second);
    fs::copy(
        &second,
        image.path().join(second.file_name().expect("a name")),
    )
    .expect("copied");
    let truncated = image.path().join(first.file_name().expect("a name"));
    fs::OpenOptions::new()
        .write(true)
        .open(truncated)
        .and_then(|file| file.set_len(synced as u64 + 9))
        .expect("cut");
    let engine = open(image.path()).expect("nothing that was synced is lost");
    assert_eq!(count(&engine), 1);
    assert!(
        image
            .path()
            .join("quarantine-1")
            .join(second.file_name().expect("a name"))
            .exists()
    );
}

/// The database writes an edit of its manifest, is told that this failed, and takes back the file
/// that the edit names; the edit may be on the medium all the same.
#[test]
fn an_edit_of_the_manifest_whose_files_were_taken_back_does_not_count() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    (0..3).for_each(|key| put(&engine, key, 30, Durability::Sync));
    let before = killed(place.path());
    engine.flush().expect("flushed");
    let after = killed(place.path());
    let manifest = file_of(after.path(), "MANIFEST-");
    fs::copy(
        &manifest,
        before.path().join(manifest.file_name().expect("a name")),
    )
    .expect("copied");
    // What was promised is as it was before the edit.
    let engine = open(before.path()).expect("the state before the edit is whole");
    assert_eq!(count(&engine), 3);
    put(&engine, 3, 30, Durability::Sync);
    drop(engine);
    assert_eq!(count(&open(before.path()).expect("reopened")), 4);
    // An edit that was promised is another matter.
    let lost = file_of(after.path(), ".sst");
    fs::remove_file(&lost).expect("removed");
    let refused = open(after.path()).expect_err("a file is missing");
    let name = lost
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert_eq!(refused.kind(), &ErrorKind::Corrupt);
    assert!(refused.to_string().contains(&name), "{refused}");
}

/// The same of a whole new manifest that was taken back, or names files that were.
#[test]
fn a_manifest_that_was_taken_back_does_not_count() {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    (0..3).for_each(|key| put(&engine, key, 30, Durability::Sync));
    let before = killed(place.path());
    let last = file_of(before.path(), "MANIFEST-");
    let next = before.path().join("MANIFEST-000990");
    for there in [false, true] {
        fs::write(before.path().join("CURRENT"), "MANIFEST-000990\n").expect("written");
        if there {
            engine.flush().expect("flushed");
            let after = killed(place.path());
            fs::copy(file_of(after.path(), "MANIFEST-"), &next).expect("copied");
        }
        let image = directory();
        copy(before.path(), image.path()).expect("copied");
        let engine = open(image.path()).expect("the last manifest is whole");
        assert_eq!(count(&engine), 3, "{there}");
    }
    fs::remove_file(&last).expect("removed");
    fs::remove_file(&next).expect("removed");
    assert_eq!(
        open(before.path()).expect_err("there is none").kind(),
        &ErrorKind::Corrupt
    );
}
