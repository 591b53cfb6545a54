//! EXIF orientation: the stored picture turned and mirrored so that its top is up.

use super::scratch;
use crate::record::Picture;

/// Side of the tiles that are transposed at a time: 16 rows of 16 pixels stay in the first cache.
const TILE: usize = 16;

/// Turns a picture upright; any value outside 2..=8 leaves it as it is.
pub(super) fn upright(picture: Picture, orientation: u8) -> Picture {
    match picture.channels {
        3 => turn::<3>(picture, orientation),
        _ => turn::<4>(picture, orientation),
    }
}

/// The eight orientations of the EXIF specification (tag 274), by what has to be done.
fn turn<const CHANNELS: usize>(mut picture: Picture, orientation: u8) -> Picture {
    if (5..=8).contains(&orientation) {
        picture = transpose::<CHANNELS>(picture);
    }
    // After the transposition 5 is done, 6 (a quarter turn clockwise) is left mirrored,
    // 8 (counterclockwise) upside down, and 7 both.
    let (mirror, flip) = match orientation {
        2 | 6 => (true, false),
        3 | 7 => (true, true),
        4 | 8 => (false, true),
        _ => (false, false),
    };
    if mirror && flip {
        picture.data.as_chunks_mut::<CHANNELS>().0.reverse();
    } else if mirror {
        for row in picture.data.chunks_exact_mut(picture.width as usize * CHANNELS) {
            row.as_chunks_mut::<CHANNELS>().0.reverse();
        }
    } else if flip {
        flip_rows(&mut picture.data, picture.width as usize * CHANNELS);
    }
    picture
}

/// Exchanges rows and columns, tile by tile.
fn transpose<const CHANNELS: usize>(picture: Picture) -> Picture {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let mut turned = vec![0; picture.data.len()];
    let from = picture.data.as_chunks::<CHANNELS>().0;
    let to = turned.as_chunks_mut::<CHANNELS>().0;
    for tile_top in (0..height).step_by(TILE) {
        for tile_left in (0..width).step_by(TILE) {
            let bottom = (tile_top + TILE).min(height);
            for column in tile_left..(tile_left + TILE).min(width) {
                let line = &mut to[column * height + tile_top..column * height + bottom];
                for (row, pixel) in (tile_top..bottom).zip(line) {
                    *pixel = from[row * width + column];
                }
            }
        }
    }
    scratch::give(picture.data);
    Picture {
        width: picture.height,
        height: picture.width,
        channels: picture.channels,
        data: turned,
    }
}

/// Exchanges the first row with the last, and so on.
fn flip_rows(data: &mut [u8], stride: usize) {
    let mut rows = data.chunks_exact_mut(stride);
    while let (Some(first), Some(last)) = (rows.next(), rows.next_back()) {
        first.swap_with_slice(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 2 x 3 picture of one letter a pixel: ab / cd / ef.
    fn letters() -> Picture {
        Picture {
            width: 2,
            height: 3,
            channels: 3,
            data: b"abcdef".iter().flat_map(|letter| [*letter; 3]).collect(),
        }
    }

    #[test]
    fn the_eight_orientations_are_undone() {
        let cases = [
            (0, 2, "abcdef"),
            (1, 2, "abcdef"),
            (2, 2, "badcfe"),
            (3, 2, "fedcba"),
            (4, 2, "efcdab"),
            (5, 3, "acebdf"),
            (6, 3, "ecafdb"),
            (7, 3, "fdbeca"),
            (8, 3, "bdface"),
            (9, 2, "abcdef"),
        ];
        for (orientation, width, expected) in cases {
            let turned = upright(letters(), orientation);
            let seen: String = turned.data.iter().step_by(3).map(|byte| *byte as char).collect();
            assert_eq!(
                (turned.width, seen.as_str()),
                (width, expected),
                "orientation {orientation}"
            );
        }
    }

    #[test]
    fn pictures_larger_than_a_tile_are_transposed_whole() {
        let (width, height) = (37_u32, 21_u32);
        let data: Vec<u8> = (0..width * height)
            .flat_map(|at| (at as u16).to_le_bytes().into_iter().chain([7, 9]))
            .collect();
        let picture = Picture {
            width,
            height,
            channels: 4,
            data,
        };
        let turned = upright(picture.clone(), 5);
        for y in 0..height {
            for x in 0..width {
                let (from, to) = (((y * width + x) * 4) as usize, ((x * height + y) * 4) as usize);
                assert_eq!(picture.data[from..from + 4], turned.data[to..to + 4]);
            }
        }
    }
}
