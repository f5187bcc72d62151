//! Tests of times, units and calendars.

use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    text.parse::<Timestamp>().expect(text).to_string()
}

#[test]
fn times_are_read_in_the_forms_of_iso_8601_and_of_udunits() {
    for (text, wanted) in [
        ("2018-09-13", "2018-09-13T00:00:00Z"),
        ("2018-09", "2018-09-01T00:00:00Z"),
        ("2018-9-3 7:5:4.250", "2018-09-03T07:05:04.25Z"),
        ("2018-09-13T19", "2018-09-13T19:00:00Z"),
        ("2018-09-13t19:30z", "2018-09-13T19:30:00Z"),
        ("2018-09-13T19:30:00+02:00", "2018-09-13T17:30:00Z"),
        ("1992-10-8 15:15:42.5 -6:00", "1992-10-08T21:15:42.5Z"),
        ("1970-01-01 00:00:00 UTC", "1970-01-01T00:00:00Z"),
        ("1970-01-01 00:00 +0530", "1969-12-31T18:30:00Z"),
        ("1970-01-01 00:00:00.0 0:00", "1970-01-01T00:00:00Z"),
        ("2018-09-13_19:00:00", "2018-09-13T19:00:00Z"),
        ("2016-02-29T24:00:00", "2016-03-01T00:00:00Z"),
        ("2016-001", "2016-01-01T00:00:00Z"),
        ("2016-366T06:00Z", "2016-12-31T06:00:00Z"),
        ("0000-02-29", "0000-02-29T00:00:00Z"),
        ("-0044-03-15", "-0044-03-15T00:00:00Z"),
        ("12018-01-01", "+12018-01-01T00:00:00Z"),
        (
            "2018-01-01T00:00:00.000000001",
            "2018-01-01T00:00:00.000000001Z",
        ),
    ] {
        assert_eq!(shown(text), wanted, "{text}");
        assert_eq!(shown(wanted), wanted);
    }
    for wrong in [
        "",
        "2018",
        "2018-13-01",
        "2018-000",
        "2018-366",
        "2018-0001",
        "2018-02-29",
        "2018-00-01",
        "2018-01-32",
        "2018-01-01T25:00",
        "2018-01-01T00:60",
        "noon",
        "2018-01-01T24:00:01",
        "2018-01-01T00:00:60",
        "2018-01-01T00:00:00+25:00",
        "2018-01-01T00:00:00 CET",
        "2018--1",
        "2018-01-01T00:00:00.0000000001",
        "999999-01-01",
        "2018-01-01T1.5",
    ] {
        wrong.parse::<Timestamp>().expect_err(wrong);
    }
}

#[test]
fn units_are_read_as_cf_writes_them() {
    for (units, wanted) in [
        (
            "Hour since 2001-12-31T23:00:00Z",
            "hours since 2001-12-31T23:00:00Z",
        ),
        ("days since 1900-1-1", "days since 1900-01-01T00:00:00Z"),
        (
            "s SINCE 1970-01-01 00:00:00 +1:00",
            "seconds since 1969-12-31T23:00:00Z",
        ),
        (
            "msec since 2000-01-01",
            "milliseconds since 2000-01-01T00:00:00Z",
        ),
    ] {
        let unit = TimeUnit::parse(units, "proleptic_gregorian").expect(units);
        assert_eq!(unit.to_string(), wanted);
        assert_eq!(wanted.parse::<TimeUnit>().expect("its own form"), unit);
    }
    for units in [
        "months since 2000-01-01",
        "years since 2000-01-01",
        "hours",
        "hours after 2000-01-01",
        "h since noon",
    ] {
        TimeUnit::parse(units, "").expect_err(units);
    }
}

#[test]
fn calendars_are_known_by_the_names_of_cf_and_others_are_refused_by_name() {
    for calendar in ["none", "utc", "tai"] {
        let error = TimeUnit::parse("days since 2000-01-01", calendar).expect_err(calendar);
        assert!(
            error.to_string().contains(&format!("`{calendar}`")),
            "{error}"
        );
    }
    let of = |name: &str| {
        TimeUnit::parse("days since 2000-01-01", name)
            .expect(name)
            .calendar()
    };
    for names in [
        &["standard", "gregorian", ""][..],
        &["Proleptic_Gregorian"],
        &["noleap", "365_day"],
        &["all_leap", "366_day"],
    ] {
        assert!(
            names.iter().all(|name| of(name) == of(names[0])),
            "{names:?}"
        );
    }
    for calendar in Calendar::ALL {
        assert_eq!(of(calendar.name()), calendar);
        let unit = TimeUnit::parse("days since 1850-02-28", calendar.name()).expect("units");
        assert_eq!(
            unit.to_string().parse::<TimeUnit>().expect("its own form"),
            unit
        );
    }
    let unit = TimeUnit::parse("days since 1850-02-30", "360_day").expect("units");
    assert_eq!(
        unit.to_string(),
        "days since 1850-02-30T00:00:00Z (360_day)"
    );
}

/// What cftime makes of numbers, written by `tests/data/calendars/make.py`.
#[test]
fn times_are_those_of_cftime_in_every_calendar() {
    let table = include_str!("../../tests/data/calendars/cftime.csv");
    let mut calendars = std::collections::BTreeSet::new();
    for row in table.lines() {
        let [units, calendar, number, wanted] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let unit = TimeUnit::parse(units, calendar).expect(row);
        let number: i64 = number.parse().expect(row);
        let at = unit.timestamp(number).expect(row);
        assert_eq!(at.to_string(), wanted, "{row}");
        assert_eq!(
            Timestamp::read(wanted, unit.calendar()).expect(row),
            at,
            "{row}"
        );
        assert_eq!(unit.ticks(at), Some(number), "{row}");
        let again: TimeUnit = unit.to_string().parse().expect(row);
        assert_eq!(again, unit, "{row}");
        calendars.insert(unit.calendar());
    }
    assert_eq!(calendars.len(), Calendar::ALL.len());
}

