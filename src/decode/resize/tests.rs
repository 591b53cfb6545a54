//! Squares against Pillow's, and that the comparison is able to fail.

use std::io::Read;
use std::path::Path;

use super::fits::{crop_window, half_to_even};
use super::*;
use crate::record::Alpha;

/// Pixels of each golden square beside its first and last row, as the script spreads them.
const SAMPLES: u64 = 400;

/// One line of `resize.txt`.
struct Case {
    line: String,
    picture: Picture,
    geometry: Geometry,
    /// First row, last row, then the spread pixels of Pillow's square.
    expected: Vec<u8>,
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/decode")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The picture that the script computes by the same formula.
fn formula(width: u32, height: u32, channels: u8) -> Picture {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let values = [7 * x + 13 * y, (3 * x) ^ (5 * y), x * y + 31, 5 * x + 11 * y];
            data.extend(values.iter().take(channels as usize).map(|value| (value & 255) as u8));
        }
    }
    Picture {
        width,
        height,
        channels,
        data,
    }
}

fn cases() -> Vec<Case> {
    let mut samples = Vec::new();
    flate2::read::ZlibDecoder::new(&golden("resize.zlib")[..])
        .read_to_end(&mut samples)
        .unwrap();
    let text = String::from_utf8(golden("resize.txt")).unwrap();
    text.lines().map(|line| case(line, &samples)).collect()
}

fn case(line: &str, samples: &[u8]) -> Case {
    let words: Vec<&str> = line.split(' ').collect();
    let (width, height) = words[0].split_once('x').unwrap();
    let fit = match words[2] {
        "crop" => Fit::Crop,
        "pad" => Fit::Pad,
        "squash" => Fit::Squash,
        "edge" => Fit::Edge,
        "letterbox" => Fit::Letterbox,
        "crop-from-120" => Fit::CropFrom { side: 120 },
        "squash-crop-120" => Fit::SquashCrop { side: 120, jpeg: None },
        "squash-crop-120-jpeg-75" => Fit::SquashCrop {
            side: 120,
            jpeg: Some(75),
        },
        other => panic!("no fit {other}"),
    };
    let filter = match words[3] {
        "bicubic" => Filter::Bicubic,
        "bilinear" => Filter::Bilinear,
        "lanczos" => Filter::Lanczos,
        "nearest" => Filter::Nearest,
        other => panic!("no filter {other}"),
    };
    let size: u32 = words[4].parse().unwrap();
    let alpha = if words[5] == "over" { Alpha::Over } else { Alpha::Drop };
    let colour: Vec<u8> = words[6].split(',').map(|level| level.parse().unwrap()).collect();
    let geometry = Geometry {
        size,
        fit,
        filter,
        alpha,
        background: [colour[0], colour[1], colour[2]],
    };
    let begin: usize = words[7].parse().unwrap();
    let length = (2 * size as usize + SAMPLES as usize) * 3;
    Case {
        line: line.to_owned(),
        picture: formula(
            width.parse().unwrap(),
            height.parse().unwrap(),
            words[1].parse().unwrap(),
        ),
        geometry,
        expected: samples[begin..begin + length].to_vec(),
    }
}

/// Of a square, what the golden files hold of it.
fn sampled(square: &[u8], size: u32) -> Vec<u8> {
    let pixels = square.as_chunks::<3>().0;
    let row = size as usize;
    let spread = (0..SAMPLES).map(|at| (at * 2_654_435_761 % (1 << 32) % u64::from(size * size)) as usize);
    let mut out: Vec<u8> = [&pixels[..row], &pixels[pixels.len() - row..]].concat().concat();
    out.extend(spread.flat_map(|at| pixels[at]));
    out
}

/// Largest and mean difference of two equally long byte strings.
fn difference(left: &[u8], right: &[u8]) -> (u8, f64) {
    assert_eq!(left.len(), right.len());
    let each = || left.iter().zip(right).map(|(a, b)| a.abs_diff(*b));
    (
        each().max().unwrap_or(0),
        each().map(f64::from).sum::<f64>() / left.len() as f64,
    )
}

