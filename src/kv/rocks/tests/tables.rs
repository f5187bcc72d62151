use super::super::super::preflight::table;
use super::*;

/// A store at rest whose tables hold so many keys of each space.
fn at_rest(keys: u32) -> TempDir {
    let place = directory();
    let engine = Rocks::open(place.path(), &creating()).expect("a new store");
    for key in 0..keys {
        put(&engine, key, 30, Durability::Buffered);
    }
    drop(engine);
    place
}

fn tables(path: &Path) -> Vec<PathBuf> {
    let mut tables: Vec<_> = names(path)
        .into_iter()
        .filter(|name| name.ends_with(".sst"))
        .map(|name| path.join(name))
        .collect();
    tables.sort();
    assert!(tables.len() >= Space::ALL.len(), "one a space at least");
    tables
}

/// Where the blocks end that every table of a small store has, from its end: footer, list of
/// blocks, properties, index.
fn places(length: usize) -> [usize; 6] {
    // The list and the properties are long enough that these lie in them; the rest is data, filter
    // and index.
    [
        length - 1,
        length - 40,
        length - 70,
        length - 600,
        length / 8,
        length / 4,
    ]
}

#[test]
fn each_flipped_bit_of_a_table_is_known() {
    let place = at_rest(40);
    for path in tables(place.path()) {
        let whole = fs::read(&path).expect("readable");
        let mut table = whole.clone();
        assert_eq!(
            table::mend(&mut table),
            Some(table::Mended::default()),
            "it is sound"
        );
        for bit in (0..whole.len() * 8).step_by(61) {
            let difference = 1 << (bit % 8);
            table[bit / 8] ^= difference;
            let mended = table::mend(&mut table).unwrap_or_else(|| panic!("bit {bit}: no table"));
            assert_eq!(
                (mended.bytes, mended.damaged),
                (vec![(bit / 8, difference)], Vec::new()),
                "bit {bit}"
            );
            assert!(table == whole, "bit {bit}");
        }
    }
}

/// A table of many blocks, and an index of more than one entry.
#[test]
fn each_flipped_bit_of_a_large_table_is_known() {
    let place = at_rest(8000);
    let whole = fs::read(file_of(place.path(), ".sst")).expect("readable");
    assert!(whole.len() > 100 << 10);
    for bit in (0..whole.len() * 8).step_by(whole.len() * 8 / 40 - 1) {
        let mut table = whole.clone();
        table[bit / 8] ^= 1 << (bit % 8);
        let mended = table::mend(&mut table).unwrap_or_else(|| panic!("bit {bit}: no table"));
        assert_eq!(
            (mended.bytes, mended.damaged),
            (vec![(bit / 8, 1 << (bit % 8))], Vec::new()),
            "bit {bit}"
        );
        assert!(table == whole, "bit {bit}");
    }
}

#[test]
fn no_bytes_make_mending_a_table_panic() {
    let place = at_rest(40);
    let whole = fs::read(file_of(place.path(), ".sst")).expect("readable");
    for length in 0..whole.len() {
        table::mend(&mut whole[..length].to_vec());
    }
    // Damage of more than a bit is told, and nothing is made up for it.
    for at in (0..whole.len() - 8).step_by(7) {
        let mut table = whole.clone();
        table[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0xa5);
        let damaged = table.clone();
        let mended = table::mend(&mut table).unwrap_or_else(|| panic!("{at}: no table"));
        assert!(
            mended.bytes.is_empty() && !mended.damaged.is_empty(),
            "{at}"
        );
        assert!(table == damaged, "{at}");
    }
}

