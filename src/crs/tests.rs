//! Systems that are one whatever they are called, and others.

use super::{
    Definition, MapProjection, Method, Parameter, argument, definition, is_geographic, kept,
    may_be_same, same, shown,
};

/// A projection of longitude and latitude on an ellipsoid, with the parameters of WKT.
fn projected(name: &str, geographic: &str, method: &str, parameters: &[(&str, f64)]) -> String {
    let parameters: String = parameters
        .iter()
        .map(|(name, value)| format!(",PARAMETER[\"{name}\",{value}]"))
        .collect();
    format!(
        "PROJCS[\"{name}\",{geographic},PROJECTION[\"{method}\"]{parameters},UNIT[\"metre\",1]]"
    )
}

const SPHERE: &str = "GEOGCS[\"unknown\",DATUM[\"unknown\",SPHEROID[\"unknown\",6371228,0]],PRIMEM[\"Greenwich\",0],UNIT[\"degree\",0.0174532925199433]]";
const NAD83: &str = "GEOGCS[\"NAD83\",DATUM[\"North_American_Datum_1983\",SPHEROID[\"GRS 1980\",6378137,298.257222101]],PRIMEM[\"Greenwich\",0],UNIT[\"degree\",0.0174532925199433]]";

fn laea(name: &str, latitude: f64, longitude: f64) -> String {
    let center = [
        ("latitude_of_center", latitude),
        ("longitude_of_center", longitude),
    ];
    projected(name, SPHERE, "Lambert_Azimuthal_Equal_Area", &center)
}

#[test]
fn systems_are_one_by_their_parameters() {
    assert!(same(
        &laea("unknown", 52.0, 10.0),
        &laea("other", 52.0, 370.0)
    ));
    assert!(!same(
        &laea("unknown", 52.0, 10.0),
        &laea("unknown", 52.0, 25.0)
    ));
    assert!(!same(
        &laea("unknown", 52.0, 10.0),
        &laea("unknown", 52.0, 10.0).replace("6371228", "6371229")
    ));
    assert!(!same(
        &laea("unknown", 52.0, 10.0),
        &laea("unknown", 52.0, 10.0).replace("metre\",1]", "foot\",0.3048]")
    ));
    assert!(
        !same("unknown", "unknown")
            && !same("", "")
            && !same("Unknown engineering", "Unknown engineering")
    );
    assert!(
        same("My mine", "my mine")
            && same(" epsg:4326", "EPSG:4326")
            && same("OGC:CRS84", "EPSG:4326")
    );
    assert!(!same("EPSG:3857", "EPSG:4326") && !same("ESRI:54009", "EPSG:54009"));
}

#[test]
fn a_code_is_its_parameters_where_they_are_known() {
    let utm = [
        ("latitude_of_origin", 0.0),
        ("central_meridian", 9.0),
        ("scale_factor", 0.9996),
        ("false_easting", 500_000.0),
        ("false_northing", 0.0),
    ];
    let wgs84 = definition("EPSG:4326").expect("known").wkt();
    assert!(same(
        "EPSG:32632",
        &projected("mine", &wgs84, "Transverse_Mercator", &utm)
    ));
    assert!(!same(
        "EPSG:32633",
        &projected("mine", &wgs84, "Transverse_Mercator", &utm)
    ));
    assert!(!same(
        "EPSG:32632",
        &projected("mine", NAD83, "Transverse_Mercator", &utm)
    ));
    assert!(same("EPSG:4269", NAD83) && !same("EPSG:4258", NAD83) && !same("EPSG:4326", NAD83));
    assert_eq!(is_geographic("EPSG:4326"), Some(true));
    assert_eq!(is_geographic("EPSG:4807"), Some(false), "grads");
    assert_eq!(
        (is_geographic("EPSG:3035"), is_geographic(NAD83)),
        (Some(false), Some(true))
    );
    assert_eq!(is_geographic("a mine"), None);
}

