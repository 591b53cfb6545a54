//! The check of a device: the same pictures through the same graph there and on the CPU. A device
//! that overflows in 16 bits, or whose libraries are broken in silence, is found before the first
//! picture of a run.

use super::device::Device;
use super::error::ModelError;
use super::session::Precision;

/// How far a device's values may be from the CPU's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Smallest cosine between two rows.
    pub cosine: f64,
    /// Largest difference of two values, as a share of the row's largest value, which counts as at
    /// least 1.
    pub difference: f32,
}

impl Tolerance {
    /// What sums in another order bring, or 11 bits of mantissa in place of 24.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::Graph => Self {
                cosine: 0.9999,
                difference: 2e-3,
            },
            Precision::Float16 => Self {
                cosine: 0.999,
                difference: 2e-2,
            },
        }
    }
}

/// Compares rows of `width` values that a device made with those that the CPU made.
///
/// # Errors
/// `DeviceDiffers`, with the worst row's numbers.
pub fn compare(
    graph: &str,
    device: Device,
    on_device: &[f32],
    on_cpu: &[f32],
    width: usize,
    tolerance: Tolerance,
) -> Result<(), ModelError> {
    let differs = |message: String| ModelError::DeviceDiffers {
        graph: graph.to_owned(),
        device,
        message,
    };
    if on_device.len() != on_cpu.len() || width == 0 {
        return Err(differs(format!(
            "it gives {} values, and the CPU gives {}",
            on_device.len(),
            on_cpu.len()
        )));
    }
    for (given, wanted) in on_device.chunks(width).zip(on_cpu.chunks(width)) {
        if let Some(value) = given.iter().find(|value| !value.is_finite()) {
            return Err(differs(format!("it gives the value {value}")));
        }
        let cosine = cosine(given, wanted);
        let largest = wanted.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        let difference = given
            .iter()
            .zip(wanted)
            .fold(0.0_f32, |worst, (given, wanted)| worst.max((given - wanted).abs()));
        if cosine < tolerance.cosine || difference > tolerance.difference * largest {
            return Err(differs(format!(
                "cosine {cosine:.6} (at least {} is wanted), largest difference {difference:.6} (at most {:.6})",
                tolerance.cosine,
                tolerance.difference * largest
            )));
        }
    }
    Ok(())
}

/// Cosine of two rows; of two rows of zeros 1.
fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(left, left) * dot(right, right)).sqrt();
    if lengths == 0.0 {
        return if dot(left, left) == dot(right, right) { 1.0 } else { 0.0 };
    }
    dot(left, right) / lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(given: &[f32], wanted: &[f32], precision: Precision) -> Result<(), String> {
        let tolerance = Tolerance::of(precision);
        compare("m/image.onnx", Device::Cuda(0), given, wanted, 2, tolerance).map_err(|error| error.to_string())
    }

    #[test]
    fn rounding_passes_and_more_does_not() {
        use Precision::{Float16, Graph};
        let wanted = [0.6, 0.8, 12.0, -5.0];
        assert_eq!(compared(&wanted, &wanted, Graph), Ok(()));
        assert_eq!(compared(&[0.601, 0.799, 12.01, -5.01], &wanted, Graph), Ok(()));
        assert_eq!(compared(&[0.61, 0.79, 12.1, -5.1], &wanted, Float16), Ok(()));
        for (given, says) in [
            (&[0.61, 0.79, 12.0, -5.0][..], "largest difference 0.01"),
            (&[0.6, 0.8, -12.0, 5.0], "cosine -1.0"),
            (&[0.6, 0.8, f32::NAN, -5.0], "the value NaN"),
            (&[0.6, 0.8], "it gives 2 values"),
        ] {
            let error = compared(given, &wanted, Graph).unwrap_err();
            assert!(
                error.contains(says) && error.contains("cuda:0"),
                "{error} should say {says}"
            );
        }
        assert_eq!(compared(&[0.0, 0.0], &[0.0, 0.0], Graph), Ok(()));
    }
}
