//! Options of sessions: threads and memory, and how each device's providers are registered.

use ort::ep;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::model::device::Device;
use crate::model::provider_options::{ArenaGrowth, ConvSearch};
use crate::model::session::{CpuFallback, Precision, SessionOptions};

/// Options that hold for every session. The caller's threads are always stated: the library's own
/// default is the host's core count with pinned threads, which fails in containers. Spinning is
/// off because decoding shares the cores. Every batch has one shape, so memory patterns pay and
/// the arena does not grow.
pub(super) fn session_builder(
    environment: &ort::environment::Environment,
    options: &SessionOptions,
) -> ort::Result<SessionBuilder> {
    let mut builder = ort::session::Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(options.threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_memory_pattern(true)?
        .with_log_level(ort::logging::LogLevel::Warning)?;
    let providers = match options.device {
        // Named with its arena on: the binding's default for a registered CPU is off.
        Device::Cpu | Device::Auto => vec![ep::CPU::default().with_arena_allocator(true).build()],
        Device::Cuda(number) => vec![cuda(number, options)],
        // What TensorRT leaves goes to CUDA, never silently to the CPU.
        Device::TensorRt(number) => vec![tensorrt(number, options), cuda(number, options)],
    };
    if options.device != Device::Cpu && options.cpu_fallback == CpuFallback::Refuse {
        builder = builder.with_disable_cpu_fallback()?;
    }
    Ok(builder.with_execution_providers(providers)?)
}

fn cuda(number: u32, options: &SessionOptions) -> ep::ExecutionProviderDispatch {
    let options = &options.providers.cuda;
    let mut provider = ep::CUDA::default()
        .with_device_id(number.try_into().unwrap_or(i32::MAX))
        .with_arena_extend_strategy(match options.arena {
            ArenaGrowth::SameAsRequested => ep::ArenaExtendStrategy::SameAsRequested,
            ArenaGrowth::NextPowerOfTwo => ep::ArenaExtendStrategy::NextPowerOfTwo,
        })
        .with_conv_algorithm_search(match options.conv_search {
            ConvSearch::Heuristic => ep::cuda::ConvAlgorithmSearch::Heuristic,
            ConvSearch::Exhaustive => ep::cuda::ConvAlgorithmSearch::Exhaustive,
            ConvSearch::Default => ep::cuda::ConvAlgorithmSearch::Default,
        })
        .with_tf32(options.tf32);
    if options.memory_limit_mib > 0 {
        provider = provider.with_memory_limit(bytes(options.memory_limit_mib));
    }
    provider.build().error_on_failure()
}

fn bytes(mebibytes: u64) -> usize {
    usize::try_from(mebibytes.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

fn tensorrt(number: u32, options: &SessionOptions) -> ep::ExecutionProviderDispatch {
    let mut provider = ep::TensorRT::default()
        .with_device_id(number.try_into().unwrap_or(i32::MAX))
        .with_fp16(options.precision == Precision::Float16)
        // Layer norms overflow in 16 bits (onnxruntime issue 13639).
        .with_layer_norm_fp32_fallback(true)
        .with_builder_optimization_level(options.providers.tensorrt.optimization_level);
    if options.providers.tensorrt.workspace_mib > 0 {
        provider = provider.with_max_workspace_size(bytes(options.providers.tensorrt.workspace_mib));
    }
    if let Some(folder) = &options.engine_cache {
        let folder = folder.display();
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(folder.to_string());
        provider = provider.with_timing_cache(true).with_timing_cache_path(folder);
    }
    if !options.fixed_inputs.is_empty() {
        // Equal profiles: one engine for the one shape, built once, and found again in the cache
        // only when the same three are given.
        let shapes = profile(&options.fixed_inputs);
        provider = provider
            .with_profile_min_shapes(&shapes)
            .with_profile_opt_shapes(&shapes)
            .with_profile_max_shapes(shapes);
    }
    provider.build().error_on_failure()
}

/// `name:1x3x224x224,…`, as TensorRT profiles are written.
pub(super) fn profile(inputs: &[(String, Vec<usize>)]) -> String {
    let one = |(name, shape): &(String, Vec<usize>)| {
        format!(
            "{name}:{}",
            shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
        )
    };
    inputs.iter().map(one).collect::<Vec<_>>().join(",")
}