#[test]
fn a_datum_without_a_name_may_be_any_on_its_ellipsoid() {
    let utm = [
        ("central_meridian", 9.0),
        ("scale_factor", 0.9996),
        ("false_easting", 500_000.0),
    ];
    let on = |geographic: &str| projected("mine", geographic, "Transverse_Mercator", &utm);
    let nameless = NAD83.replace(
        "North_American_Datum_1983",
        "Unknown based on GRS 1980 ellipsoid",
    );
    for code in ["EPSG:25832", "EPSG:26932"] {
        assert!(!same(code, &on(&nameless)), "{code}");
    }
    assert!(may_be_same("EPSG:25832", &on(&nameless)) && may_be_same(&on(&nameless), "EPSG:25832"));
    assert!(!may_be_same("EPSG:25833", &on(&nameless)), "another zone");
    assert!(
        !may_be_same("EPSG:23032", &on(&nameless)),
        "another ellipsoid"
    );
    assert!(!may_be_same("EPSG:25832", &on(NAD83)), "another datum");
    assert!(may_be_same("EPSG:4258", &nameless) && !may_be_same("a mine", &nameless));
}

#[test]
fn every_code_of_epsg_is_of_the_kind_it_is() {
    for code in [4326, 4258, 4269, 4267, 4283, 6668, 7844, 4979, 9057] {
        assert_eq!(is_geographic(&format!("EPSG:{code}")), Some(true), "{code}");
    }
    for code in [
        3857, 32611, 2193, 27700, 4087, 4417, 4647, 4839, 5514, 6933, 31985, 1024, 32766,
    ] {
        assert_eq!(
            is_geographic(&format!("EPSG:{code}")),
            Some(false),
            "{code}"
        );
    }
}

/// What GDAL 3.10 writes of some codes, without the codes and under other names.
#[test]
fn projected_codes_are_their_parameters() {
    let cases = include_str!("projected_cases.tsv")
        .lines()
        .map(|line| line.split_once('\t').expect("a code and its text"));
    let cases: Vec<(&str, &str)> = cases.collect();
    assert_eq!(cases.len(), 59);
    for (code, text) in &cases {
        assert!(
            same(code, text),
            "{code}: {:?} is not {:?}",
            definition(code),
            definition(text)
        );
        assert!(
            same(code, &definition(code).expect("known").wkt()),
            "{code} written"
        );
        let other = cases
            .iter()
            .find(|(other, _)| other != code && same(other, text));
        assert_eq!(other, None, "{code} is taken for another");
    }
}

#[test]
fn dialects_of_wkt_say_the_same() {
    let parameters = [
        ("latitude_of_center", 40.0),
        ("longitude_of_center", -96.0),
        ("standard_parallel_1", 50.0),
        ("standard_parallel_2", 70.0),
        ("false_easting", 0.0),
        ("false_northing", 0.0),
    ];
    let gdal = projected("Canada", NAD83, "Albers_Conic_Equal_Area", &parameters);
    let esri = "PROJCS[\"Canada_Albers_Equal_Area_Conic\",GEOGCS[\"GCS_North_American_1983\",DATUM[\"D_North_American_1983\",SPHEROID[\"GRS_1980\",6378137.0,298.257222101]],PRIMEM[\"Greenwich\",0.0],UNIT[\"Degree\",0.0174532925199433]],PROJECTION[\"Albers\"],PARAMETER[\"False_Easting\",0.0],PARAMETER[\"False_Northing\",0.0],PARAMETER[\"Central_Meridian\",-96.0],PARAMETER[\"Standard_Parallel_1\",50.0],PARAMETER[\"Standard_Parallel_2\",70.0],PARAMETER[\"Latitude_Of_Origin\",40.0],UNIT[\"Meter\",1.0]]";
    let later = "PROJCRS[\"Canada_Albers_Equal_Area_Conic\",BASEGEOGCRS[\"NAD83\",DATUM[\"North American Datum 1983\",ELLIPSOID[\"GRS 1980\",6378137,298.257222101,LENGTHUNIT[\"metre\",1]]],PRIMEM[\"Greenwich\",0,ANGLEUNIT[\"degree\",0.0174532925199433]],ID[\"EPSG\",4269]],CONVERSION[\"Canada_Albers_Equal_Area_Conic\",METHOD[\"Albers Equal Area\",ID[\"EPSG\",9822]],PARAMETER[\"Latitude of false origin\",40,ANGLEUNIT[\"degree\",0.0174532925199433],ID[\"EPSG\",8821]],PARAMETER[\"Longitude of false origin\",-96,ANGLEUNIT[\"degree\",0.0174532925199433]],PARAMETER[\"Latitude of 1st standard parallel\",50,ANGLEUNIT[\"degree\",0.0174532925199433]],PARAMETER[\"Latitude of 2nd standard parallel\",70,ANGLEUNIT[\"degree\",0.0174532925199433]],PARAMETER[\"Easting at false origin\",0,LENGTHUNIT[\"metre\",1]],PARAMETER[\"Northing at false origin\",0,LENGTHUNIT[\"metre\",1]]],CS[Cartesian,2],AXIS[\"(E)\",east,ORDER[1],LENGTHUNIT[\"metre\",1]],AXIS[\"(N)\",north,ORDER[2],LENGTHUNIT[\"metre\",1]]]";
    let all = [gdal.as_str(), esri, later];
    for a in all {
        assert!(all.iter().all(|b| same(a, b)), "{a}");
        let again = definition(a).expect("read").wkt();
        assert!(same(a, &again), "{again}");
        assert!(!same(a, &a.replace("70", "71")), "another parallel");
    }
}

