//! From the plan's model entries to labelers ready to work.

use anyhow::Context;

use super::interrogate::{self, Opening, Readiness};
use crate::cli::EmbeddingType;
use crate::config::{BatchSize, CaptionConfig};
use crate::label::{
    self, BatchChoice, CaptionOptions, Comparison, Labeler, LabelerOptions, OPENING_BATCH, Sizing, Towers,
};
use crate::model::find_onnxruntime::Search;
use crate::model::in_turn::InTurn;
use crate::model::manifest::ModelKind;
use crate::model::provider_options::ProviderOptions;
use crate::model::session::Precision;
use crate::model::{Device, Model, ModelStore, OnnxRuntime, Runtime, engine_cache};
use crate::plan::RunPlan;
use crate::progress::Progress;
use crate::record::Geometry;
use crate::report::RunReport;
use crate::write::{ColumnGroup, UNKNOWN_FINGERPRINT};

/// The labelers of a plan, loaded and checked.
pub struct Labelers {
    /// A device's each, in the plan's order; the first device's stand for all.
    pub per_device: Vec<Vec<Box<dyn Labeler>>>,
    /// Their models' names.
    pub names: Vec<String>,
    /// Whether one of the models is a demo.
    pub demo: bool,
    /// The devices they run on.
    pub device: Option<String>,
    groups: Vec<ColumnGroup>,
}

impl Labelers {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.of_first().len()
    }

    fn of_first(&self) -> &[Box<dyn Labeler>] {
        self.per_device.first().map_or(&[], Vec::as_slice)
    }

    /// The distinct squares that they want.
    pub fn geometries(&self) -> Vec<Geometry> {
        let mut distinct = Vec::new();
        for geometry in self.of_first().iter().flat_map(|labeler| labeler.geometries()) {
            if !distinct.contains(&geometry) {
                distinct.push(geometry);
            }
        }
        distinct
    }

    /// One column group a labeler, in the plan's order.
    pub fn groups(&self) -> Vec<ColumnGroup> {
        self.groups.clone()
    }

    /// Chooses the batches that the plan leaves open, for a run over so many images.
    pub fn fit_batches(&mut self, images: u64) -> anyhow::Result<Vec<BatchChoice>> {
        let devices = self.per_device.len().max(1) as u64;
        let mut choices = Vec::new();
        for labeler in self.per_device.iter_mut().flatten() {
            for choice in labeler.fit_batch(images / devices)? {
                choice.add_to(&mut choices);
            }
        }
        Ok(choices)
    }

    /// Adds a labeler to the last device.
    fn push(&mut self, labeler: Box<dyn Labeler>, name: String, kind: &str, columns: &str) {
        if self.per_device.len() == 1 {
            self.describe_first(labeler.as_ref(), name, kind, columns);
        }
        if let Some(of_device) = self.per_device.last_mut() {
            of_device.push(labeler);
        }
    }

    fn describe_first(&mut self, labeler: &dyn Labeler, name: String, kind: &str, columns: &str) {
        self.groups.push(ColumnGroup {
            name: group_name(kind, labeler.name(), columns),
            fingerprint: labeler.fingerprint().to_owned(),
            fields: labeler.fields(),
        });
        self.demo |= labeler.is_demo();
        self.names.push(name);
    }

    /// Tells the summary who labels.
    pub fn describe(&self, report: &mut RunReport) {
        report.models.clone_from(&self.names);
        report.demo = self.demo;
        report.device.clone_from(&self.device);
    }
}

/// Loads every model of the plan, on the main thread. A plan without models loads no runtime.
pub fn load_labelers(plan: &RunPlan, progress: &dyn Progress, readiness: Readiness<'_>) -> anyhow::Result<Labelers> {
    let interrogator = interrogate::wanted_model(plan);
    let mut loaded = Labelers {
        per_device: Vec::new(),
        names: Vec::new(),
        demo: false,
        device: None,
        groups: Vec::new(),
    };
    if plan.models().is_empty() && interrogator.is_none() {
        loaded.per_device.push(Vec::new());
        return Ok(loaded);
    }
    let library = OnnxRuntime::load(&Search::from_environment(plan.onnxruntime.clone()))?;
    let store = ModelStore::from_environment(plan.config_folder.as_deref());
    for &device in plan.config.run.device.devices() {
        let loading = Loading {
            plan,
            runtime: &InTurn::new(library),
            store: &store,
            progress,
            device,
        };
        loaded.per_device.push(Vec::new());
        loading.load(&mut loaded, interrogator, readiness)?;
    }
    let firsts = loaded.per_device.iter().filter_map(|of_device| of_device.first());
    let devices: Vec<&str> = firsts.map(|labeler| labeler.device()).collect();
    loaded.device = Some(devices.join(", "));
    Ok(loaded)
}

/// The labelers of a plan as manifests tell of them, where nothing can load them: by name alone.
pub fn known_by_name(plan: &RunPlan) -> anyhow::Result<Labelers> {
    let mut known = Labelers {
        per_device: vec![Vec::new()],
        names: Vec::new(),
        demo: false,
        device: None,
        groups: Vec::new(),
    };
    let store = ModelStore::from_environment(plan.config_folder.as_deref());
    let mut add = |kind: Option<&str>, name: &str, columns: &str| -> anyhow::Result<()> {
        let manifest = store.resolve(name)?.manifest;
        known.groups.push(ColumnGroup {
            name: group_name(kind.unwrap_or(manifest.kind.as_str()), &manifest.name, columns),
            fingerprint: UNKNOWN_FINGERPRINT.to_owned(),
            fields: Vec::new(),
        });
        known.names.push(manifest.name);
        Ok(())
    };
    for entry in plan.models() {
        add(None, &entry.name, &entry.columns)?;
    }
    if let Some(name) = interrogate::wanted_model(plan) {
        add(Some(INTERROGATOR_KIND), name, &plan.config.interrogate.columns)?;
    }
    Ok(known)
}

