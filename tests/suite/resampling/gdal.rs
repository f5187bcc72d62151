//! Where GDAL has the same rule, it has the same values. tests/data/resampling/gdal.py made them.

use gridstone::{
    Aggregation, Axis, DType, Dimension, Query, Resampling, Schema, Store, Structure, Window,
};
use ndarray::Array2;
use serde_json::Value;

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap_or(f64::NAN))
        .collect()
}

#[test]
fn cells_are_those_of_gdal() {
    let golden: Value =
        serde_json::from_str(include_str!("../../data/resampling/gdal.json")).unwrap();
    let len = |name: &str| usize::try_from(golden[name].as_u64().unwrap()).unwrap();
    let (height, width) = (len("height"), len("width"));
    for case in golden["cases"].as_array().unwrap() {
        let (resampling, source) = match case["method"].as_str().unwrap() {
            "nearest" => (Resampling::Nearest, "plain"),
            "bilinear" => (Resampling::Bilinear, "plain"),
            "cubic" => (Resampling::Cubic, "plain"),
            "average" => (Resampling::Area, "holed"),
            other => panic!("`{other}` is not known"),
        };
        let cells = Array2::from_shape_vec((height, width), numbers(&golden[source])).unwrap();
        // Means are read from a pyramid where edges meet; the others see no level but the base.
        let layers: &[&[Aggregation]] = if source == "holed" {
            &[&[], &[Aggregation::Mean]]
        } else {
            &[&[]]
        };
        for layers in layers {
            let space = Dimension::regular(
                "space",
                [Axis::new("y", 0.0, -1.0, 4), Axis::new("x", 0.0, 1.0, 4)],
            );
            let schema = Schema::builder(
                Structure::builder().dimension(space).build().unwrap(),
                DType::F64,
            );
            let schema = layers
                .iter()
                .fold(schema, |schema, layer| schema.aggregator(layer.clone()))
                .build()
                .unwrap();
            let grid = Store::in_memory().unwrap().create("g", schema).unwrap();
            grid.put(&Window::new([0, 0], [height as u64, width as u64]), &cells)
                .unwrap();
            let shape: Vec<usize> = case["shape"]
                .as_array()
                .unwrap()
                .iter()
                .map(|len| usize::try_from(len.as_u64().unwrap()).unwrap())
                .collect();
            let answer = grid
                .read(&Query::all().shape(shape.clone()).resampled(resampling))
                .unwrap();
            let wanted = numbers(&case["cells"]);
            assert_eq!(answer.array.shape(), shape);
            for (number, (found, wanted)) in answer.values().zip(wanted).enumerate() {
                let near = found.map_or(wanted.is_nan(), |found| (found - wanted).abs() < 1e-9);
                assert!(
                    near,
                    "{resampling} to {shape:?} with {layers:?}: cell {number} is {found:?}, GDAL's {wanted}"
                );
            }
        }
    }
}
