//! Options of the devices' providers, as the configuration's `[device]` tables write them.

use serde::{Deserialize, Serialize};

/// Options of every provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderOptions {
    /// `[device.cuda]`
    pub cuda: CudaOptions,
    /// `[device.tensorrt]`
    pub tensorrt: TensorRtOptions,
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
