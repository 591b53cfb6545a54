//! Options of the devices' providers, as the configuration's `[device]` tables write them.

use serde::{Deserialize, Serialize};

use super::device::Device;

/// Options of every provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderOptions {
    /// `[device.cuda]`
    pub cuda: CudaOptions,
    /// `[device.tensorrt]`
    pub tensorrt: TensorRtOptions,
}

/// `device.normalise_on_device`: where bytes become the numbers that a model wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormaliseOnDevice {
    /// On a GPU, so that a quarter of the data crosses to it; for the CPU on the host.
    #[default]
    Auto,
    /// On every device, in front of the model's own graph.
    Always,
    /// On the host.
    Never,
}

impl NormaliseOnDevice {
    /// Whether it is done on this device, which is never `Auto`.
    pub fn holds_for(self, device: Device) -> bool {
        match self {
            Self::Auto => !matches!(device, Device::Cpu | Device::Auto),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// `[device.cuda]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CudaOptions {
    /// Most memory of the card that is taken, in mebibytes; 0 = no limit.
    pub memory_limit_mib: u64,
    /// How the arena grows.
    pub arena: ArenaGrowth,
    /// How convolutions are chosen.
    pub conv_search: ConvSearch,
    /// Products in 19 bits where the card has them: faster, scores move in the third decimal.
    pub tf32: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self {
            memory_limit_mib: 0,
            arena: ArenaGrowth::SameAsRequested,
            conv_search: ConvSearch::Heuristic,
            tf32: false,
        }
    }
}

/// How the arena of device memory grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArenaGrowth {
    /// By what is asked for.
    SameAsRequested,
    /// To the next power of two: fewer allocations, more memory.
    NextPowerOfTwo,
}

/// How convolution algorithms are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConvSearch {
    /// By a quick guess.
    Heuristic,
    /// By trying all: slow at the start, with a large workspace.
    Exhaustive,
    /// The first that works.
    Default,
}

/// `[device.tensorrt]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TensorRtOptions {
    /// Arithmetic in 16 bits; layer norms stay in 32.
    pub fp16: bool,
    /// Keep built engines and timings in the store: building takes minutes.
    pub engine_cache: bool,
    /// Largest workspace while building, in mebibytes; 0 = TensorRT's own.
    pub workspace_mib: u64,
    /// How long the builder searches, 0 to 5.
    pub optimization_level: u8,
}

impl Default for TensorRtOptions {
    fn default() -> Self {
        Self {
            fp16: false,
            engine_cache: true,
            workspace_mib: 0,
            optimization_level: 3,
        }
    }
}
