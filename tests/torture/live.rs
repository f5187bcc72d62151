//! A store is read while another process writes to it, compacts and is killed.

use std::time::Duration;

use gridstone::{ErrorKind, Freshness, Store};

use crate::check::{self, Loss};
use crate::image::directory;
use crate::kills::{diary, spawn};
use crate::model::Cells;
use crate::seeds;
use crate::workload::acts;

/// Every opening shows at least what was acknowledged before it, at most what was begun, whole, and
/// stays as it is.
#[test]
fn a_store_is_read_while_another_process_writes_to_it() {
    seeds::each("live", |seed| {
        let place = directory();
        let path = place.path().join("store");
        let mut read = 0;
        for round in 0..2 {
            let before = diary(place.path()).len();
            let mut writer = spawn(place.path(), seed, round, None);
            // Until it has the store open, and all grids are there.
            while diary(place.path()).len() < before + 8 {
                assert!(!writer.has_ended(), "the writer works on");
                std::thread::sleep(Duration::from_millis(5));
            }
            for look in 0..12 {
                let before = diary(place.path());
                let store = match Store::open_read_only(&path) {
                    Ok(store) => store,
                    Err(error) => panic!(
                        "look {look}: {error}: {:?}",
                        std::error::Error::source(&error)
                    ),
                };
                let there = acts(&store).unwrap();
                let after = diary(place.path());
                let (least, most) = (
                    check::bounds(&before, Loss::Process),
                    check::bounds(&after, Loss::Process),
                );
                for (writer, there) in there.iter().enumerate() {
                    assert!(
                        (least[writer].0..=most[writer].1).contains(there),
                        "look {look}: writer {writer}: {there}"
                    );
                }
                assert!(
                    store.stats().unwrap().age.is_some(),
                    "it says that it is a view"
                );
                for (writer, acts) in (0..).zip(&there) {
                    check::cells(
                        &store,
                        writer,
                        &Cells::after(seed, writer, *acts),
                        Freshness::Fresh,
                    )
                    .unwrap();
                }
                if look % 4 == 0 {
                    check::sound(&store).unwrap();
                }
                assert_eq!(acts(&store).unwrap(), there, "it stays as it is");
                let shared = store.grid(crate::model::SHARED).unwrap();
                let refused = shared
                    .put(&gridstone::Window::new([9], [1]), &ndarray::arr1(&[1_i64]))
                    .unwrap_err();
                assert_eq!(refused.kind(), &ErrorKind::Invalid);
                read += 1;
            }
            writer.kill();
        }
        read
    });
}