#[test]
fn a_kept_text_is_a_code_where_there_is_one() {
    assert_eq!(
        kept(&NAD83.replace(",UNIT", ",AUTHORITY[\"X\",\"1\"],UNIT")),
        NAD83.replace(",UNIT", ",AUTHORITY[\"X\",\"1\"],UNIT")
    );
    assert_eq!(
        kept("GEOGCS[\"x\",DATUM[\"x\",SPHEROID[\"x\",1,0]],AUTHORITY[\"EPSG\",\"4269\"]]"),
        "EPSG:4269"
    );
    assert_eq!(
        kept(
            "COMPD_CS[\"a\",PROJCS[\"b\",AUTHORITY[\"EPSG\",\"32632\"]],VERT_CS[\"c\",AUTHORITY[\"EPSG\",\"5773\"]]]"
        ),
        "EPSG:32632"
    );
    assert_eq!(kept("OGC:CRS84"), "EPSG:4326");
    let sphere = "PROJCS[\"Web\",GEOGCS[\"x\",DATUM[\"x\",SPHEROID[\"x\",6378137,298.257223563]]],PROJECTION[\"Mercator_1SP\"],UNIT[\"m\",1],EXTENSION[\"PROJ4\",\"+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1\"]]";
    assert_eq!(kept(sphere), "EPSG:3857");
    assert_eq!(definition("PROJCS[\"x"), None);
}

#[test]
fn messages_and_options_name_a_system() {
    assert_eq!(argument("epsg:32632").as_deref(), Some("EPSG:32632"));
    assert_eq!(argument("some name"), None);
    assert_eq!(
        argument(&laea("l'est", 1.0, 2.0)),
        Some(format!("'{}'", laea("lest", 1.0, 2.0)))
    );
    assert_eq!(
        shown(&laea("unknown", 1.0, 2.0)),
        "an unnamed Lambert_Azimuthal_Equal_Area"
    );
    assert_eq!(shown(NAD83), "NAD83");
}

#[test]
fn hostile_text_is_no_system() {
    for text in [
        "",
        "PROJCS[",
        "A[A[A[",
        "[]",
        "\"",
        "A(1]",
        "A[1,]",
        "GEOGCS[\"a\",1e999]",
    ] {
        assert!(definition(text).is_none(), "{text}");
    }
    assert_eq!(definition(&"A[".repeat(10_000)), None::<Definition>);
}

/// Two standard parallels that are one, at the origin, are a cone that touches there; others stay
/// two.
#[test]
fn standard_parallels_are_kept() {
    let cone = |first: f64, second: f64| {
        let method = Method::named("Lambert_Conformal_Conic_2SP").expect("known");
        let values = [
            (Parameter::Latitude, 25.0),
            (Parameter::Longitude, -95.0),
            (Parameter::Parallel1, first),
            (Parameter::Parallel2, second),
        ];
        MapProjection::new(method, values.into(), 1.0)
    };
    let two = cone(33.0, 45.0);
    assert_eq!(
        [Parameter::Parallel1, Parameter::Parallel2].map(|of| two.value(of)),
        [33.0, 45.0]
    );
    let one = cone(25.0, 25.0);
    assert_eq!(
        (one.method.name, one.value(Parameter::Latitude)),
        ("Lambert_Conformal_Conic_1SP", 25.0)
    );
    let polar = Method::named("Polar_Stereographic").expect("known");
    let polar = MapProjection::new(
        polar,
        [(Parameter::Latitude, -90.0), (Parameter::Parallel1, -71.0)].into(),
        1.0,
    );
    assert_eq!(polar.value(Parameter::Latitude), -71.0);
}
