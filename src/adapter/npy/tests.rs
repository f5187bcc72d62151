//! Tests of the `.npy` adapter.

use super::*;

fn bytes(array: &Array) -> Vec<u8> {
    let mut out = Vec::new();
    write_to(&mut out, array).expect("memory takes all");
    out
}

#[test]
fn the_header_is_numpys() {
    let array = Array::from(ndarray::arr1(&[1.0_f32, f32::NAN]));
    let file = bytes(&array);
    assert_eq!(&file[..10], b"\x93NUMPY\x01\0\x76\0");
    assert!(file[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }  "));
    assert_eq!(file[127], b'\n');
    assert_eq!(file[128..], [0, 0, 128, 63, 0, 0, 192, 127]);
}

#[test]
fn what_stands_behind_an_array_is_not_passed_over() {
    let one = bytes(&Array::filled(DType::I16, &[2, 3], 7.0));
    let two = [one.clone(), one.clone()].concat();
    let whole = read_whole(one.as_slice()).expect("one array");
    assert_eq!(whole, Array::filled(DType::I16, &[2, 3], 7.0));
    let why = read_whole(two.as_slice())
        .expect_err("two arrays")
        .to_string();
    assert!(why.contains("more stands behind"), "{why}");
    let mut both = two.as_slice();
    let read = |from: &mut &[u8]| read_from(from).expect("reads");
    assert_eq!(read(&mut both), read(&mut both));
}

#[test]
fn records_are_refused_with_a_way() {
    let header =
        "{'descr': [('z', '<i2'), ('q', '|u1')], 'fortran_order': False, 'shape': (1,), }\n";
    let len = u16::try_from(header.len()).expect("short").to_le_bytes();
    let file = [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), &[0; 3]].concat();
    let why = read_whole(file.as_slice())
        .expect_err("records")
        .to_string();
    assert!(why.contains("array['NAME']"), "{why}");
}

#[test]
fn writing_and_reading_are_inverse_for_every_type_and_shape() {
    for dtype in DType::ALL {
        for shape in [&[][..], &[5], &[2, 3], &[2, 0, 3], &[2, 3, 4, 1]] {
            let array = Array::filled(dtype, shape, 7.0);
            assert_eq!(read_from(bytes(&array).as_slice()).expect("reads"), array);
        }
    }
}

#[test]
fn a_view_of_another_layout_is_written_in_c_order() {
    let array =
        ndarray::Array2::from_shape_fn((200, 400), |(y, x)| y * 1000 + x).mapv(|cell| cell as u64);
    let turned = array.t();
    let mut out = Vec::new();
    write_to(&mut out, ArrayView::from(turned)).expect("memory takes all");
    assert_eq!(
        read_from(out.as_slice()).expect("reads"),
        Array::from(turned.to_owned())
    );
}

#[test]
fn fortran_order_and_big_endian_are_read() {
    let mut file = b"\x93NUMPY\x02\0\x42\0\0\0".to_vec();
    file.extend(
        format!(
            "{:<66}",
            "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }"
        )
        .into_bytes(),
    );
    file.extend([0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6]);
    let array = read_from(file.as_slice())
        .expect("reads")
        .into_typed::<i16>()
        .expect("int16");
    assert_eq!(array, ndarray::arr2(&[[1, 3, 5], [2, 4, 6]]).into_dyn());
}

#[test]
fn damaged_files_are_refused_with_the_reason() {
    let good = bytes(&Array::filled(DType::I32, &[4, 4], 1.0));
    for end in 0..good.len() {
        let error = read_from(&good[..end]).expect_err("the file is cut");
        assert!(error.to_string().contains("too early"), "{error}");
    }
    let text = |header: &str| {
        let mut file = b"\x93NUMPY\x01\0\x60\0".to_vec();
        file.extend(format!("{header:<96}").into_bytes());
        read_from(file.as_slice()).expect_err("damaged").to_string()
    };
    assert!(text("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }").contains("`<c8`"));
    assert!(
        text("{'descr': '<f8', 'fortran_order': False, 'shape': (1e9,), }").contains("`shape`")
    );
    assert!(
        text("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999), }")
            .contains("99999999999")
    );
    assert!(
        text("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }")
            .contains("too early")
    );
    assert!(text("{}").contains("`descr`"));
}

#[test]
fn what_cannot_be_read_is_not_taken_for_a_short_file() {
    struct Cut;
    impl Read for Cut {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the line is cut"))
        }
    }
    assert_eq!(
        *read_from(Cut).expect_err("cut").kind(),
        crate::ErrorKind::Unavailable
    );
    assert_eq!(
        *read_from(&b"\x93NUM"[..]).expect_err("short").kind(),
        crate::ErrorKind::Invalid
    );
}
