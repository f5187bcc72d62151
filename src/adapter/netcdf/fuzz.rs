//! What a fuzz target and the tests of damaged files run.

use super::{Choice, Field, Like, NetCdf, schema_like};

/// Opens bytes as NetCDF, reads variables, and makes grids after some of them, up to a limit of
/// cells. Errors are expected; a panic is a defect.
pub fn fuzz_netcdf(bytes: &[u8]) {
    const CELLS_MAX: u64 = 1 << 16;
    const FIELDS_MAX: usize = 3;
    let Ok(file) = NetCdf::from_bytes(bytes) else {
        return;
    };
    let variables = &file.header().variables;
    for variable in variables {
        let shape = variable.shape();
        // Cells that were never written need no file, and may be many.
        if shape
            .iter()
            .try_fold(1_u64, |cells, len| cells.checked_mul(*len))
            .is_none_or(|cells| cells > CELLS_MAX)
        {
            continue;
        }
        if let Ok(array) = file.read(&variable.name, &vec![0; shape.len()], &shape) {
            assert!(
                array.shape().iter().map(|len| *len as u64).eq(shape),
                "a box has the shape that was asked for"
            );
        }
    }
    let names = variables
        .iter()
        .rev()
        .take(FIELDS_MAX)
        .map(|variable| Some(variable.name.as_str()))
        .chain([None]);
    for (name, index_axes) in names.flat_map(|name| [(name, false), (name, true)]) {
        let choice = Choice {
            variable: name.map(str::to_owned),
            index_axes,
            ..Choice::default()
        };
        let field = NetCdf::from_bytes(bytes).and_then(|file| Field::new(file, &choice));
        // What is refused, and why, is tested elsewhere.
        let _ = field.and_then(|field| schema_like(&[field], &Like::default()));
    }
}
