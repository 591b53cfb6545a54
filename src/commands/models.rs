//! From the plan's model entries to labelers ready to work.

use anyhow::Context;

use super::interrogate::{self, Readiness};
use crate::cli::EmbeddingType;
use crate::exit::UsageError;
use crate::label::{self, Labeler, LabelerOptions, Towers};
use crate::model::find_onnxruntime::Search;
use crate::model::manifest::ModelKind;
use crate::model::{Device, Model, ModelStore, OnnxRuntime};
use crate::plan::RunPlan;
use crate::progress::Progress;
use crate::record::Geometry;
use crate::report::RunReport;
use crate::write::ColumnGroup;

/// The labelers of a plan, loaded and checked.
pub struct Labelers {
    /// In the plan's order.
    pub labelers: Vec<Box<dyn Labeler>>,
    /// Their models' names.
    pub names: Vec<String>,
    /// Whether one of the models is a demo.
    pub demo: bool,
    /// The device they run on.
    pub device: Option<String>,
    groups: Vec<ColumnGroup>,
}

impl Labelers {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.labelers.len()
    }

    /// The distinct squares that they want.
    pub fn geometries(&self) -> Vec<Geometry> {
        let mut distinct = Vec::new();
        for geometry in self.labelers.iter().flat_map(|labeler| labeler.geometries()) {
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

    /// Adds a labeler. A group is known by kind, model and columns, so that a second tagger is
    /// another group.
    fn push(&mut self, labeler: Box<dyn Labeler>, name: String, kind: &str, columns: &str) {
        let separator = if columns.is_empty() { "" } else { ":" };
        self.groups.push(ColumnGroup {
            name: format!("{kind}:{}{separator}{columns}", labeler.name()),
            fingerprint: labeler.fingerprint().to_owned(),
            fields: labeler.fields(),
        });
        self.demo |= labeler.is_demo();
        self.device.get_or_insert_with(|| labeler.device().to_owned());
        self.names.push(name);
        self.labelers.push(labeler);
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
    let entries = plan.models();
    let interrogator = interrogate::wanted_model(plan);
    let mut loaded = Labelers {
        labelers: Vec::new(),
        names: Vec::new(),
        demo: false,
        device: None,
        groups: Vec::new(),
    };
    if entries.is_empty() && interrogator.is_none() {
        return Ok(loaded);
    }
    let device: Device = plan
        .config
        .run
        .device
        .parse()
        .map_err(|error| UsageError::error(format!("run.device: {error}")))?;
    let runtime = OnnxRuntime::load(&Search::from_environment(plan.onnxruntime.clone()))?;
    let store = ModelStore::from_environment(plan.config_folder.as_deref());
    let mut towers = Towers::default();
    for entry in entries {
        let model = store.resolve(&entry.name)?;
        progress.say(&format!("loading {}", model.manifest.name));
        let options = options_for(plan, &entry.columns, &model, device);
        let labeler = label::open_beside(&model, runtime, &options, &mut towers)
            .with_context(|| format!("model {}", entry.name))?;
        let name = labeler.name().to_owned();
        loaded.push(labeler, name, model.manifest.kind.as_str(), &entry.columns);
    }
    if let Some(name) = interrogator {
        let model = store.resolve(name)?;
        progress.say(&format!("loading {} to interrogate", model.manifest.name));
        let options = options_for(plan, &plan.config.interrogate.columns, &model, device);
        let labeler = interrogate::open(plan, &model, runtime, &options, &mut towers, progress, readiness)
            .with_context(|| format!("interrogate.model {name}"))?;
        let name = format!("{} (interrogator)", labeler.name());
        loaded.push(Box::new(labeler), name, "interrogate", &plan.config.interrogate.columns);
    }
    Ok(loaded)
}

fn options_for(plan: &RunPlan, columns: &str, model: &Model, device: Device) -> LabelerOptions {
    let is_clip = model.manifest.kind == ModelKind::Clip;
    LabelerOptions {
        device,
        batch: plan.config.run.batch,
        threads: plan.threads(),
        columns: Some(columns.to_owned()).filter(|prefix| !prefix.is_empty()),
        embedding: match plan.config.output.embedding {
            EmbeddingType::F16 => label::EmbeddingType::Float16,
            EmbeddingType::F32 => label::EmbeddingType::Float32,
        },
        classify: if is_clip { plan.classify().to_vec() } else { Vec::new() },
        ..LabelerOptions::default()
    }
}
