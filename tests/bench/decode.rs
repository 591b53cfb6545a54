//! Times decoding and resizing on one thread and prints a JSON object a file.
//!
//! `decode-bench ROUNDS exact|fast FILE…`: for each file the milliseconds of each round for
//! `decode` alone and for `decode` with a 224-pixel bicubic crop (what CLIP wants). Started by
//! `scripts/bench/decode`, which interleaves it with Pillow.

use std::time::Instant;

use labelmill::decode::{self, DecodeOptions, JpegScale};
use labelmill::record::{Alpha, Filter, Fit, Geometry};

const SIZE: u32 = 224;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rounds, scale, files @ ..] = arguments.as_slice() else {
        eprintln!("usage: decode-bench ROUNDS exact|fast FILE...");
        std::process::exit(2);
    };
    let rounds: usize = rounds.parse().expect("ROUNDS is a number");
    let jpeg_scale = match scale.as_str() {
        "fast" => JpegScale::Fast {
            smallest_short_side: 3 * SIZE,
        },
        _ => JpegScale::Exact,
    };
    let options = DecodeOptions {
        jpeg_scale,
        ..DecodeOptions::default()
    };
    for file in files {
        let bytes = std::fs::read(file).expect("the script made this file");
        let (mut decoding, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (decode_ms, whole_ms) = one_round(&bytes, &options);
            decoding.push(decode_ms);
            whole.push(whole_ms);
        }
        println!("{{\"file\": {file:?}, \"decode_ms\": {decoding:?}, \"whole_ms\": {whole:?}}}");
    }
}

/// Milliseconds of the decode, and of the decode and the resize together.
fn one_round(bytes: &[u8], options: &DecodeOptions) -> (f64, f64) {
    let geometry = Geometry {
        size: SIZE,
        fit: Fit::Crop,
        filter: Filter::Bicubic,
        alpha: Alpha::Over,
        background: [255, 255, 255],
    };
    let start = Instant::now();
    let picture = decode::decode(bytes, 1, options).expect("the script made a sound picture");
    let decode_ms = start.elapsed().as_secs_f64() * 1000.0;
    let squares = decode::resize(&picture, &[geometry]);
    decode::recycle(picture);
    let whole_ms = start.elapsed().as_secs_f64() * 1000.0;
    assert_eq!(squares[0].len(), (SIZE * SIZE * 3) as usize);
    (decode_ms, whole_ms)
}