/// Kind of an interrogator's group; its model is a CLIP.
const INTERROGATOR_KIND: &str = "interrogate";

/// One device that is about to get its models.
struct Loading<'a> {
    plan: &'a RunPlan,
    runtime: &'a dyn Runtime,
    store: &'a ModelStore,
    progress: &'a dyn Progress,
    device: Device,
}

impl Loading<'_> {
    fn load(&self, loaded: &mut Labelers, interrogator: Option<&str>, readiness: Readiness<'_>) -> anyhow::Result<()> {
        let (plan, store, runtime) = (self.plan, self.store, self.runtime);
        let mut towers = Towers::default();
        for entry in plan.models() {
            let model = store.resolve(&entry.name)?;
            self.say("loading", &model, "");
            let options = LabelerOptions {
                caption: caption_options(&entry.caption),
                ..options_for(plan, &entry.columns, &model, self.device, store, runtime)
            };
            let labeler = label::open_beside(&model, runtime, &options, &mut towers)
                .with_context(|| format!("model {}", entry.name))?;
            let name = labeler.name().to_owned();
            loaded.push(labeler, name, model.manifest.kind.as_str(), &entry.columns);
        }
        if let Some(name) = interrogator {
            let model = store.resolve(name)?;
            self.say("loading", &model, " to interrogate");
            let columns = &plan.config.interrogate.columns;
            let options = options_for(plan, columns, &model, self.device, store, runtime);
            let captioner = Some(&plan.config.interrogate.captioner).filter(|name| !name.is_empty());
            let captioner = captioner.map(|name| store.resolve(name)).transpose()?;
            let opening = Opening {
                plan,
                runtime,
                progress: self.progress,
                readiness,
            };
            let labeler = interrogate::open(&opening, &model, captioner.as_ref(), &options, &mut towers)
                .with_context(|| format!("interrogate.model {name}"))?;
            let name = format!("{} (interrogator)", labeler.name());
            loaded.push(Box::new(labeler), name, INTERROGATOR_KIND, columns);
        }
        Ok(())
    }

    fn say(&self, doing: &str, model: &Model, why: &str) {
        let place = if self.plan.config.run.device.devices().len() > 1 {
            format!(" on {}", self.device)
        } else {
            String::new()
        };
        self.progress
            .say(&format!("{doing} {}{why}{place}", model.manifest.name));
    }
}

/// A group is known by kind, model and columns, so that a second tagger is another group.
pub(super) fn group_name(kind: &str, model: &str, columns: &str) -> String {
    let separator = if columns.is_empty() { "" } else { ":" };
    format!("{kind}:{model}{separator}{columns}")
}

/// How a `[[model]]` entry wants captions to be searched for.
fn caption_options(told: &CaptionConfig) -> CaptionOptions {
    CaptionOptions {
        prompted: told.prompted,
        beams: told.beams,
        min_length: told.min_length,
        max_length: told.max_length,
        repetition_penalty: told.repetition_penalty,
    }
}

/// Images a batch where an engine is built for it and nothing is said.
const TENSORRT_BATCH: usize = 32;

/// How a model of the plan is run; `columns` is the prefix of its columns.
pub(super) fn options_for(
    plan: &RunPlan,
    columns: &str,
    model: &Model,
    device: Device,
    store: &ModelStore,
    runtime: &dyn Runtime,
) -> LabelerOptions {
    let (batch, sizing) = match (plan.config.run.batch, device) {
        (BatchSize::Of(images), _) => (images, Sizing::Asked),
        // An engine is built for one batch, over minutes.
        (BatchSize::Auto, Device::TensorRt(_)) => (TENSORRT_BATCH, Sizing::Asked),
        (BatchSize::Auto, _) => (OPENING_BATCH, Sizing::Measured),
    };
    let is_clip = model.manifest.kind == ModelKind::Clip;
    let told = &plan.config.device;
    let builds_engines = told.tensorrt.engine_cache && matches!(device, Device::TensorRt(_));
    let home = store.home().filter(|_| builds_engines);
    LabelerOptions {
        device,
        batch,
        sizing,
        // Several on the CPU share its cores.
        threads: (plan.threads() / plan.config.run.device.devices().len()).max(1),
        engine_cache: home.map(|home| engine_cache::root(home, runtime, device)),
        precision: if told.tensorrt.fp16 {
            Precision::Float16
        } else {
            Precision::Graph
        },
        providers: ProviderOptions {
            cuda: told.cuda.clone(),
            tensorrt: told.tensorrt.clone(),
        },
        comparison: if told.compare_with_cpu {
            Comparison::WithCpu
        } else {
            Comparison::Skipped
        },
        normalise: told.normalise_on_device,
        columns: Some(columns.to_owned()).filter(|prefix| !prefix.is_empty()),
        embedding: match plan.config.output.embedding {
            EmbeddingType::F16 => label::EmbeddingType::Float16,
            EmbeddingType::F32 => label::EmbeddingType::Float32,
        },
        classify: if is_clip { plan.classify().to_vec() } else { Vec::new() },
        ..LabelerOptions::default()
    }
}
