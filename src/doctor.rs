//! `labelmill doctor`: what is here, what is missing, what to do about it.

use std::io::Write;

use crate::cli::DoctorArgs;
use crate::exit::{ExitStatus, UsageError};
use crate::model::find_onnxruntime::Search;
use crate::model::gpu::GpuFacts;
use crate::model::{Device, ModelError, ModelStore, OnnxRuntime, Runtime};
use crate::progress::human_bytes;

/// Tells which ONNX Runtime, devices and models are found. Ends with `failed` only where a device
/// was asked for by name and cannot be had; metadata runs need none of this.
pub fn doctor(args: &DoctorArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let device: Device = args
        .device
        .parse()
        .map_err(|error| UsageError::error(format!("--device: {error}")))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    writeln!(out, "labelmill {}, {cores} cores", env!("CARGO_PKG_VERSION"))?;
    let status = match OnnxRuntime::load(&Search::from_environment(args.onnxruntime.clone())) {
        Ok(runtime) => {
            describe_library(runtime, out)?;
            let status = describe_devices(runtime, device, out)?;
            describe_gpu(runtime.gpu(), runtime, out)?;
            status
        }
        Err(error) => {
            writeln!(out, "\nno ONNX Runtime: metadata runs work, models do not")?;
            writeln!(out, "{error}")?;
            if device == Device::Auto {
                ExitStatus::Done
            } else {
                ExitStatus::Failed
            }
        }
    };
    describe_models(&ModelStore::from_environment(None), out)?;
    Ok(status)
}

fn describe_library(runtime: &OnnxRuntime, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "\nONNX Runtime {} at {}",
        runtime.version(),
        runtime.path().display()
    )?;
    writeln!(out, "{}", runtime.report())?;
    writeln!(out, "  built for {}", runtime.built_for().join(", "))?;
    Ok(())
}

/// A line a device: what is tried without being asked for, then what was asked for.
fn describe_devices(runtime: &OnnxRuntime, asked: Device, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    writeln!(out, "\ndevices")?;
    let mut devices = vec![Device::Cpu, Device::Cuda(0), Device::TensorRt(0)];
    if asked != Device::Auto && !devices.contains(&asked) {
        devices.push(asked);
    }
    let mut status = ExitStatus::Done;
    for device in devices {
        match runtime.choose(device) {
            Ok(_) => writeln!(out, "  {:<12} works", device.to_string())?,
            Err(ModelError::DeviceNotAvailable { reason, .. }) => {
                writeln!(out, "  {:<12} no: {reason}", device.to_string())?;
                if device == asked {
                    status = ExitStatus::Failed;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    if asked == Device::Auto {
        writeln!(out, "  auto takes   {}", runtime.choose(Device::Auto)?)?;
    }
    Ok(status)
}

fn describe_gpu(facts: &GpuFacts, runtime: &OnnxRuntime, out: &mut dyn Write) -> anyhow::Result<()> {
    if facts.driver.is_none() && !runtime.built_for().contains(&"cuda") {
        writeln!(out, "\nNVIDIA: no driver here")?;
        return Ok(());
    }
    writeln!(out, "\nNVIDIA, CUDA {}", facts.cuda)?;
    match &facts.driver {
        Some(version) => writeln!(out, "  {:<20} {version}", "driver")?,
        None => writeln!(out, "  {:<20} not found in /proc/driver/nvidia", "driver")?,
    }
    for (number, card) in facts.cards.iter().enumerate() {
        writeln!(out, "  {:<20} {card}", format!("card {number}"))?;
    }
    for library in &facts.libraries {
        match &library.path {
            Some(path) => writeln!(out, "  {:<20} {}", library.name, path.display())?,
            None => writeln!(
                out,
                "  {:<20} not found; {}",
                library.name,
                library.part.remedy(facts.cuda)
            )?,
        }
    }
    Ok(())
}

fn describe_models(store: &ModelStore, out: &mut dyn Write) -> anyhow::Result<()> {
    let (mut here, mut bytes, mut known) = (Vec::new(), 0, 0);
    for (name, model) in store.list() {
        match model {
            Ok(model) if model.missing_files().is_empty() => {
                bytes += model.size_here();
                here.push(name);
            }
            Ok(_) => known += 1,
            Err(error) => writeln!(out, "\nbroken: {name}: {error}")?,
        }
    }
    writeln!(out, "\nmodels (labelmill models list tells more)")?;
    writeln!(out, "  here         {} ({})", here.join(", "), human_bytes(bytes))?;
    writeln!(out, "  can be had   {known} more")?;
    if let Some(home) = store.home() {
        writeln!(out, "  store        {}", home.display())?;
    }
    Ok(())
}
