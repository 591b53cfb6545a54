//! Times decoding and resizing on one thread and prints a JSON object a file.
//!
//! `decode-bench ROUNDS exact|fast|raw FILE…`: for each file the milliseconds of each round for
//! `decode` alone and for `decode` with a 224-pixel bicubic crop (what CLIP wants). `raw` is the limit: the `png`
//! crate or libjpeg-turbo and one call of `fast_image_resize`, with nothing between. Started by
//! `scripts/bench/decode`, which interleaves it with Pillow.

use std::io::Cursor;
use std::time::Instant;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use labelmill::decode::{self, DecodeOptions, JpegScale};
use labelmill::record::{Alpha, Filter, Fit, Geometry};

const SIZE: u32 = 224;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rounds, scale, files @ ..] = arguments.as_slice() else {
        eprintln!("usage: decode-bench ROUNDS exact|fast|raw FILE...");
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
        let mut raw = Raw::default();
        for _ in 0..rounds {
            let (decode_ms, whole_ms) = match scale.as_str() {
                "raw" => raw.one_round(&bytes),
                _ => one_round(&bytes, &options),
            };
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

/// The bare libraries, with buffers that are kept.
#[derive(Default)]
struct Raw {
    pixels: Vec<u8>,
    resizer: Resizer,
}

impl Raw {
    fn one_round(&mut self, bytes: &[u8]) -> (f64, f64) {
        let start = Instant::now();
        let (width, height) = if bytes.starts_with(b"\x89PNG") {
            self.decode_png(bytes)
        } else {
            self.decode_jpeg(bytes)
        };
        let decode_ms = start.elapsed().as_secs_f64() * 1000.0;
        let square = self.resize(width, height);
        let whole_ms = start.elapsed().as_secs_f64() * 1000.0;
        assert_eq!(square.len(), (SIZE * SIZE * 3) as usize);
        (decode_ms, whole_ms)
    }

    fn decode_png(&mut self, bytes: &[u8]) -> (u32, u32) {
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().expect(SOUND);
        self.pixels.resize(reader.output_buffer_size().expect(SOUND), 0);
        let frame = reader.next_frame(&mut self.pixels).expect(SOUND);
        (frame.width, frame.height)
    }

    fn decode_jpeg(&mut self, bytes: &[u8]) -> (u32, u32) {
        let mut decompressor = turbojpeg::Decompressor::new().expect(SOUND);
        let header = decompressor.read_header(bytes).expect(SOUND);
        let pitch = header.width * 3;
        self.pixels.resize(pitch * header.height, 0);
        let output = turbojpeg::Image {
            pixels: self.pixels.as_mut_slice(),
            width: header.width,
            pitch,
            height: header.height,
            format: turbojpeg::PixelFormat::RGB,
        };
        decompressor.decompress(bytes, output).expect(SOUND);
        (header.width as u32, header.height as u32)
    }

    fn resize(&mut self, width: u32, height: u32) -> Vec<u8> {
        let side = f64::from(width.min(height));
        let (left, top) = ((f64::from(width) - side) / 2.0, (f64::from(height) - side) / 2.0);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
            .crop(left, top, side, side)
            .use_alpha(false);
        let from = ImageRef::new(width, height, &self.pixels, PixelType::U8x3).expect(SOUND);
        let mut to = Image::new(SIZE, SIZE, PixelType::U8x3);
        self.resizer.resize(&from, &mut to, &options).expect(SOUND);
        to.into_vec()
    }
}

const SOUND: &str = "the script made a sound RGB picture";
