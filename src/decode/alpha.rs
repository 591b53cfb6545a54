//! Transparency to opaque RGB: composited over a colour as Pillow's `alpha_composite` rounds it,
//! or dropped as its `convert("RGB")` does.

use crate::record::Alpha;

/// Writes RGB pixels for RGBA ones (straight alpha); both slices hold as many pixels.
pub(super) fn to_rgb(rgba: &[u8], rgb: &mut [u8], alpha: Alpha, background: [u8; 3]) {
    let pixels = rgba.as_chunks::<4>().0.iter().zip(rgb.as_chunks_mut::<3>().0);
    match alpha {
        Alpha::Drop => pixels.for_each(|(from, to)| *to = [from[0], from[1], from[2]]),
        Alpha::Over => pixels.for_each(|(from, to)| *to = over(*from, background)),
    }
}

/// One pixel over an opaque colour. Pillow divides by 255 as `(x + (x >> 8)) >> 8` on values that
/// carry 7 more bits; done the same way, the result is equal to the bit.
fn over([red, green, blue, alpha]: [u8; 4], background: [u8; 3]) -> [u8; 3] {
    let (front, back) = (u32::from(alpha) << 7, u32::from(255 - alpha) << 7);
    let blend = |colour: u8, under: u8| {
        let sum = u32::from(colour) * front + u32::from(under) * back + (0x80 << 7);
        ((((sum >> 8) + sum) >> 8) >> 7) as u8
    };
    [
        blend(red, background[0]),
        blend(green, background[1]),
        blend(blue, background[2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_exact_and_the_middle_is_rounded() {
        for value in 0..=255_u8 {
            assert_eq!(over([value, value, value, 255], [9, 9, 9]), [value; 3]);
            assert_eq!(over([9, 9, 9, 0], [value; 3]), [value; 3]);
            for alpha in 0..=255_u8 {
                let exact = (f64::from(value) * f64::from(alpha) + 200.0 * f64::from(255 - alpha)) / 255.0;
                let blended = f64::from(over([value, value, value, alpha], [200; 3])[0]);
                assert!(
                    (blended - exact).abs() <= 0.51,
                    "{value} at {alpha}: {blended} for {exact}"
                );
            }
        }
    }
}
