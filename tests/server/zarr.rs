//! Grids as Zarr hierarchies, as their readers ask for them.

use axum::http::{Method, StatusCode};
use gridstone::Window;
use gridstone::adapter::zarr::{Format, View, ViewOptions};
use ndarray::Array2;

use crate::fixture::{Server, degrees, hourly, store};

fn filled() -> (gridstone::Store, gridstone::Grid) {
    let store = store();
    let grid = degrees(&store, "plain", 16, [50, 70]);
    hourly(&store, 4);
    (store, grid)
}

#[test]
fn every_key_has_the_bytes_and_the_etag_of_the_view() {
    let (store, _) = filled();
    let server = Server::new(&store);
    for (name, layer, route, format) in [
        ("plain", None, "/zarr/plain", Format::V3),
        ("plain", None, "/zarr2/plain", Format::V2),
        ("plain", Some("base"), "/zarr/plain@base", Format::V3),
        ("hourly", Some("mean"), "/zarr/hourly@mean", Format::V3),
    ] {
        let options = ViewOptions {
            layer: layer.map(|layer| layer.parse().unwrap()),
            format,
            ..ViewOptions::default()
        };
        let view = View::new(&store.snapshot().unwrap().grid(name).unwrap(), &options).unwrap();
        let keys = view.keys().unwrap();
        assert!(keys.len() > 10, "{keys:?}");
        for key in &keys {
            let found = server.get(&format!("{route}/{key}"));
            match view.get(key).unwrap() {
                None => assert_eq!(found.status, 404, "{key}"),
                Some(bytes) => {
                    let found = found.ok();
                    assert_eq!(found.body, bytes, "{key}");
                    assert_eq!(
                        found.header("etag"),
                        view.version(key).unwrap().unwrap(),
                        "{key}"
                    );
                    assert!(!found.headers.contains_key("content-encoding"), "{key}");
                    let known = server.get_with(
                        &format!("{route}/{key}"),
                        "if-none-match",
                        found.header("etag"),
                    );
                    assert_eq!(
                        (known.status, known.body.len()),
                        (StatusCode::NOT_MODIFIED, 0),
                        "{key}"
                    );
                }
            }
        }
    }
}

#[test]
fn chunks_are_given_in_ranges_and_without_a_body() {
    let (store, _) = filled();
    let server = Server::new(&store);
    let address = "/zarr/plain/0/plain/c/0/0";
    let whole = server.get(address).ok();
    let len = whole.body.len();
    let head = server.ask(Method::HEAD, address, "").ok();
    assert_eq!(
        (head.header("content-length"), head.header("accept-ranges")),
        (&*len.to_string(), "bytes")
    );
    for (range, of) in [
        ("bytes=0-15", 0..16),
        ("bytes=-4", len - 4..len),
        ("bytes=20-", 20..len),
    ] {
        let part = server.get_with(address, "range", range);
        assert_eq!(
            (part.status.as_u16(), &part.body),
            (206, &whole.body.slice(of)),
            "{range}"
        );
    }
    assert_eq!(
        server
            .get_with(address, "range", &format!("bytes={len}-"))
            .status,
        416
    );
}

#[test]
fn what_is_not_there_is_404_and_folders_are_listed() {
    let (store, _) = filled();
    let server = Server::new(&store);
    for key in [
        ".zgroup",
        ".zattrs",
        ".zmetadata",
        "0/plain/.zarray",
        "0/plain.aux.xml",
        "0/plain/c/99/0",
        "0/plain/c/-1/0",
        "0/plain/c/0",
        "9/zarr.json",
        "..",
        "0//zarr.json",
        "%00",
        "%ff",
    ] {
        assert_eq!(
            server.get(&format!("/zarr/plain/{key}")).status,
            404,
            "{key}"
        );
    }
    for name in ["none", "plain@none", "plain@sum", "@", "plain@", "%ff"] {
        let status = server.get(&format!("/zarr/{name}/zarr.json")).status;
        assert!(status == 404 || status == 400, "{name}: {status}");
    }
    // Relative to an address without a slash at the end is what lies beside it.
    for (folder, link) in [
        ("/zarr/plain", "plain/0/"),
        ("/zarr/plain/", "0/"),
        ("/zarr/plain@mean", "plain@mean/0/"),
        ("/zarr/plain/0", "0/plain/"),
        ("/zarr/plain/0/", "plain/"),
    ] {
        let list = server.get(folder).ok();
        assert!(
            list.header("content-type").starts_with("text/html"),
            "{folder}"
        );
        assert!(
            list.text().contains(&format!("<a href=\"{link}\">"))
                && list.text().contains("zarr.json"),
            "{folder}: {}",
            list.text()
        );
    }
}

#[test]
fn a_live_hierarchy_shows_each_put_and_leaves_other_chunks_as_they_are() {
    let (store, grid) = filled();
    let server = Server::new(&store);
    let of = |key: &str| server.get(&format!("/zarr/plain/{key}")).ok();
    let (near, far) = ("0/plain/c/0/0", "0/plain/c/2/3");
    let before = [of(near), of(far)];
    for value in 1..6 {
        grid.put(
            &Window::new([0, 0], [3, 3]),
            &Array2::from_elem((3, 3), value as f32),
        )
        .unwrap();
        let view = View::new(
            &store.snapshot().unwrap().grid("plain").unwrap(),
            &ViewOptions::default(),
        )
        .unwrap();
        assert_eq!(of(near).body, view.get(near).unwrap().unwrap(), "{value}");
        assert_ne!(of(near).header("etag"), before[0].header("etag"));
        assert_eq!(of(far).header("etag"), before[1].header("etag"));
    }
}

#[test]
fn a_snapshot_stays_what_it_was() {
    let (store, grid) = filled();
    let server = Server::new(&store);
    let number = server.get("/snap").ok().json()["snapshot"]
        .as_u64()
        .unwrap();
    let keys = ["zarr.json", "0/plain/c/0/0", "1/plain/c/0/0", "0/zarr.json"];
    let of = |root: &str| keys.map(|key| server.get(&format!("{root}/{key}")).ok().body);
    let snapshot = format!("/snap/{number}/zarr/plain");
    let before = of("/zarr/plain");
    // More data, to other bounds, so that the metadata changes too.
    grid.put(
        &Window::new([0, 0], [90, 90]),
        &Array2::from_elem((90, 90), 5.0_f32),
    )
    .unwrap();
    assert_eq!(of(&snapshot), before);
    assert!(
        of("/zarr/plain")
            .iter()
            .zip(&before)
            .all(|(now, then)| now != then)
    );
    // Who asks at nearly the same time shares it.
    assert_eq!(
        server.get("/snap").ok().json()["snapshot"].as_u64(),
        Some(number)
    );
    assert_eq!(
        server.get("/snap/1/zarr/plain/zarr.json").status,
        StatusCode::GONE
    );
    assert_eq!(
        server.get("/snap/x/zarr/plain/zarr.json").status,
        StatusCode::GONE
    );
    assert!(
        server
            .get(&format!("/snap/{number}/zarr2/plain/.zgroup"))
            .ok()
            .json()
            .is_object()
    );
}
