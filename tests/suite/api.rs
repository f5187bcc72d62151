use gridstone::*;
use ndarray::Array2;

fn dem(store: &Store) -> Grid {
    let structure = Structure::builder()
        .dimension(Dimension::regular("space", [Axis::new("y", 0.0, -1.0, 16), Axis::new("x", 0.0, 1.0, 16)]))
        .build()
        .unwrap();
    let schema = Schema::builder(structure, DType::F32).aggregator(Aggregator::Mean).aggregator(Aggregator::Max).build().unwrap();
    store.create("dem", schema).unwrap()
}

#[test]
fn a_put_is_read_back_and_aggregated() {
    let store = Store::in_memory().unwrap();
    let grid = dem(&store);
    let array = Array2::from_shape_fn((100, 77), |(y, x)| (y * 100 + x) as f32);
    let commit = grid.put(&Window::new([0, 0], [100, 77]), &array).unwrap();
    assert_eq!(commit.chunks, 35);
    let read = grid.read(&Query::all()).unwrap();
    assert_eq!(read.array.into_typed::<f32>().unwrap(), array.clone().into_dyn());
    println!("{:?} {:?}", commit, grid.reach());
    let top = grid.reach().unwrap().unwrap();
    let read = grid.read(&Query::all().levels(Levels::zero(1).with(0, Level::new(1).unwrap()))).unwrap();
    println!("{:?} {:?}", read.window, top);
    let got = read.array.into_typed::<f32>().unwrap();
    for y in 0..50 {
        for x in 0..38 {
            let want = (0..2)
                .flat_map(|a| (0..2).map(move |b| (a, b)))
                .map(|(a, b)| f64::from(array[[2 * y + a, 2 * x + b]]))
                .sum::<f64>()
                / 4.0;
            assert_eq!(got[[y, x]], want as f32);
        }
        assert_eq!(got[[y, 38]], ((f64::from(array[[2 * y, 76]]) + f64::from(array[[2 * y + 1, 76]])) / 2.0) as f32);
    }
    let read = grid.read(&Query::all().shape([10, 7]).resampled(Resampling::Area)).unwrap();
    println!("{:?}", read);
}
