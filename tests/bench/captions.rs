//! Captions squares of raw bytes and prints the ids, how long it took, and the peak of memory, as JSON.
//!
//! `captions-bench MODEL-FOLDER SQUARES THREADS BATCH KEY=VALUE…`: SQUARES holds one picture after
//! another, RGB, of the model's size; the keys are those of `[model.caption]`. Loading is not
//! timed. Started by `scripts/bench/captions`.

use std::time::Instant;

use labelmill::label::caption::open_captioner;
use labelmill::label::{CaptionOptions, LabelerOptions};
use labelmill::model::find_onnxruntime::Search;
use labelmill::model::{Device, ModelStore, OnnxRuntime};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, squares, threads, batch, settings @ ..] = arguments.as_slice() else {
        eprintln!("usage: captions-bench MODEL-FOLDER SQUARES THREADS BATCH KEY=VALUE...");
        std::process::exit(2);
    };
    let options = LabelerOptions {
        device: Device::Cpu,
        threads: threads.parse().expect("THREADS is a number"),
        batch: batch.parse().expect("BATCH is a number"),
        caption: search(settings),
        ..LabelerOptions::default()
    };
    let runtime = OnnxRuntime::load(&Search::from_environment(None)).expect("there is an ONNX Runtime");
    let model = ModelStore::default().resolve(model).expect("the folder holds a model");
    let mut captioner = open_captioner(&model, runtime, &options).expect("the model is a captioner");
    let bytes = std::fs::read(squares).expect("the script made this file");
    let side = captioner.geometry().size as usize;
    let pictures: Vec<Option<&[u8]>> = bytes.chunks_exact(side * side * 3).map(Some).collect();

    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    let captions = captioner.caption(&pictures).expect("the model works");
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu_before);
    let captions: Vec<_> = captions
        .into_iter()
        .map(|caption| caption.expect("every picture is there").expect("no picture fails"))
        .collect();
    let ids: Vec<&Vec<i64>> = captions.iter().map(|caption| &caption.ids).collect();
    let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
    let told = serde_json::json!({
        "seconds": seconds, "cpu_seconds": cpu, "peak_kib": peak_kib(), "ids": ids, "texts": texts,
    });
    println!("{told}");
}

fn search(settings: &[String]) -> CaptionOptions {
    let mut options = CaptionOptions::default();
    for setting in settings {
        let (key, value) = setting.split_once('=').expect("a setting is KEY=VALUE");
        let number = || value.parse().expect("the value is a number");
        match key {
            "prompted" => options.prompted = Some(value == "true"),
            "beams" => options.beams = Some(number()),
            "min_length" => options.min_length = Some(number()),
            "max_length" => options.max_length = Some(number()),
            "repetition_penalty" => options.repetition_penalty = Some(value.parse().expect("the value is a number")),
            other => panic!("no setting is called {other}"),
        }
    }
    options
}

/// Seconds that this process has used of processors.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
