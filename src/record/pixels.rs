//! Pixels on their way from a decoder to a model: one upright picture, and the geometries that
//! the models of a plan ask for.

use serde::{Deserialize, Serialize};

/// A decoded picture, upright, 8 bits a channel, rows top to bottom without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels, after orientation.
    pub width: u32,
    /// Height in pixels, after orientation.
    pub height: u32,
    /// 3 (RGB) or 4 (RGBA, straight alpha).
    pub channels: u8,
    /// `height * width * channels` bytes, HWC.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Picture({}x{}x{}, {} bytes)",
            self.width,
            self.height,
            self.channels,
            self.data.len()
        )
    }
}

/// How a picture of any shape becomes a square of `size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Shortest side to `size`, then the centre (CLIP; offsets rounded as torchvision does).
    Crop,
    /// Padded to a square with the background colour, centred, then resized (WD taggers).
    Pad,
    /// Both sides to `size`, without regard to the aspect ratio (BLIP, SigLIP, PixAI).
    Squash,
    /// Longest side to `size`, gaps filled by repeating the outermost row or column (DeepDanbooru).
    Edge,
    /// Longest side to `size`, centred on the background colour (Camie): as `Pad`, but padded after
    /// the resize, not before.
    Letterbox,
    /// Shortest side to `side`, then the centre of `size` (most classifiers: 256, then 224).
    CropFrom {
        /// Pixels of the shortest side before the crop.
        side: u32,
    },
    /// Both sides to `side`, then the centre of `size`.
    SquashCrop {
        /// Pixels of both sides before the crop.
        side: u32,
        /// Compressed as a JPEG of this quality and decompressed again before the crop
        /// (`open_nsfw` learned from such pictures; 4:2:0, as Pillow writes them).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jpeg: Option<u8>,
    },
}

/// Resampling filter, each as Pillow defines it (antialiased when shrinking).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Cubic with a = -0.5.
    Bicubic,
    /// Triangle.
    Bilinear,
    /// Lanczos with three lobes.
    Lanczos,
    /// Nearest neighbour. Only there to show in tests that a wrong filter is noticed.
    Nearest,
}

/// What happens to transparency before resizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alpha {
    /// Composited over the background colour.
    Over,
    /// Ignored: the stored colours are used as they are (Pillow's `convert("RGB")`).
    Drop,
}

/// The square that one or more models want. Equal geometries are computed once a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Geometry {
    /// Side of the square in pixels.
    pub size: u32,
    /// How the aspect ratio is handled.
    pub fit: Fit,
    /// How pixels are resampled.
    pub filter: Filter,
    /// How transparency is handled.
    pub alpha: Alpha,
    /// RGB under transparent pixels and round padded pictures.
    pub background: [u8; 3],
}

impl Geometry {
    /// Bytes of one prepared picture: RGB of a byte each.
    pub fn bytes(&self) -> usize {
        3 * (self.size as usize).pow(2)
    }
}
