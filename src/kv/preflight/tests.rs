use std::collections::BTreeMap;
use std::sync::OnceLock;

use proptest::prelude::*;
use tempfile::TempDir;

use super::log::{BLOCK_BYTES, HEADER_BYTES};
use super::*;
use crate::ErrorKind;

const ORIGINAL: &[u8] = include_bytes!("../../../tests/data/reliability/MANIFEST-original.bin");
const HANGS: &[u8] = include_bytes!("../../../tests/data/reliability/MANIFEST-hang-flipped.bin");

/// What the manifest of the test data ends with.
const MANIFEST_SEQUENCE: u64 = 800;
const FAMILIES: [&str; 2] = ["data", "dirty"];

fn promised(sequence: u64) -> Watermark {
    Watermark {
        sequence,
        manifest: 5,
        manifest_bytes: ORIGINAL.len() as u64,
    }
}

/// Writes records as the database does.
fn log_of(records: &[Vec<u8>]) -> Vec<u8> {
    let mut log = Vec::new();
    for record in records {
        let (mut rest, mut first) = (record.as_slice(), true);
        loop {
            let left = BLOCK_BYTES - log.len() % BLOCK_BYTES;
            if left < HEADER_BYTES {
                log.resize(log.len() + left, 0);
                continue;
            }
            let (fragment, following) = rest.split_at(rest.len().min(left - HEADER_BYTES));
            let kind = match (first, following.is_empty()) {
                (true, true) => 1u8,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            let mut covered = vec![kind];
            covered.extend_from_slice(fragment);
            let checksum = crc32c::crc32c(&covered)
                .rotate_right(15)
                .wrapping_add(0xa282_ead8);
            log.extend(checksum.to_le_bytes());
            log.extend(
                u16::try_from(fragment.len())
                    .expect("a fragment fits a block")
                    .to_le_bytes(),
            );
            log.extend(covered);
            (rest, first) = (following, false);
            if rest.is_empty() {
                break;
            }
        }
    }
    log
}

fn batch(sequence: u64, count: u32, bytes: usize) -> Vec<u8> {
    let mut record = sequence.to_le_bytes().to_vec();
    record.extend(count.to_le_bytes());
    record.extend((0..bytes).map(|position| (position % 251 + 1).to_le_bytes()[0]));
    record
}

fn scan_all(log: &[u8]) -> (Vec<Vec<u8>>, ScannedLog) {
    let mut records = Vec::new();
    let scanned = log::scan::<io::Error>(log, usize::MAX, |record| {
        records.push(record.head.to_vec());
        Ok(())
    });
    (records, scanned.expect("memory can be read"))
}

fn store(manifest: &[u8], logs: &[(u64, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(CURRENT), "MANIFEST-000005\n").expect("written");
    fs::write(directory.path().join("MANIFEST-000005"), manifest).expect("written");
    for (table, bytes) in tables() {
        let file =
            fs::File::create(directory.path().join(format!("{table:06}.sst"))).expect("made");
        file.set_len(*bytes).expect("as long as the manifest says");
    }
    for (number, log) in logs {
        fs::write(directory.path().join(format!("{number:06}.log")), log).expect("written");
    }
    directory
}

/// The tables that the manifest of the test data ends with, and their lengths.
fn tables() -> &'static BTreeMap<u64, u64> {
    static TABLES: OnceLock<BTreeMap<u64, u64>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let mut manifest = Manifest::default();
        scan_all(ORIGINAL)
            .0
            .iter()
            .for_each(|edit| manifest.apply(edit).expect("an edit"));
        manifest
            .tables
            .into_iter()
            .map(|(number, table)| (number, table.bytes))
            .collect()
    })
}

fn found(directory: &TempDir, promised: Watermark) -> Findings {
    inspect(directory.path(), promised, &FAMILIES).expect("the files can be read")
}