#[test]
fn dates_that_a_calendar_does_not_have_are_refused() {
    for (date, calendar) in [
        ("1582-10-10", "standard"),
        ("0000-01-01", "standard"),
        ("0000-01-01", "julian"),
        ("1500-02-29", "proleptic_gregorian"),
        ("2000-02-29", "noleap"),
        ("2001-02-30", "all_leap"),
        ("2000-01-31", "360_day"),
    ] {
        let error = TimeUnit::parse(&format!("days since {date}"), calendar).expect_err(date);
        assert!(error.sentence().contains(calendar), "{}", error.sentence());
    }
    for (date, calendar) in [
        ("1500-02-29", "standard"),
        ("2001-02-29", "all_leap"),
        ("2001-02-30", "360_day"),
        ("0000-02-29", "360_day"),
    ] {
        TimeUnit::parse(&format!("days since {date}"), calendar).expect(date);
    }
}

#[test]
fn real_days_are_the_same_in_every_calendar_and_others_keep_their_dates() {
    let at = |text: &str, calendar: Calendar| Timestamp::read(text, calendar).expect(text);
    let of = |from: Timestamp, calendar| from.in_calendar(calendar).map(|at| at.to_string());
    let start = at("1582-10-15T06:00", Calendar::Gregorian);
    assert_eq!(
        of(start, Calendar::Julian).as_deref(),
        Some("1582-10-05T06:00:00Z")
    );
    assert_eq!(
        of(start, Calendar::Standard).as_deref(),
        Some("1582-10-15T06:00:00Z")
    );
    assert_eq!(
        of(start.after(-DAY).expect("in range"), Calendar::Standard).as_deref(),
        Some("1582-10-04T06:00:00Z")
    );
    assert_eq!(
        of(start, Calendar::Days360).as_deref(),
        Some("1582-10-15T06:00:00Z")
    );
    let leap = at("2000-02-29T12:00", Calendar::Gregorian);
    assert_eq!(of(leap, Calendar::NoLeap), None);
    let days = TimeUnit::parse("days since 2000-01-01", "noleap").expect("units");
    assert_eq!(
        (days.ticks(leap), days.first_at(leap), days.value(leap)),
        (None, 59, 59.0),
        "the first that there is"
    );
    let months = TimeUnit::parse("days since 2000-01-01", "360_day").expect("units");
    assert_eq!(months.first_at(at("2000-01-31", Calendar::Gregorian)), 30);
    assert_eq!(
        months.ticks(at("2001-01-01", Calendar::Gregorian)),
        Some(360)
    );
}

#[test]
fn a_number_stands_for_the_roundest_instant_within_its_precision() {
    let days = TimeUnit::parse("days since 2000-01-01", "").expect("units");
    for hours in 0..400_000_i64 {
        let value = hours as f64 / 24.0;
        let wanted = days.in_ticks(Tick::Hour).timestamp(hours);
        assert_eq!(
            days.roundest(value, value.abs() * f64::EPSILON),
            wanted,
            "{hours} hours"
        );
    }
    let half_second = days.roundest(0.5 / 86_400.0, 1e-20).expect("in range");
    assert_eq!(half_second.to_string(), "2000-01-01T00:00:00.5Z");
    assert_eq!(days.instant(f64::NAN), None);
    assert_eq!(days.instant(1e12), None);
}

proptest! {
    #[test]
    fn instants_survive_text_and_units(ns in -RANGE..=RANGE, tick in 0..7_usize, ticks in -1_000_000_i64..1_000_000) {
        let at = Timestamp::from_nanoseconds(ns).expect("in range");
        prop_assert_eq!(at.to_string().parse::<Timestamp>().expect("its own form"), at);
        let unit = TimeUnit::new(Tick::ALL[tick], Timestamp::from_nanoseconds(ns / 2).expect("in range"));
        prop_assert_eq!(unit.to_string().parse::<TimeUnit>().expect("its own form"), unit);
        let at = unit.timestamp(ticks).expect("in range");
        prop_assert_eq!(unit.ticks(at), Some(ticks));
        prop_assert_eq!(unit.value(at), ticks as f64);
        prop_assert_eq!(unit.instant(ticks as f64), Some(at));
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC*", units in "[a-z ]{0,9} since [-0-9TZ:. +]{0,20}") {
        let _ = (text.parse::<Timestamp>(), TimeUnit::parse(&text, ""), TimeUnit::parse(&units, ""));
    }

    #[test]
    fn dates_follow_each_other(days in -36_000_000_i64..36_000_000, near in -2_200_i64..2_200, which in 0..6_usize) {
        let calendar = Calendar::ALL[which];
        // Around the years 0 and 1582 too.
        for days in [days, near - 719_528, near - 141_427] {
            let (year, month, day) = calendar.date(days);
            prop_assert_eq!(calendar.days(year, month, day), Some(days));
            prop_assert!(calendar.date(days + 1) > (year, month, day));
            let at = Timestamp::from_date(calendar, (year, month, day)).expect("in range");
            prop_assert_eq!(Timestamp::read(&at.to_string(), calendar).expect("its own form"), at);
        }
    }
}