#[test]
fn squares_equal_pillow_within_one_level() {
    let mut wrong = Vec::new();
    for case in cases() {
        let squares = resize(&case.picture, &[case.geometry]);
        let (largest, mean) = difference(&sampled(&squares[0], case.geometry.size), &case.expected);
        println!("{} {largest} {mean:.5}", case.line);
        if largest > 1 || mean > 0.02 {
            wrong.push(format!(
                "{}: differs by up to {largest}, {mean:.4} on average",
                case.line
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_filter_or_a_crop_one_pixel_off_is_noticed() {
    for case in cases()
        .iter()
        .filter(|case| case.geometry.filter != Filter::Nearest && case.picture.width > 100)
    {
        let geometry = case.geometry;
        let others = [Filter::Bicubic, Filter::Bilinear, Filter::Lanczos, Filter::Nearest];
        // Enlarged or unchanged, a picture looks much the same with any filter.
        if case.picture.width == geometry.size || matches!(geometry.fit, Fit::SquashCrop { jpeg: Some(_), .. }) {
            continue;
        }
        for filter in others.into_iter().filter(|other| *other != geometry.filter) {
            let squares = resize(&case.picture, &[Geometry { filter, ..geometry }]);
            let (largest, mean) = difference(&sampled(&squares[0], geometry.size), &case.expected);
            assert!(
                largest > 4 && mean > 0.2,
                "{} with {filter:?}: {largest}, {mean}",
                case.line
            );
        }
    }
    let crops = cases()
        .into_iter()
        .filter(|case| case.geometry.fit == Fit::Crop && case.picture.width > 100);
    for case in crops {
        let (canvas, columns, rows) = crop_window(&case.picture, &case.geometry, case.geometry.size);
        for (right, down) in [(1, 0), (0, 1)] {
            let shifted = |axis: Axis, by: u64| Axis {
                start: axis.start + by,
                target: axis.target + by,
                ..axis
            };
            let mut out = vec![0; case.geometry.size.pow(2) as usize * 3];
            let (columns, rows) = (shifted(columns, right), shifted(rows, down));
            WORKSPACE.with_borrow_mut(|workspace| {
                render(workspace, &canvas, case.geometry.filter, columns, rows, &mut out);
            });
            let (largest, mean) = difference(&sampled(&out, case.geometry.size), &case.expected);
            assert!(
                largest > 4 && mean > 0.2,
                "{} shifted {right}, {down}: {largest}, {mean}",
                case.line
            );
        }
    }
}

#[test]
fn several_geometries_at_once_equal_each_alone() {
    let picture = formula(203, 121, 4);
    let geometries: Vec<Geometry> = [
        (Fit::Crop, 48),
        (Fit::Pad, 96),
        (Fit::Squash, 33),
        (Fit::Edge, 64),
        (Fit::Crop, 0),
    ]
    .into_iter()
    .map(|(fit, size)| Geometry {
        size,
        fit,
        filter: Filter::Bicubic,
        alpha: Alpha::Over,
        background: [255; 3],
    })
    .collect();
    let together = resize(&picture, &geometries);
    for (geometry, square) in geometries.iter().zip(&together) {
        assert_eq!(square.len(), (geometry.size * geometry.size * 3) as usize);
        assert_eq!(&resize(&picture, &[*geometry])[0], square);
    }
}

#[test]
fn bands_of_rows_give_the_same_as_one() {
    // 3000 x 900 pixels are several bands; an opaque RGBA picture is the same as its RGB.
    let opaque = formula(3000, 900, 3);
    let data = opaque
        .data
        .as_chunks::<3>()
        .0
        .iter()
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255])
        .collect();
    let with_alpha = Picture {
        channels: 4,
        data,
        ..opaque.clone()
    };
    for fit in [Fit::Crop, Fit::Pad, Fit::Squash, Fit::Edge, Fit::Letterbox] {
        let geometry = Geometry {
            size: 70,
            fit,
            filter: Filter::Lanczos,
            alpha: Alpha::Over,
            background: [1, 2, 3],
        };
        let (largest, _) = difference(&resize(&opaque, &[geometry])[0], &resize(&with_alpha, &[geometry])[0]);
        assert!(largest <= 1, "{fit:?}: {largest}");
    }
}

#[test]
fn extreme_shapes_take_no_time() {
    for (width, height) in [(1, 100_000), (100_000, 1), (2, 70_000), (1, 1)] {
        let picture = Picture {
            width,
            height,
            channels: 3,
            data: vec![77; (width * height * 3) as usize],
        };
        let (side, jpeg) = (256, None);
        let further = [Fit::Letterbox, Fit::CropFrom { side }, Fit::SquashCrop { side, jpeg }];
        let filters = [Filter::Bicubic, Filter::Lanczos, Filter::Nearest];
        let fits = [Fit::Crop, Fit::Pad, Fit::Squash, Fit::Edge];
        let cases = fits.into_iter().flat_map(|fit| filters.map(|filter| (fit, filter)));
        for (fit, filter) in cases.chain(further.map(|fit| (fit, Filter::Bicubic))) {
            let geometry = Geometry {
                size: 224,
                fit,
                filter,
                alpha: Alpha::Over,
                background: [77; 3],
            };
            assert!(
                resize(&picture, &[geometry])[0].iter().all(|level| *level == 77),
                "{width}x{height} {fit:?}"
            );
        }
    }
}

#[test]
fn halves_are_rounded_to_even() {
    assert_eq!(
        [0, 1, 2, 3, 4, 5, 7, 111, 113].map(half_to_even),
        [0, 0, 1, 2, 2, 2, 4, 56, 56]
    );
}