/// A bit flips in a table of each space, in each kind of block: whoever writes or reads finds all,
/// and all goes on.
#[test]
fn a_flipped_bit_of_a_table_loses_nothing() {
    let place = at_rest(200);
    for path in tables(place.path()) {
        let name = path.file_name().expect("a name");
        for at in places(fs::read(&path).expect("readable").len()) {
            let image = directory();
            copy(place.path(), image.path()).expect("copied");
            let damaged = image.path().join(name);
            flip(&damaged, at * 8 + 3);
            let what = format!("byte {at} of {name:?}");
            // One that reads mends a view of it at most.
            let before = fs::read(&damaged).expect("readable");
            let reader = Rocks::open(
                image.path(),
                &RocksOptions {
                    read_only: true,
                    ..RocksOptions::default()
                },
            );
            let reader = reader.unwrap_or_else(|error| panic!("{what}: {error}"));
            let snapshot = reader.snapshot().expect("a snapshot");
            for space in Space::ALL {
                match snapshot.scan(space, &KeyRange::all(), Order::Ascending, usize::MAX) {
                    Ok(page) => assert_eq!(page.entries.len(), 200, "{what}"),
                    Err(error) => assert_eq!(error.kind(), &ErrorKind::Corrupt, "{what}: {error}"),
                }
            }
            drop((snapshot, reader));
            assert_eq!(
                fs::read(&damaged).expect("readable"),
                before,
                "{what}: it was only read"
            );
            let engine = open(image.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(count(&engine), 200, "{what}");
            put(&engine, 200, 30, Durability::Sync);
            for space in Space::ALL {
                engine
                    .compact(space, &KeyRange::all())
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            put(&engine, 201, 30, Durability::Sync);
            drop(engine);
            assert_eq!(
                count(&open(image.path()).unwrap_or_else(|error| panic!("{what}: {error}"))),
                202,
                "{what}"
            );
            assert!(
                !image.path().join("DAMAGED").exists(),
                "{what}: nothing is damaged any more"
            );
        }
    }
}

/// A bit flips in a table of each space while the store is open: whoever reads it mends it, and
/// reads on.
#[test]
fn a_bit_that_flips_under_an_open_store_is_mended_by_its_reader() {
    for keys in 0..3 {
        let place = at_rest(200);
        let engine = open(place.path()).expect("a store");
        let whole: Vec<_> = tables(place.path())
            .into_iter()
            .map(|path| (fs::read(&path).expect("readable"), path))
            .collect();
        // In the first block of keys, of which nothing is in memory.
        whole
            .iter()
            .for_each(|(bytes, path)| flip(path, bytes.len()));
        if keys == 0 {
            assert_eq!(count(&engine), 200);
        } else {
            let snapshot = engine.snapshot().expect("a snapshot");
            let keys: Vec<_> = (0..keys)
                .map(|key: u32| key.to_be_bytes().to_vec())
                .collect();
            for space in Space::ALL {
                let mut found = 0;
                let read = snapshot.get_many(space, &keys, &mut |_, value| {
                    found += usize::from(value.is_some());
                    Ok(())
                });
                read.unwrap_or_else(|error| panic!("{keys:?} of {space:?}: {error}"));
                assert_eq!(found, keys.len(), "{space:?}");
            }
        }
        for (bytes, path) in whole {
            assert!(
                fs::read(&path).expect("readable") == bytes,
                "{} is mended",
                path.display()
            );
        }
        assert!(
            Space::ALL
                .iter()
                .all(|space| !engine.store.is_still(*space))
        );
        assert!(
            !place.path().join("DAMAGED").exists(),
            "nothing is damaged any more"
        );
    }
}

#[test]
fn foreign_bytes_in_the_note_of_damaged_tables_do_no_harm() {
    let place = at_rest(40);
    fs::write(
        place.path().join("DAMAGED"),
        b"\xff\0feed\n\nbase \ndirectory\n\xfe",
    )
    .expect("written");
    let engine = open(place.path()).expect("a store");
    let still: Vec<Space> = Space::ALL
        .into_iter()
        .filter(|space| engine.store.is_still(*space))
        .collect();
    assert_eq!(still, [Space::Directory]);
    assert_eq!(count(&engine), 40);
}

/// Opens a store, with consent to what cannot be read if that is asked for.
fn open_damaged(path: &Path, what: &str) -> Rocks {
    open(path).unwrap_or_else(|error| {
        assert_eq!(error.kind(), &ErrorKind::Corrupt, "{what}: {error}");
        assert!(
            error.to_string().contains("--accept-data-loss"),
            "{what}: {error}"
        );
        let consent = RocksOptions {
            accept_data_loss: true,
            ..RocksOptions::default()
        };
        Rocks::open(path, &consent).unwrap_or_else(|error| panic!("{what}: {error}"))
    })
}

/// More than a bit of a table is damaged: the store is opened, what cannot be read is an error, and
/// all else can be read and written. Where a table cannot be opened at all, that takes consent.
#[test]
fn a_damaged_table_stops_nobody_but_its_readers() {
    let place = at_rest(200);
    for path in tables(place.path()) {
        let name = path.file_name().expect("a name");
        for at in places(fs::read(&path).expect("readable").len())
            .into_iter()
            .step_by(2)
        {
            let image = directory();
            copy(place.path(), image.path()).expect("copied");
            let mut bytes = fs::read(&path).expect("readable");
            let end = bytes.len().min(at + 8);
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0xa5);
            fs::write(image.path().join(name), bytes).expect("written");
            let what = format!("byte {at} of {name:?}");
            for life in 0..2 {
                let engine = open_damaged(image.path(), &format!("{what}, life {life}"));
                let snapshot = engine.snapshot().expect("a snapshot");
                let mut unread = 0;
                for space in Space::ALL {
                    match snapshot.scan(space, &KeyRange::all(), Order::Ascending, usize::MAX) {
                        Ok(page) => {
                            assert!(page.entries.len() >= 200, "{what}, life {life}: {space:?}")
                        }
                        Err(error) => {
                            assert_eq!(
                                error.kind(),
                                &ErrorKind::Corrupt,
                                "{what}, life {life}: {error}"
                            );
                            unread += 1;
                        }
                    }
                }
                assert!(
                    unread <= 1,
                    "{what}, life {life}: {unread} spaces cannot be read"
                );
                drop(snapshot);
                // So many that tables would be merged.
                for key in 0..4 {
                    put(&engine, 1000 + 10 * life + key, 30, Durability::Sync);
                    engine
                        .flush()
                        .unwrap_or_else(|error| panic!("{what}, life {life}: {error}"));
                }
            }
        }
    }
}

/// A table is damaged while the store is open, and the database meets it first when it merges: then
/// nothing is written any more, until the store is opened again.
#[test]
fn writing_goes_on_in_the_next_life_at_the_latest() {
    for (bytes, is_mended) in [(vec![4], true), (vec![0xa5; 8], false)] {
        let place = directory();
        let engine = Rocks::open(place.path(), &creating()).expect("a new store");
        for key in 0..200 {
            put(&engine, key, 30, Durability::Buffered);
        }
        engine.flush().expect("flushed");
        for path in tables(place.path()) {
            let table = fs::read(&path).expect("readable");
            let at = table.len() / 8;
            let damaged: Vec<u8> = table[at..]
                .iter()
                .zip(&bytes)
                .map(|(byte, difference)| byte ^ difference)
                .collect();
            let file = fs::File::options().write(true).open(&path).expect("opened");
            std::os::unix::fs::FileExt::write_all_at(&file, &damaged, at as u64).expect("written");
        }
        let commit = |engine: &Rocks, key: u32| {
            let mut batch = Batch::default();
            Space::ALL
                .iter()
                .for_each(|space| batch.put(*space, key.to_be_bytes().to_vec(), vec![1; 30]));
            engine.commit(batch, Durability::Sync).map(drop)
        };
        let mut written = 200_usize;
        for key in 200..230 {
            match commit(&engine, key).and_then(|()| engine.flush()) {
                Ok(()) => written += 1,
                Err(error) => {
                    let expected = [ErrorKind::Unavailable, ErrorKind::Poisoned];
                    assert!(expected.contains(error.kind()), "{error}");
                    break;
                }
            }
        }
        drop(engine);
        for life in 0..2 {
            let engine = open(place.path()).unwrap_or_else(|error| panic!("life {life}: {error}"));
            for key in 0..8 {
                commit(&engine, 1000 + life * 10 + key)
                    .unwrap_or_else(|error| panic!("life {life}: {error}"));
                engine
                    .flush()
                    .unwrap_or_else(|error| panic!("life {life}: {error}"));
            }
            let snapshot = engine.snapshot().expect("a snapshot");
            for space in Space::ALL {
                let range = KeyRange {
                    start: Vec::new(),
                    end: Some(1000_u32.to_be_bytes().to_vec()),
                };
                match snapshot.scan(space, &range, Order::Ascending, usize::MAX) {
                    // One that failed may be there, or not.
                    Ok(page) => assert!(page.entries.len() >= written, "life {life}: {space:?}"),
                    Err(error) => assert_eq!(
                        (error.kind(), is_mended),
                        (&ErrorKind::Corrupt, false),
                        "life {life}: {space:?}"
                    ),
                }
            }
        }
    }
}
