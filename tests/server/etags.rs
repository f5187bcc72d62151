//! Equal ETags are equal bytes, whatever was done between.

use std::collections::HashMap;

use gridstone::{Store, Window, server};
use ndarray::{Array2, Array3};

use crate::fixture::{Dice, Server, degrees, hourly, manual};

/// A server that makes each answer anew.
fn making(store: &Store) -> Server {
    Server::with(store, server::Options::default().kept_bytes(0))
}

#[test]
fn equal_etags_are_equal_bytes_over_random_histories() {
    let addresses = [
        "/tiles/plain/9/268/178.png",
        "/tiles/plain/6/33/22.png",
        "/tiles/plain/6/33/22.png?freshness=stored",
        "/tiles/plain/9/268/178.png?encoding=terrarium",
        "/tiles/plain/9/268/178.png?min=0&max=5000&ramp=turbo",
        "/tiles/hourly/6/33/21.png",
        "/tiles/hourly/6/33/21.png?level.time=2&time=2024-03-01T01:00Z",
        "/tiles/plain/tiles.json",
        "/grids/plain",
        "/edr/collections/hourly/position?coords=POINT(7.6%2048.1)",
        "/edr/collections/plain/cube?bbox=8,47.5,8.5,48&level.space=1",
        "/edr/collections/plain/cube?bbox=8,47.5,8.5,48&level.space=1&freshness=stored",
        "/edr/collections/plain/area?coords=POLYGON((8%2047.5,8.3%2047.5,8.1%2047.9,8%2047.5))&f=csv",
    ];
    for seed in 1..=4_u64 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let store = manual();
        let plain = degrees(&store, "plain", 16, [80, 80]);
        let hours = hourly(&store, 20);
        let (server, keeping) = (making(&store), Server::new(&store));
        let mut seen: HashMap<(&str, String), Vec<u8>> = HashMap::new();
        let (mut same, mut changed) = (0, 0);
        for _ in 0..14 {
            for address in addresses {
                let found = server.get(address);
                // No level above the base is stored yet.
                if found.status == 404 && address.contains("stored") {
                    continue;
                }
                let found = found.ok();
                let kept = keeping.get(address).ok();
                assert_eq!(
                    kept.body, found.body,
                    "{address} of a server that keeps answers"
                );
                let key = (address, found.header("etag").to_owned());
                match seen.get(&key) {
                    Some(body) => {
                        assert_eq!(body, &found.body, "{address}, seed {seed}");
                        same += 1;
                    }
                    None => {
                        changed += 1;
                        seen.insert(key, found.body.to_vec());
                    }
                }
            }
            let [row, col] = [dice.below(70) as i64, dice.below(70) as i64];
            match dice.below(6) {
                0 => {
                    let value = dice.below(3) as f32 * 100.0;
                    plain
                        .put(
                            &Window::new([row, col], [9, 9]),
                            &Array2::from_elem((9, 9), value),
                        )
                        .unwrap();
                }
                1 => {
                    plain.clear(&Window::new([row, col], [5, 5])).unwrap();
                }
                2 => {
                    let at = dice.below(9) as i64;
                    hours
                        .put(
                            &Window::new([at, 2, 3], [1, 4, 4]),
                            &Array3::from_elem((1, 4, 4), 5.0_f32),
                        )
                        .unwrap();
                }
                3 => {
                    plain.aggregate().unwrap();
                }
                4 => {
                    hours.aggregate().unwrap();
                }
                _ => {}
            }
        }
        assert!(
            same > 20 && changed > 20,
            "{same} the same, {changed} others"
        );
    }
}

#[test]
fn etags_depend_on_all_that_the_bytes_do() {
    let store = manual();
    degrees(&store, "plain", 16, [80, 80]);
    let server = making(&store);
    let mut seen: HashMap<String, (String, Vec<u8>)> = HashMap::new();
    for more in [
        "",
        "?ramp=turbo",
        "?min=3",
        "?max=70",
        "?min=3&max=70",
        "?resampling=bilinear",
        "?encoding=terrarium",
        "?encoding=terrain-rgb",
        "?layer=base",
        "?layer=mean",
        "?level.space=1",
        "?level.space=2",
    ] {
        for at in [
            "9/268/178.png",
            "9/268/178@2x.png",
            "8/134/89.png",
            "10/536/357.png",
        ] {
            let address = format!("/tiles/plain/{at}{more}");
            let found = server.get(&address);
            // The base has no coarser levels.
            if found.status == 400 && more == "?layer=base" {
                continue;
            }
            let found = found.ok();
            let (of, body) = seen
                .entry(found.header("etag").to_owned())
                .or_insert((address.clone(), found.body.to_vec()));
            assert_eq!(*body, found.body, "{of} and {address} have one ETag");
        }
    }
}

#[test]
fn grids_that_exchange_names_exchange_answers() {
    let store = manual();
    degrees(&store, "a", 16, [80, 80]);
    let b = degrees(&store, "b", 16, [80, 80]);
    b.put(
        &Window::new([0, 0], [80, 80]),
        &Array2::from_elem((80, 80), 1.0_f32),
    )
    .unwrap();
    let server = making(&store);
    let of = |name: &str| {
        server
            .get(&format!("/tiles/{name}/9/268/178.png?min=0&max=9"))
            .ok()
    };
    let (first, other) = (of("a"), of("b"));
    store.swap("a", "b").unwrap();
    assert_eq!(
        (of("a").body, of("b").body),
        (other.body, first.body.clone())
    );
    assert_ne!(of("a").header("etag"), first.header("etag"));
}
