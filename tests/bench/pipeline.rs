//! The whole pipeline with a stand-in device: pictures are read, decoded and written for real, the
//! model only waits. Prints one JSON object.
//!
//! `pipeline-bench FOLDER MODEL OUT WAIT_MS DEVICES BATCH`: MODEL is a tagger's folder (its graph
//! is not loaded), WAIT_MS the time of one batch, 0 to time the decode alone. Started by
//! `scripts/bench/pipeline`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use labelmill::decode::DecodeOptions;
use labelmill::label::{self, LabelerOptions};
use labelmill::metadata::ReadOptions;
use labelmill::model::standin::{StandInGraph, StandInRuntime};
use labelmill::model::tensor::{ElementType, Tensor, TensorData, TensorInfo};
use labelmill::model::{Model, ModelStore};
use labelmill::pipeline::{self, Device, Run, RunOptions};
use labelmill::prepare::{PrepareOptions, StealthSearch};
use labelmill::progress::Hidden;
use labelmill::record::{Destination, GroupSet, WorkItem};
use labelmill::report::RunReport;
use labelmill::source::{FolderOptions, FolderSource, Root, Source};
use labelmill::stop::Stop;
use labelmill::write::{
    ColumnGroup, Dataset, DatasetSpec, Ending, PromptPolicy, RealFs, ReconcileOptions, WriteOptions,
};

/// Tags that the stand-in scores.
const TAGS: usize = 1000;

struct Arguments {
    folder: String,
    model: String,
    out: String,
    wait: Duration,
    devices: usize,
    batch: usize,
}

fn main() -> anyhow::Result<()> {
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let [folder, model, out, wait_ms, devices, batch] = typed.as_slice() else {
        bail!("usage: pipeline-bench FOLDER MODEL OUT WAIT_MS DEVICES BATCH");
    };
    let arguments = Arguments {
        folder: folder.clone(),
        model: model.clone(),
        out: out.clone(),
        wait: Duration::from_secs_f64(wait_ms.parse::<f64>().context("WAIT_MS")? / 1000.0),
        devices: devices.parse().context("DEVICES")?,
        batch: batch.parse().context("BATCH")?,
    };
    let model = ModelStore::default().resolve(&arguments.model)?;
    let source = FolderSource::new(vec![Root::parse(&arguments.folder)?], FolderOptions::default())?;
    run(&arguments, &model, &source)
}

fn run(arguments: &Arguments, model: &Model, source: &FolderSource) -> anyhow::Result<()> {
    let runtime = stand_in(model, arguments.wait);
    let options = LabelerOptions {
        batch: arguments.batch,
        ..LabelerOptions::default()
    };
    let labeler = label::open(model, &runtime, &options)?;
    let group = ColumnGroup {
        name: "tagger:stand-in".into(),
        fingerprint: labeler.fingerprint().to_owned(),
        fields: labeler.fields(),
    };
    let prepare = prepare(labeler.geometries());
    let mut devices = vec![Device::new(vec![labeler], &prepare.geometries, None)];
    for _ in 1..arguments.devices {
        devices.push(Device::new(
            vec![label::open(model, &runtime, &options)?],
            &prepare.geometries,
            None,
        ));
    }
    let mut dataset = Dataset::open(Path::new(&arguments.out), spec(group), Arc::new(RealFs))?;
    let changes = dataset.reconcile(ReconcileOptions::default()).finish(&[])?;
    let sink = Box::new(dataset.sink(&changes)?);
    let work = source.walk().map(|image| WorkItem {
        image,
        destination: Destination::Append,
        groups: GroupSet::all(1),
    });
    let stop = Stop::new(None);
    let mut report = RunReport::begin(Path::new(&arguments.out), &["bench".into()]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    pipeline::run(
        Run {
            work: Box::new(work),
            prepare,
            devices,
            sink,
            options: RunOptions {
                images_per_batch: arguments.batch,
                threads,
            },
            ending: Ending::Complete,
            stop: &stop,
            progress: &Hidden,
        },
        &mut report,
    )?;
    let secs = started.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({"secs": secs, "labeled": report.labeled, "failed": report.failed, "stages": report.stage_secs})
    );
    Ok(())
}

/// A device that waits and gives every tag a logit that is below the floor of most models.
fn stand_in(model: &Model, wait: Duration) -> StandInRuntime {
    let image = &model.manifest.image;
    let size = Some(image.size as usize);
    let graph = StandInGraph {
        inputs: vec![TensorInfo {
            name: image.input.clone(),
            element: ElementType::F32,
            shape: vec![None, Some(3), size, size],
        }],
        outputs: vec![TensorInfo {
            name: image.output.clone(),
            element: ElementType::F32,
            shape: vec![None, Some(TAGS)],
        }],
        wait,
        answer: Arc::new(|inputs, _| {
            let batch = inputs[0].1.shape[0];
            Ok(Tensor {
                shape: vec![batch, TAGS],
                data: TensorData::F32(vec![-1.0; batch * TAGS]),
            })
        }),
    };
    StandInRuntime::default().with_graph(&format!("{}/{}", model.manifest.name, image.file), graph)
}

fn prepare(geometries: Vec<labelmill::record::Geometry>) -> PrepareOptions {
    PrepareOptions {
        geometries,
        max_file_bytes: 1 << 30,
        decode: DecodeOptions::default(),
        read: ReadOptions::default(),
        exif_orientation: true,
        sidecars: true,
        stealth: StealthSearch::Off,
        keep_raw: true,
        hash: true,
        twins: None,
    }
}

fn spec(tagger: ColumnGroup) -> DatasetSpec {
    let metadata = ColumnGroup {
        name: "metadata".into(),
        fingerprint: "bench".into(),
        fields: Vec::new(),
    };
    DatasetSpec {
        groups: vec![metadata, tagger],
        options: WriteOptions::default(),
        plan_toml: String::new(),
        model_names: vec!["stand-in".into()],
        demo: false,
        gps: false,
        prompt: PromptPolicy::default(),
        root_folders: BTreeMap::new(),
    }
}