fn complaint(findings: &Findings) -> String {
    findings
        .damage
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn a_sound_store_is_read_to_its_end() {
    let first = log_of(&[batch(801, 3, 10), batch(804, 2, 70_000), batch(806, 0, 0)]);
    let second = log_of(&[batch(806, 5, 40)]);
    let findings = found(
        &store(ORIGINAL, &[(8, &first), (12, &second), (7, b"obsolete")]),
        promised(810),
    );
    assert_eq!(
        (complaint(&findings).as_str(), findings.sequence),
        ("", 810)
    );
    assert_eq!(
        (findings.tails, findings.orphans, findings.manifest),
        (vec![], vec![], (5, 461))
    );
    let empty = found(&store(ORIGINAL, &[]), promised(MANIFEST_SEQUENCE));
    assert_eq!(
        (complaint(&empty).as_str(), empty.sequence),
        ("", MANIFEST_SEQUENCE)
    );
}

/// One flipped bit made recovery drop the end of the manifest, or spin for ever.
#[test]
fn every_bit_flip_of_a_manifest_is_found() {
    for bit in 0..ORIGINAL.len() * 8 {
        let mut flipped = ORIGINAL.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let directory = store(&flipped, &[]);
        assert!(
            !found(&directory, promised(0)).damage.is_empty(),
            "bit {bit}"
        );
        assert!(
            !found(&directory, Watermark::default()).damage.is_empty(),
            "bit {bit}, without a watermark"
        );
    }
    assert_eq!(ORIGINAL.len() * 8, 3688, "flips");
}

#[test]
fn the_manifest_that_hangs_the_database_is_refused_even_without_a_watermark() {
    let findings = found(&store(HANGS, &[]), Watermark::default());
    assert_eq!(findings.damage[0].kind(), &ErrorKind::Corrupt);
    assert!(
        complaint(&findings).contains("MANIFEST-000005 is damaged at byte 53"),
        "{}",
        complaint(&findings)
    );
}

#[test]
fn every_bit_flip_of_current_is_found() {
    let mut mended = 0;
    for bit in 0..16 * 8 {
        let directory = store(ORIGINAL, &[]);
        let mut current = b"MANIFEST-000005\n".to_vec();
        current[bit / 8] ^= 1 << (bit % 8);
        fs::write(directory.path().join(CURRENT), current).expect("written");
        match inspect(directory.path(), promised(0), &FAMILIES) {
            Err(refused) => assert_eq!(refused.kind(), &ErrorKind::Corrupt, "bit {bit}"),
            // It names one that would come later: the one that is there holds all that was
            // promised. Or it names none.
            Ok(findings) => {
                assert_eq!(
                    (findings.current, findings.manifest),
                    (Some(5), (5, 461)),
                    "bit {bit}"
                );
                mended += u32::from(findings.damage.is_empty());
            }
        }
    }
    assert!((1..30).contains(&mended), "{mended}");
}

/// Of two pages that were written and not synced the second has reached the medium: the first ends
/// with zeros where it was synced.
#[test]
fn a_sector_that_was_lost_is_no_damage_however_little_of_it_was_new() {
    for bytes in (0..1024).step_by(7) {
        let kept = log_of(&[batch(801, 1, 60), batch(802, 1, 400 + bytes)]);
        let mut log = log_of(&[
            batch(801, 1, 60),
            batch(802, 1, 400 + bytes),
            batch(803, 1, 3000),
            batch(804, 1, 60),
        ]);
        let page = kept.len().next_multiple_of(4096);
        log[kept.len()..page.min(kept.len().next_multiple_of(512))].fill(0);
        let findings = found(&store(ORIGINAL, &[(8, &log)]), promised(802));
        if kept.len().is_multiple_of(512) {
            continue;
        }
        assert_eq!(
            (complaint(&findings).as_str(), findings.sequence),
            ("", 802),
            "{bytes}"
        );
        assert_eq!(findings.tails[0].1, kept.len() as u64, "{bytes}");
        let lost = found(&store(ORIGINAL, &[(8, &log)]), promised(803));
        assert!(!lost.damage.is_empty(), "{bytes}");
    }
}

#[test]
fn every_bit_flip_of_a_synced_log_is_found() {
    let log = log_of(&[batch(801, 1, 60), batch(802, 1, 60), batch(803, 1, 60)]);
    for bit in 0..log.len() * 8 {
        let mut flipped = log.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        for sequence in [803, MANIFEST_SEQUENCE] {
            let findings = found(&store(ORIGINAL, &[(8, &flipped)]), promised(sequence));
            assert!(
                !findings.damage.is_empty(),
                "bit {bit}, {sequence} promised"
            );
        }
    }
}

#[test]
fn torn_tails_are_fine_while_they_hold_nothing_that_was_promised() {
    let kept = log_of(&[batch(801, 1, 60), batch(802, 1, 60)]);
    let whole = log_of(&[batch(801, 1, 60), batch(802, 1, 60), batch(803, 1, 5000)]);
    let zeros = [kept.clone(), vec![0; 9000]].concat();
    let garbage = [kept.clone(), batch(0x8080_8080_8080, 9, 3000)].concat();
    let unwritten_page = {
        let mut log = log_of(&[
            batch(801, 1, 60),
            batch(802, 1, 60),
            batch(803, 1, 5000),
            batch(804, 1, 60),
        ]);
        log[1000..2000].fill(0);
        log
    };
    for (name, log) in [
        ("zeros", &zeros),
        ("garbage", &garbage),
        ("a page never written", &unwritten_page),
    ] {
        let findings = found(&store(ORIGINAL, &[(8, log)]), promised(802));
        assert_eq!(
            (complaint(&findings).as_str(), findings.sequence),
            ("", 802),
            "{name}"
        );
        assert_eq!(findings.tails[0].1, kept.len() as u64, "{name}");
        let lost = found(&store(ORIGINAL, &[(8, log)]), promised(803));
        assert!(!lost.damage.is_empty(), "{name}");
    }
    for length in (0..whole.len()).step_by(3) {
        let findings = found(&store(ORIGINAL, &[(8, &whole[..length])]), promised(800));
        assert_eq!(complaint(&findings), "", "cut at {length}");
        assert!(findings.sequence < 803);
    }
}

#[test]
fn a_hole_in_the_sequence_ends_what_counts() {
    let first = log_of(&[batch(801, 1, 60)]);
    let later = log_of(&[batch(803, 1, 60)]);
    let directory = store(ORIGINAL, &[(8, &first), (12, &later), (15, &later)]);
    let findings = found(&directory, promised(801));
    assert_eq!(
        (
            complaint(&findings).as_str(),
            findings.sequence,
            findings.orphans.len()
        ),
        ("", 801, 2)
    );
    let findings = found(&directory, promised(803));
    assert!(
        complaint(&findings)
            .contains("000012.log is damaged at byte 0: it goes on with sequence 803 where 802")
    );
    let missing = found(&store(ORIGINAL, &[(12, &later)]), promised(803));
    assert!(
        complaint(&missing).contains("where 801 is expected"),
        "{}",
        complaint(&missing)
    );
}

#[test]
fn other_promises_are_held_too() {
    let shorter = Watermark {
        manifest_bytes: 462,
        ..promised(0)
    };
    assert!(
        complaint(&found(&store(ORIGINAL, &[]), shorter))
            .contains("462 bytes of it had been synced")
    );
    let newer = Watermark {
        manifest: 6,
        ..promised(0)
    };
    assert!(
        complaint(&found(&store(ORIGINAL, &[]), newer))
            .contains("names manifest 5 although 6 was in use")
    );
    let lacking =
        inspect(store(ORIGINAL, &[]).path(), promised(0), &["data", "queue"]).expect("readable");
    assert!(complaint(&lacking).contains("it lacks the family queue"));
    let alien = log_of(&[b"short".to_vec()]);
    assert!(
        complaint(&found(&store(ORIGINAL, &[(8, &alien)]), promised(0)))
            .contains("too short for a batch")
    );
    let mut recycled = log_of(&[batch(801, 1, 9)]);
    recycled[6] = 9;
    let checksum = crc32c::crc32c(&recycled[6..])
        .rotate_right(15)
        .wrapping_add(0xa282_ead8);
    recycled[..4].copy_from_slice(&checksum.to_le_bytes());
    assert!(complaint(&found(&store(ORIGINAL, &[(8, &recycled)]), promised(0))).contains("type 9"));
}

#[test]
fn a_closed_log_that_the_manifest_knows_must_be_there() {
    // Log 9 with 90 synced bytes; then logs before 8 are deleted.
    let edits = log_of(&[
        b"\x87\x40\x05\x09\x02\x5a\x01\x01".to_vec(),
        b"\x88\x40\x01\x08".to_vec(),
    ]);
    let manifest = [ORIGINAL, &edits].concat();
    let log = log_of(&[batch(801, 1, 71)]);
    assert_eq!(log.len(), 90);
    let promised = promised(800);
    assert!(
        complaint(&found(&store(&manifest, &[]), promised))
            .contains("log 000009.log of 90 bytes is missing")
    );
    assert_eq!(
        complaint(&found(&store(&manifest, &[(9, &log)]), promised)),
        ""
    );
    assert!(
        complaint(&found(&store(&manifest, &[(9, &log[..89])]), promised))
            .contains("90 bytes of it had been synced")
    );
    // What a failed write has left is counted by the database as synced.
    let failed = &log_of(&[batch(801, 1, 9), batch(802, 1, 500)])[..90];
    let findings = found(&store(&manifest, &[(9, failed)]), promised);
    assert_eq!(
        (
            complaint(&findings).as_str(),
            findings.sequence,
            findings.tails.len()
        ),
        ("", 801, 0)
    );
    let mut flipped = log_of(&[batch(801, 1, 9), batch(802, 1, 43)]);
    assert_eq!(flipped.len(), 90);
    flipped[80] ^= 1;
    let flipped = found(&store(&manifest, &[(9, &flipped)]), promised);
    assert!(
        complaint(&flipped).contains("byte 80 is not what was written"),
        "{}",
        complaint(&flipped)
    );
}

/// A plain copy of a store that was open has files of different moments: a family that was done
/// with older logs, and not the log that it went on with.
#[test]
fn files_of_different_moments_are_found_by_the_log_that_must_be_there() {
    // Family 1 begins with log 12, the others with older ones.
    let manifest = [ORIGINAL, &log_of(&[b"\xc8\x01\x01\x02\x0c".to_vec()])].concat();
    let log = log_of(&[batch(801, 1, 10)]);
    let of = |logs: &[(u64, &[u8])], promised| found(&store(&manifest, logs), promised);
    assert_eq!(complaint(&of(&[(12, &log)], promised(800))), "");
    for logs in [&[][..], &[(8, log.as_slice())], &[(14, log.as_slice())]] {
        let findings = of(logs, promised(800));
        assert!(
            complaint(&findings).contains("the log 000012.log is missing"),
            "{}",
            complaint(&findings)
        );
        // Where the store is still being made nothing is sure to have a name.
        assert_eq!(complaint(&of(logs, Watermark::default())), "");
    }
}

#[test]
fn data_files_must_be_there_whole() {
    for (number, bytes) in tables() {
        let directory = store(ORIGINAL, &[]);
        let path = directory.path().join(format!("{number:06}.sst"));
        fs::File::create(&path)
            .and_then(|file| file.set_len(bytes - 1))
            .expect("cut");
        let findings = found(&directory, promised(800));
        assert!(
            complaint(&findings).contains(&format!("{number:06}.sst has {} bytes", bytes - 1)),
            "{}",
            complaint(&findings)
        );
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_a_cut_leaves_a_prefix(
        sizes in proptest::collection::vec(prop_oneof![0..40usize, 32_000..33_000usize, 60_000..70_000usize], 0..9),
        cut in any::<prop::sample::Index>(),
    ) {
        let records: Vec<_> = sizes.iter().map(|bytes| batch(1, 1, *bytes)).collect();
        let log = log_of(&records);
        let (read, scanned) = scan_all(&log);
        prop_assert_eq!(&read, &records);
        prop_assert_eq!(scanned, ScannedLog { end: log.len() as u64, ending: Ending::Clean, cut: false });
        let (read, scanned) = scan_all(&log[..cut.index(log.len() + 1)]);
        prop_assert!(records.starts_with(&read));
        let no_damage = [Ending::Clean, Ending::Torn { resumes: None }];
        prop_assert!(no_damage.contains(&scanned.ending));
        prop_assert_eq!(&log_of(&read).len(), &usize::try_from(scanned.end).unwrap_or(0));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), framed in any::<bool>()) {
        let bytes = if framed { log_of(&[bytes.clone(), bytes]) } else { bytes };
        let (records, _) = scan_all(&bytes);
        let mut manifest = Manifest::default();
        for record in &records {
            let _ = manifest.apply(record);
        }
        let directory = store(&bytes, &[(8, &bytes)]);
        let _ = inspect(directory.path(), promised(0), &FAMILIES);
    }
}
