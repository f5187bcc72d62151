//! Tests of the quicklook adapter.

use std::io::Cursor;

use super::*;
use crate::{Array, DType};

/// Width, height and RGBA bytes of what is written.
fn image<'a>(array: impl Into<ArrayView<'a>>, look: &Look) -> (u32, u32, Vec<u8>) {
    let mut out = Vec::new();
    write_to(&mut out, array, look).expect("memory takes all");
    let mut decoder = png::Decoder::new(Cursor::new(out));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small image")];
    let info = reader.next_frame(&mut pixels).expect("a whole PNG");
    (info.width, info.height, pixels)
}

#[test]
fn the_ends_of_the_ramp_are_the_least_and_the_greatest() {
    let array = ndarray::arr2(&[[1.0_f32, f32::NAN, 3.0], [2.0, f32::INFINITY, -99.0]]);
    let look = Look {
        valid: Some(array.map(|cell| *cell != -99.0).into_dyn()),
        ..Look::default()
    };
    let (width, height, pixels) = image(&array, &look);
    assert_eq!((width, height), (3, 2));
    let pixel = |at: usize| <[u8; 4]>::try_from(&pixels[at * 4..at * 4 + 4]).expect("four bytes");
    let colours = Ramp::Viridis.colours();
    assert_eq!(
        (pixel(0), pixel(2), pixel(4)),
        (colours[0], colours[255], colours[255])
    );
    assert_eq!((pixel(1), pixel(5)), ([0; 4], [0; 4]));
    assert_eq!(pixel(3), colours[128]);
}

#[test]
fn a_given_stretch_clamps() {
    let look = Look {
        ramp: Ramp::Grays,
        stretch: Some([0.0, 10.0]),
        ..Look::default()
    };
    let (.., pixels) = image(&ndarray::arr2(&[[-5_i16, 0, 10, 500]]), &look);
    assert_eq!(
        pixels.iter().step_by(4).copied().collect::<Vec<_>>(),
        [0, 0, 255, 255]
    );
}

#[test]
fn arrays_without_a_range_are_drawn() {
    for dtype in DType::ALL {
        let (.., pixels) = image(&Array::filled(dtype, &[2, 2], 7.0), &Look::default());
        assert_eq!(pixels[..4], Ramp::Viridis.colours()[128]);
    }
    let (.., pixels) = image(
        &Array::filled(DType::F64, &[2, 2], f64::NAN),
        &Look::default(),
    );
    assert_eq!(pixels, [0; 16]);
    let (.., pixels) = image(
        &ndarray::arr2(&[[f64::MIN, 0.0, f64::MAX]]),
        &Look::default(),
    );
    assert_eq!(pixels[4..8], Ramp::Viridis.colours()[128]);
}

#[test]
fn three_bands_are_colours() {
    let array = ndarray::arr3(&[[[0_u8, 255, 9]], [[10, 20, 9]], [[0, 100, 9]]]);
    let look = Look {
        valid: Some(array.map(|cell| *cell != 9).into_dyn()),
        ..Look::default()
    };
    let (.., pixels) = image(&array, &look);
    assert_eq!(pixels, [0, 0, 0, 255, 255, 255, 255, 255, 0, 0, 0, 0]);
}

#[test]
fn every_ramp_has_a_name_that_is_read() {
    for ramp in Ramp::ALL {
        assert_eq!(ramp.name().parse::<Ramp>().expect("its name"), ramp);
        assert_ne!(ramp.colours()[0], ramp.colours()[255]);
    }
    let error = "rainbow".parse::<Ramp>().expect_err("no ramp");
    assert!(error.to_string().contains("viridis"), "{error}");
    assert_eq!(
        (Ramp::Grays.colours()[0], Ramp::Grays.colours()[255]),
        ([0, 0, 0, 255], [255; 4])
    );
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let mut look = Look::default();
    for shape in [&[4][..], &[2, 3, 3], &[0, 3], &[1, 1, 1, 1]] {
        write_to(Vec::new(), &Array::filled(DType::U8, shape, 0.0), &look).expect_err("no image");
    }
    look.stretch = Some([1.0, f64::NAN]);
    let error = write_to(Vec::new(), &Array::filled(DType::U8, &[1, 1], 0.0), &look)
        .expect_err("no stretch");
    assert!(error.to_string().contains("stretch"), "{error}");
    let look = Look {
        valid: Some(ndarray::ArrayD::from_elem(ndarray::IxDyn(&[1, 2]), true)),
        ..Look::default()
    };
    let error = write_to(Vec::new(), &Array::filled(DType::U8, &[1, 1], 0.0), &look)
        .expect_err("another shape");
    assert!(error.to_string().contains("shape of the array"), "{error}");
}

/// The pixels of one band by what is said of them, colour by colour.
fn expected(array: &ndarray::Array2<u16>, valid: &ndarray::Array2<bool>, look: &Look) -> Vec<u8> {
    let colours = look.ramp.colours();
    let cells = || array.iter().zip(valid);
    let (low, high) = cells()
        .filter(|(_, valid)| **valid)
        .fold((u16::MAX, 0), |(low, high), (cell, _)| {
            (low.min(*cell), high.max(*cell))
        });
    let [low, high] = look.stretch.unwrap_or([f64::from(low), f64::from(high)]);
    let pixel = |(cell, valid): (&u16, &bool)| {
        let part = if high > low {
            (f64::from(*cell) - low) / (high - low)
        } else {
            0.5
        };
        let step = u8::from_f64((part * 255.0).clamp(0.0, 255.0));
        if *valid {
            colours[usize::from(step)]
        } else {
            [0; 4]
        }
    };
    cells().flat_map(pixel).collect()
}

#[test]
fn one_band_is_indexed_and_has_the_colours_of_each_cell() {
    // Few colours, many, all of them, and each with and without gaps; the last are too many for a
    // palette.
    for (count, gaps) in [
        (1, false),
        (3, true),
        (255, true),
        (256, false),
        (256, true),
    ] {
        let array = ndarray::Array2::from_shape_fn((61, 67), |(y, x)| {
            u16::try_from((y * 67 + x) * 31 % count).expect("small")
        });
        let valid = array.map(|cell| !gaps || cell % 7 != 3 || count == 256);
        let valid = ndarray::Array2::from_shape_fn(valid.dim(), |(y, x)| {
            valid[(y, x)] && !(gaps && count == 256 && y == 60)
        });
        let look = Look {
            valid: Some(valid.clone().into_dyn()),
            ..Look::default()
        };
        let (width, height, pixels) = image(&array, &look);
        assert_eq!((width, height), (67, 61));
        assert_eq!(pixels, expected(&array, &valid, &look), "{count} {gaps}");
        let mut out = Vec::new();
        write_to(&mut out, &array, &look).expect("memory takes all");
        let reader = png::Decoder::new(Cursor::new(out))
            .read_info()
            .expect("a PNG");
        let kind = if count == 256 && gaps {
            png::ColorType::Rgba
        } else {
            png::ColorType::Indexed
        };
        assert_eq!(reader.info().color_type, kind, "{count} {gaps}");
    }
}
