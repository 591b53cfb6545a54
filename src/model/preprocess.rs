//! Squares of bytes into a graph's input tensor: scale, mean and std, channel order and layout in
//! one pass. The resizing before it is the decode stage's.

use half::f16;

use super::manifest::{Channels, ImageSpec, Layout, Scale};
use super::tensor::{Tensor, TensorData};

/// The pixels of one model, as tables: what each byte of each colour becomes.
#[derive(Debug, Clone)]
pub struct Preprocess {
    size: usize,
    layout: Layout,
    channels: Channels,
    /// By colour (red, green, blue), then by byte.
    floats: Box<[[f32; 256]; 3]>,
}

impl Preprocess {
    /// The tables of a model.
    pub fn new(image: &ImageSpec) -> Self {
        let mut floats = Box::new([[0.0; 256]; 3]);
        let (mean, std) = (image.mean.unwrap_or([0.0; 3]), image.std.unwrap_or([1.0; 3]));
        for ((table, mean), std) in floats.iter_mut().zip(mean).zip(std) {
            for (byte, value) in table.iter_mut().enumerate() {
                let byte = byte as f32;
                let scaled = match image.scale {
                    Scale::ZeroToOne => byte / 255.0,
                    Scale::Bytes => byte,
                    Scale::MinusOneToOne => byte / 127.5 - 1.0,
                };
                *value = (scaled - mean) / std;
            }
        }
        Self {
            size: image.size as usize,
            layout: image.layout,
            channels: image.channels,
            floats,
        }
    }

    /// For a graph that normalises by itself ([`super::bytes_input`]): squares as they are.
    pub fn of_bytes(image: &ImageSpec) -> Self {
        Self {
            layout: Layout::Nhwc,
            channels: Channels::Rgb,
            ..Self::new(image)
        }
    }

    /// Bytes of one square: `size * size * 3`, RGB, HWC.
    pub fn square_bytes(&self) -> usize {
        self.size * self.size * 3
    }

    /// Shape of a tensor of `batch` pictures.
    pub fn shape(&self, batch: usize) -> Vec<usize> {
        match self.layout {
            Layout::Nchw => vec![batch, 3, self.size, self.size],
            Layout::Nhwc => vec![batch, self.size, self.size, 3],
        }
    }

    /// Writes `squares` into the first pictures of `tensor` and zeros into the others. `tensor`
    /// has the shape of [`Self::shape`]; each square has [`Self::square_bytes`]. A tensor of
    /// bytes gets them as they are, for graphs that scale inside.
    pub fn fill(&self, squares: &[&[u8]], tensor: &mut Tensor) {
        match &mut tensor.data {
            TensorData::F32(values) => {
                self.fill_with(squares, values, 0.0, |colour, byte| self.floats[colour][byte as usize]);
            }
            TensorData::F16(values) => {
                self.fill_with(squares, values, f16::ZERO, |colour, byte| {
                    f16::from_f32(self.floats[colour][byte as usize])
                });
            }
            TensorData::U8(values) if (self.layout, self.channels) == (Layout::Nhwc, Channels::Rgb) => {
                let (given, padding) = values.split_at_mut(squares.len() * self.square_bytes());
                for (from, to) in squares.iter().zip(given.chunks_exact_mut(self.square_bytes())) {
                    to.copy_from_slice(from);
                }
                padding.fill(0);
            }
            TensorData::U8(values) => self.fill_with(squares, values, 0, |_, byte| byte),
            // The check at start refuses graphs whose input is of another type.
            TensorData::I64(_) | TensorData::I32(_) => {}
        }
    }

