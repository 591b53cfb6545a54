//! `labelmill doctor`: what is here, what is missing, what to do about it.

use std::io::Write;

use crate::cli::DoctorArgs;
use crate::exit::{ExitStatus, UsageError};
use crate::model::find_onnxruntime::Search;
use crate::model::{Device, ModelError, ModelStore, OnnxRuntime, Runtime};

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
        Ok(runtime) => describe_runtime(runtime, device, out)?,
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
    writeln!(out, "\nmodels (labelmill models list)")?;
    for (name, model) in ModelStore::from_environment(None).list() {
        match model {
            Ok(model) => writeln!(out, "  {name:<24} {}", model_state(&model))?,
            Err(error) => writeln!(out, "  {name:<24} {error}")?,
        }
    }
    Ok(status)
}

fn describe_runtime(runtime: &'static OnnxRuntime, device: Device, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    writeln!(
        out,
        "\nONNX Runtime {} at {}",
        runtime.version(),
        runtime.path().display()
    )?;
    writeln!(out, "{}", runtime.report())?;
    writeln!(out, "built for {}", runtime.built_for().join(", "))?;
    match runtime.choose(device) {
        Ok(chosen) => {
            writeln!(out, "device {chosen}")?;
            Ok(ExitStatus::Done)
        }
        Err(error @ ModelError::DeviceNotAvailable { .. }) => {
            writeln!(out, "{}", error.chain())?;
            Ok(ExitStatus::Failed)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a model can be used, and what it is.
pub fn model_state(model: &crate::model::Model) -> String {
    let manifest = &model.manifest;
    let demo = if manifest.demo { "demo, " } else { "" };
    let place = match model.folder() {
        Some(folder) => folder.display().to_string(),
        None => "embedded".to_owned(),
    };
    let missing = model.missing_files();
    let here = if missing.is_empty() {
        String::new()
    } else {
        format!("; lacks {}", missing.join(", "))
    };
    format!(
        "{}: {demo}{} [{}] ({place}{here})",
        manifest.kind.as_str(),
        manifest.description,
        manifest.licence
    )
}
