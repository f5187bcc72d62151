//! Tests of the GeoTIFF adapter.

use super::*;

#[test]
fn tmp_dump() {
    let Ok(path) = std::env::var("TIF") else { return };
    let start = std::time::Instant::now();
    let mut tif = GeoTiff::open(path).unwrap();
    println!("{:?}", tif.header());
    let mut sum = 0.0;
    let mut n = 0usize;
    for w in tif.plan(512, 64 << 20) {
        let a = tif.read(&w).unwrap();
        n += a.shape().iter().product::<usize>();
        sum += a.iter_f64().enumerate().map(|(i, v)| v * ((i % 7) as f64)).sum::<f64>();
        if std::env::var("V").is_ok() {
            println!("{w:?} {}", a.iter_f64().sum::<f64>());
        }
    }
    println!("{n} {sum} {:?}", start.elapsed());
}