    fn fill_with<T: Copy>(&self, squares: &[&[u8]], values: &mut [T], zero: T, map: impl Fn(usize, u8) -> T) {
        let area = self.size * self.size;
        let mut pictures = values.chunks_exact_mut(area * 3);
        for (square, picture) in squares.iter().zip(&mut pictures) {
            let (red, blue) = match self.channels {
                Channels::Rgb => (0, 2),
                Channels::Bgr => (2, 0),
            };
            match self.layout {
                Layout::Nhwc => {
                    for (from, to) in square.chunks_exact(3).zip(picture.chunks_exact_mut(3)) {
                        to[red] = map(0, from[0]);
                        to[1] = map(1, from[1]);
                        to[blue] = map(2, from[2]);
                    }
                }
                Layout::Nchw => {
                    let (first, rest) = picture.split_at_mut(area);
                    let (second, third) = rest.split_at_mut(area);
                    let (reds, blues) = if red == 0 { (first, third) } else { (third, first) };
                    let planes = reds.iter_mut().zip(second.iter_mut()).zip(blues.iter_mut());
                    for (from, ((r, g), b)) in square.chunks_exact(3).zip(planes) {
                        *r = map(0, from[0]);
                        *g = map(1, from[1]);
                        *b = map(2, from[2]);
                    }
                }
            }
        }
        for picture in pictures {
            picture.fill(zero);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tensor::ElementType;
    use crate::model::testing::image_spec;

    fn image(layout: &str, channels: &str, scale: &str, normalise: bool) -> ImageSpec {
        let numbers = if normalise {
            "mean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.6, 0.7]"
        } else {
            ""
        };
        image_spec(4, layout, channels, scale, numbers)
    }

    /// The same by the definition, an index at a time.
    fn reference(spec: &ImageSpec, squares: &[&[u8]], batch: usize) -> Vec<f32> {
        let size = 4;
        let mut values = vec![0.0; batch * size * size * 3];
        for (n, square) in squares.iter().enumerate() {
            for y in 0..size {
                for x in 0..size {
                    for colour in 0..3 {
                        let byte = f32::from(square[(y * size + x) * 3 + colour]);
                        let scaled = match spec.scale {
                            Scale::ZeroToOne => byte / 255.0,
                            Scale::Bytes => byte,
                            Scale::MinusOneToOne => byte / 127.5 - 1.0,
                        };
                        let value = match (spec.mean, spec.std) {
                            (Some(mean), Some(std)) => (scaled - mean[colour]) / std[colour],
                            _ => scaled,
                        };
                        let channel = if spec.channels == Channels::Bgr {
                            2 - colour
                        } else {
                            colour
                        };
                        let index = match spec.layout {
                            Layout::Nchw => ((n * 3 + channel) * size + y) * size + x,
                            Layout::Nhwc => ((n * size + y) * size + x) * 3 + channel,
                        };
                        values[index] = value;
                    }
                }
            }
        }
        values
    }

    #[test]
    fn every_contract_equals_its_definition() {
        let first: Vec<u8> = (0..48).map(|i| (i * 5) as u8).collect();
        let second: Vec<u8> = (0..48).map(|i| (255 - i * 3) as u8).collect();
        let squares = [first.as_slice(), second.as_slice()];
        for layout in ["nchw", "nhwc"] {
            for channels in ["rgb", "bgr"] {
                for scale in ["0..1", "0..255", "-1..1"] {
                    for normalise in [false, true] {
                        let spec = image(layout, channels, scale, normalise);
                        let preprocess = Preprocess::new(&spec);
                        let mut tensor = Tensor::zeros(ElementType::F32, preprocess.shape(3)).unwrap();
                        // What an earlier batch left behind must not survive as padding.
                        tensor.data = TensorData::F32(vec![7.0; tensor.data.len()]);
                        preprocess.fill(&squares, &mut tensor);
                        let wanted = reference(&spec, &squares, 3);
                        assert_eq!(
                            tensor.data,
                            TensorData::F32(wanted),
                            "{layout} {channels} {scale} {normalise}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_stay_bytes_and_halves_are_rounded_floats() {
        let spec = image("nhwc", "bgr", "0..255", false);
        let preprocess = Preprocess::new(&spec);
        let square: Vec<u8> = (0..48).collect();
        let mut bytes = Tensor::zeros(ElementType::U8, preprocess.shape(1)).unwrap();
        preprocess.fill(&[&square], &mut bytes);
        let TensorData::U8(values) = bytes.data else {
            panic!("bytes were asked for")
        };
        assert_eq!(values[..6], [2, 1, 0, 5, 4, 3]);
        let mut halves = Tensor::zeros(ElementType::F16, preprocess.shape(1)).unwrap();
        preprocess.fill(&[&square], &mut halves);
        let TensorData::F16(values) = halves.data else {
            panic!("halves were asked for")
        };
        assert_eq!(values[0], f16::from_f32(2.0));
    }
}
