//! Where the pixels of a tile lie, computed anew from the definition of WebMercatorQuad, and what
//! an image holds.

use std::io::Cursor;

/// The longitude and the latitude of the centre of a pixel.
pub fn place(z: u32, x: u32, y: u32, side: usize, row: usize, col: usize) -> [f64; 2] {
    let world = f64::from(1_u32 << z) * side as f64;
    let px = f64::from(x) * side as f64 + col as f64 + 0.5;
    let py = f64::from(y) * side as f64 + row as f64 + 0.5;
    let lon = px / world * 360.0 - 180.0;
    let merc = std::f64::consts::PI * (1.0 - 2.0 * py / world);
    let lat = (2.0 * merc.exp().atan() - std::f64::consts::FRAC_PI_2).to_degrees();
    [lon, lat]
}

/// The same in metres of EPSG:3857.
pub fn metres(z: u32, x: u32, y: u32, side: usize, row: usize, col: usize) -> [f64; 2] {
    let world = f64::from(1_u32 << z) * side as f64;
    let half = std::f64::consts::PI * 6_378_137.0;
    let px = f64::from(x) * side as f64 + col as f64 + 0.5;
    let py = f64::from(y) * side as f64 + row as f64 + 0.5;
    [
        px / world * 2.0 * half - half,
        half - py / world * 2.0 * half,
    ]
}

/// Width, height and red, green, blue, alpha of each pixel.
pub fn image(png: &[u8]) -> (usize, usize, Vec<[u8; 4]>) {
    let mut decoder = png::Decoder::new(Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let bytes = &bytes[..info.buffer_size()];
    let pixels = match info.color_type {
        png::ColorType::Rgba => bytes.as_chunks::<4>().0.to_vec(),
        png::ColorType::Rgb => bytes
            .as_chunks::<3>()
            .0
            .iter()
            .map(|of| [of[0], of[1], of[2], 255])
            .collect(),
        other => panic!("an image of {other:?}"),
    };
    (info.width as usize, info.height as usize, pixels)
}

/// The heights that Terrarium has in an image; none where it is transparent.
pub fn heights(png: &[u8]) -> Vec<Option<f64>> {
    let (_, _, pixels) = image(png);
    let height = |[red, green, blue, alpha]: [u8; 4]| {
        let number = f64::from(red) * 256.0 + f64::from(green) + f64::from(blue) / 256.0;
        (alpha == 255).then_some(number - 32_768.0)
    };
    pixels.into_iter().map(height).collect()
}
