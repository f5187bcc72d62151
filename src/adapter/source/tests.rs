//! Sources of one's own, and arrays.

use ndarray::{Array2, Array3, ArrayD, IxDyn};

use super::*;
use crate::grid::Levels;
use crate::{Axis, Dimension, ErrorKind, Grid, Level, Overlap, Query, Schema, Store, Structure};

fn grid(dtype: DType, nodata: Option<f64>) -> Grid {
    let axes = [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)];
    let structure = Structure::builder()
        .dimension(Dimension::fixed("band", ["a", "b"]))
        .dimension(Dimension::regular("space", axes));
    let schema = Schema::builder(structure.build().expect("a structure"), dtype);
    let schema = nodata
        .into_iter()
        .fold(schema, |schema, nodata| schema.nodata(nodata));
    Store::in_memory()
        .expect("a store")
        .create("g", schema.build().expect("a schema"))
        .expect("a grid")
}

/// A source that gives its array cell by cell, counts nothing, and fails at one of them.
struct Cells {
    footprint: Footprint,
    array: Array3<u8>,
    valid: Option<ArrayD<u8>>,
    fails_at: Option<usize>,
}

impl Source for Cells {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }

    fn blocks(&self) -> Vec<Block> {
        let cells = self.array.indexed_iter().enumerate();
        let start = |at: usize| i64::try_from(at).expect("small");
        cells
            .map(|(number, ((b, y, x), _))| Block {
                number,
                ..Block::new(Window::new([start(b), start(y), start(x)], [1, 1, 1]))
            })
            .collect()
    }

    fn read(&mut self, block: &Block) -> Result<SourceCells> {
        if self.fails_at == Some(block.number) {
            return Err(crate::Error::unavailable("the line is cut"));
        }
        let cell = self
            .array
            .iter()
            .nth(block.number)
            .copied()
            .expect("one of the blocks");
        let valid = self
            .valid
            .as_ref()
            .and_then(|valid| valid.iter().nth(block.number));
        let one = |value: u8| ArrayD::from_elem(IxDyn(&[1, 1, 1]), value);
        Ok(SourceCells {
            array: one(cell).into(),
            valid: valid.map(|valid| one(*valid)),
            found: None,
        })
    }
}

fn cells(array: Array3<u8>) -> Cells {
    let shape = [2, array.shape()[1] as u64, array.shape()[2] as u64];
    Cells {
        footprint: Footprint::new("made", vec![Window::new([0, 0, 0], shape)], DType::U8),
        array,
        valid: None,
        fails_at: None,
    }
}

fn counting() -> Array3<u8> {
    Array3::from_shape_fn((2, 5, 3), |(b, y, x)| {
        u8::try_from(100 * b + 10 * y + x).expect("small")
    })
}

#[test]
fn a_source_of_ones_own_is_laid_into_the_grid() {
    let grid = grid(DType::U8, Some(0.0));
    let mut import = Import::new(&grid, cells(counting())).expect("fits");
    let checked = import.check(&mut |_| {}).expect("whole");
    assert_eq!((checked.is_blank, checked.nodata_cells), (false, 0));
    let mut told = 0;
    let done = import.write(&mut |cells| told += cells).expect("written");
    assert_eq!((done.cells, told), (30, 30));
    assert_eq!(
        grid.read(&Query::all()).expect("reads").array,
        counting().into_dyn().into()
    );
    let mut blank = Import::new(&grid, cells(Array3::zeros((2, 5, 3)))).expect("fits");
    assert!(
        blank.check(&mut |_| {}).expect("whole").is_blank,
        "only nodata"
    );
    let mut again = Import::new(&grid, cells(counting()))
        .expect("fits")
        .over(Overlap::Refuse);
    assert_eq!(
        *again.check(&mut |_| {}).expect_err("there already").kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn a_mask_says_which_cells_hold_data_where_no_value_can() {
    let grid = grid(DType::U8, None);
    let valid = ArrayD::from_shape_fn(IxDyn(&[2, 5, 3]), |at| u8::from(at[1] != 2));
    let source = Cells {
        valid: Some(valid),
        ..cells(counting())
    };
    let mut import = Import::new(&grid, source).expect("fits");
    import.write(&mut |_| {}).expect("written");
    let answer = grid.read(&Query::all()).expect("reads");
    assert_eq!(
        answer.valid().expect("some hold none"),
        ArrayD::from_shape_fn(IxDyn(&[2, 5, 3]), |at| at[1] != 2)
    );
}

#[test]
fn a_source_that_fails_is_named() {
    let grid = grid(DType::U8, Some(0.0));
    let source = || Cells {
        fails_at: Some(7),
        ..cells(counting())
    };
    let error = Import::new(&grid, source())
        .expect("fits")
        .check(&mut |_| {})
        .expect_err("cut");
    assert!(error.to_string().contains("the line is cut"), "{error}");
    let error = Import::new(&grid, source())
        .expect("fits")
        .write(&mut |_| {})
        .expect_err("cut");
    assert!(
        error.to_string().contains("`made` cannot be imported"),
        "{error}"
    );
    assert_eq!(grid.bounds().expect("reads"), None, "nothing is half there");
}

#[test]
fn an_array_lies_in_its_window_at_its_level() {
    let grid = grid(DType::F32, None);
    let array = Array2::from_shape_fn((300, 7), |(y, x)| (y * 7 + x) as f32);
    let levels = Levels::zero(2).with(1, Level::new(-1).expect("a level"));
    let window = Window::new([1, -150, 3], [1, 300, 7]).at(levels);
    let source = ArraySource::new(&grid, "it", window, array.clone().into()).expect("fits");
    Import::new(&grid, source)
        .expect("fits")
        .write(&mut |_| {})
        .expect("written");
    let answer = grid.read(&Query::window(window)).expect("reads");
    assert_eq!(
        answer.array,
        array
            .clone()
            .into_shape_with_order((1, 300, 7))
            .expect("as many")
            .into()
    );
    let refused = |window: Window, array: Array| {
        ArraySource::new(&grid, "it", window, array)
            .expect_err("refused")
            .to_string()
    };
    let other = refused(Window::new([0, 0, 0], [1, 7, 300]), array.clone().into());
    assert!(
        other.contains("[300, 7]") && other.contains("[1, 7, 300]"),
        "{other}"
    );
    let typed = refused(window, array.mapv(f64::from).into());
    assert!(
        typed.contains("float64") && typed.contains(".astype(\"float32\")"),
        "{typed}"
    );
}
