use super::Transformation;
use crate::crs::shown;

/// Systems, and their places by PROJ 9.5.1, which `points.py` beside it has written.
const POINTS: &str = include_str!("../../tests/data/crs/points.tsv");

/// Metres a degree.
const DEGREE: f64 = 111_320.0;

/// The largest distance from PROJ's places that a system may have, in metres, there and back; a
/// micrometre there and ten of them back where it is not here.
const OFF_MAX: [(&str, f64, f64); 8] = [
    // A datum is turned by other digits, or by angles that are taken for their sines.
    ("EPSG:27700", 5e-3, 4e-3),
    ("EPSG:4277", 9e-3, 4e-3),
    ("EPSG:28992", 8e-3, 8e-3),
    ("EPSG:31370", 1e-3, 1e-3),
    // A datum is moved: heights are left out on the way back.
    ("EPSG:2056", 1e-6, 2e-3),
    // A latitude is found by steps, the last of which is small.
    ("EPSG:3035", 1e-6, 2e-3),
    ("EPSG:6931", 1e-6, 2e-3),
    ("EPSG:6933", 1e-6, 2e-3),
];

/// The least places that a system must have, so that none is tested by nothing.
const PLACES: usize = 25;

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

#[test]
fn places_are_those_of_proj_there_and_back() {
    let mut systems: Vec<(&str, Vec<[f64; 4]>)> = Vec::new();
    for line in POINTS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split('\t').collect();
        let place = [1, 2, 3, 4].map(|at: usize| number(words[at]));
        match systems.last_mut().filter(|(system, _)| *system == words[0]) {
            Some((_, places)) => places.push(place),
            None => systems.push((words[0], vec![place])),
        }
    }
    assert_eq!(systems.len(), 36);
    let mut wrong = Vec::new();
    for (system, places) in systems {
        assert!(places.len() >= PLACES, "{system}");
        let way = Transformation::between("EPSG:4326", system).expect(system);
        let back = way.back();
        let unit = match system {
            _ if system.starts_with("EPSG:4") => DEGREE,
            "EPSG:2229" => 0.304_800_609_601_219,
            _ if system.contains("US survey foot") => 0.304_800_609_601_219,
            _ => 1.0,
        };
        let mut off = [0.0_f64; 2];
        for [lon, lat, x, y] in places {
            let there = way.forward([lon, lat]).expect("a place");
            let here = back.forward([x, y]).expect("a place");
            off[0] = off[0].max((there[0] - x).hypot(there[1] - y) * unit);
            let turned = (here[0] - lon + 540.0).rem_euclid(360.0) - 180.0;
            let east = turned * lat.to_radians().cos();
            off[1] = off[1].max(east.hypot(here[1] - lat) * DEGREE);
        }
        let known = OFF_MAX.iter().find(|(of, ..)| *of == system);
        let (there, back) = known.map_or((1e-6, 1e-5), |(_, there, back)| (*there, *back));
        if off[0] > there || off[1] > back {
            wrong.push(format!(
                "{}: {} m there, {} m back",
                &system[system.len().saturating_sub(150)..],
                off[0],
                off[1]
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_proj_has_elsewhere_is_refused_with_the_reason() {
    let why = |system: &str| Transformation::between(system, "EPSG:4326").expect_err("refused");
    assert_eq!(
        why("EPSG:26710"),
        "EPSG:26710 is not transformed as exactly as PROJ does: its datum is shifted by a grid (NADCON)"
    );
    assert!(why("EPSG:27200").ends_with("its datum is shifted by a grid (nzgd2kgrid0005.gsb)"));
    assert!(why("EPSG:23032").ends_with(
        "is not among the systems that were held against PROJ and found within a centimetre"
    ));
    assert!(why("ESRI:54009").ends_with("ESRI:54009 has no code of EPSG"));
    assert!(why("somewhere").ends_with("its parameters are not known here"));
    let own = r#"PROJCS["own",GEOGCS["x",DATUM["Potsdam",SPHEROID["Bessel 1841",6377397.155,299.1528128]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["central_meridian",9],UNIT["metre",1]]"#;
    assert!(
        why(own).ends_with("the shift of its datum, Potsdam, is not known here"),
        "{}",
        why(own)
    );
    let robinson = own
        .replace("Transverse_Mercator", "Robinson")
        .replace("Potsdam", "WGS_1984");
    assert!(
        why(&robinson).ends_with("its projection, Robinson, is not known here"),
        "{}",
        why(&robinson)
    );
    assert!(shown(own).len() < 60);
}

#[test]
fn of_one_datum_no_shift_is_asked_for() {
    // ED50, whose shift to WGS 84 differs from country to country; places by PROJ 9.5.1.
    let way = Transformation::between("EPSG:4230", "EPSG:23032").expect("of one datum");
    let [x, y] = way.forward([8.25, 51.5]).expect("a place");
    assert!(
        (x - 447938.2760511206).hypot(y - 5705813.543962677) < 1e-6,
        "{x} {y}"
    );
    let [lon, lat] = way.back().forward([x, y]).expect("a place");
    assert!((lon - 8.25).hypot(lat - 51.5) < 1e-11);
    let why = Transformation::between("EPSG:4230", "EPSG:32632").expect_err("of two datums");
    assert!(
        why.starts_with("EPSG:4230 is not transformed as exactly as PROJ does"),
        "{why}"
    );
}
