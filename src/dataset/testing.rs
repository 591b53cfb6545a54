//! Datasets for tests, written by the real writer.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListBuilder, Float16Builder, Float32Builder, ListBuilder, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use half::f16;

use crate::record::{
    Destination, FileStat, GroupSet, ImageId, ImageRecord, LabelColumn, LabeledBatch, Lora, MetadataStatus, PhotoFacts,
    RawEntry, Recovered, Settings,
};
use crate::write::{
    Changes, ColumnGroup, Dataset, DatasetSpec, Ending, Permission, PromptPolicy, RealFs, ReconcileOptions, Sink,
    WriteOptions,
};

/// Numbers in a test embedding.
pub const WIDTH: usize = 4;

/// One image of a test dataset.
#[derive(Debug, Clone, Default)]
pub struct TestImage {
    /// Path in the root.
    pub path: String,
    /// What stands for the bytes of its file: the same wherever it is moved.
    pub content: String,
    /// What its metadata says.
    pub prompt: Option<String>,
    /// Tag, score, category.
    pub tags: Vec<(String, f32, String)>,
    /// A caption.
    pub caption: Option<String>,
}

impl TestImage {
    /// An image with tags, each of the category `general`.
    pub fn tagged(path: &str, tags: &[(&str, f32)]) -> Self {
        let tags = tags
            .iter()
            .map(|(tag, score)| ((*tag).to_owned(), *score, "general".to_owned()));
        Self {
            path: path.to_owned(),
            content: path.to_owned(),
            tags: tags.collect(),
            ..Self::default()
        }
    }
}

/// The plan: a tagger, a captioner and a CLIP, all one group.
pub fn spec(fingerprint: &str) -> DatasetSpec {
    let group = |name: &str, fields| ColumnGroup {
        name: name.to_owned(),
        fingerprint: fingerprint.to_owned(),
        fields,
    };
    DatasetSpec {
        groups: vec![group("metadata", Vec::new()), group("tagger:test", fields())],
        options: WriteOptions {
            part_rows: 4,
            row_group_rows: 3,
            ..WriteOptions::default()
        },
        plan_toml: "[run]\n".to_owned(),
        model_names: vec!["test".to_owned()],
        demo: true,
        gps: false,
        prompt: PromptPolicy::default(),
        root_folders: Default::default(),
    }
}

fn fields() -> Vec<FieldRef> {
    let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
    let embedding = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float16, true)), WIDTH as i32);
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    vec![
        field("caption", DataType::Utf8),
        field("tags", list(DataType::Utf8)),
        field("tag_scores", list(DataType::Float32)),
        field("tag_categories", list(DataType::Utf8)),
        field("clip_embedding", embedding),
    ]
}

fn columns(images: &[TestImage]) -> Vec<LabelColumn> {
    let captions: StringArray = images.iter().map(|image| image.caption.as_deref()).collect();
    let mut tags = ListBuilder::new(StringBuilder::new());
    let mut scores = ListBuilder::new(Float32Builder::new());
    let mut categories = ListBuilder::new(StringBuilder::new());
    let mut embeddings = FixedSizeListBuilder::new(Float16Builder::new(), WIDTH as i32);
    for (index, image) in images.iter().enumerate() {
        for (tag, score, category) in &image.tags {
            tags.values().append_value(tag);
            scores.values().append_value(*score);
            categories.values().append_value(category);
        }
        tags.append(true);
        scores.append(true);
        categories.append(true);
        for number in 0..WIDTH {
            let value = if number == index % WIDTH { 1.0 } else { 0.0 };
            embeddings.values().append_value(f16::from_f32(value));
        }
        embeddings.append(true);
    }
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(captions),
        Arc::new(tags.finish()),
        Arc::new(scores.finish()),
        Arc::new(categories.finish()),
        Arc::new(embeddings.finish()),
    ];
    fields().into_iter().zip(arrays).collect()
}

fn record(root: &Path, image: &TestImage, version: i64) -> ImageRecord {
    let uri = root.join(&image.path);
    ImageRecord {
        sequence: 0,
        destination: Destination::Append,
        id: ImageId {
            uri: uri.to_string_lossy().into_owned(),
            root: "pictures".into(),
            path: image.path.clone(),
            stat: FileStat {
                size: 1000,
                modified_at: version,
            },
            sidecars: Default::default(),
        },
        blake3: Some(
            blake3::hash(format!("{} {version}", image.content).as_bytes())
                .to_hex()
                .to_string(),
        ),
        facts: PhotoFacts {
            format: Some("png"),
            width: Some(64),
            height: Some(48),
            ..PhotoFacts::default()
        },
        failure: None,
        recovered: recovered(image),
        raw: vec![RawEntry {
            slot: "png:tEXt".to_owned(),
            key: "parameters".to_owned(),
            text: image.prompt.clone().unwrap_or_default(),
        }],
    }
}

fn recovered(image: &TestImage) -> Recovered {
    Recovered {
        status: if image.prompt.is_some() {
            MetadataStatus::Prompt
        } else {
            MetadataStatus::None
        },
        prompt: image.prompt.clone(),
        settings: Settings {
            seed: Some(u64::MAX),
            steps: Some(20),
            cfg_scale: Some(7.5),
            ..Settings::default()
        },
        loras: vec![Lora {
            name: "detail".to_owned(),
            weight: Some(0.5),
            hash: None,
        }],
        parameters_extra: vec![("Clip skip".to_owned(), "2".to_owned())],
        ..Recovered::default()
    }
}

/// What a run finds: each image and the version of its file, which stands for its content.
pub type Files = Vec<(TestImage, i64)>;

/// A run over the files of the folder `root`, as the pipeline makes it: new ones are added, changed
/// and stale ones made anew, gone ones taken out. Another fingerprint makes every label stale.
pub fn run(out: &Path, root: &Path, files: &Files, fingerprint: &str) {
    let mut dataset = Dataset::open(out, spec(fingerprint), Arc::new(RealFs)).unwrap();
    let mut reconciler = dataset.reconcile(ReconcileOptions {
        allow_gone: Permission::Granted,
        ..ReconcileOptions::default()
    });
    for (image, version) in files {
        reconciler.observe(&record(root, image, *version).id);
    }
    let changes = reconciler.finish(&["pictures".into()]).unwrap();
    let mut sink = dataset.sink(&changes).unwrap();
    let mut write = |groups, images: &[&TestImage], records: Vec<ImageRecord>| {
        let images: Vec<TestImage> = images.iter().map(|image| (*image).clone()).collect();
        let columns = if groups == GroupSet::METADATA {
            Vec::new()
        } else {
            columns(&images)
        };
        sink.write(LabeledBatch {
            number: 0,
            groups,
            records,
            columns,
        })
        .unwrap();
    };
    for (image, version) in files {
        let record = record(root, image, *version);
        if dataset.ledger().find(&record.id).is_none() {
            write(GroupSet::all(1), &[image], vec![record]);
        }
    }
    for replacement in dataset.replacements(&changes) {
        let replacement = replacement.unwrap();
        let (image, version) = files.iter().find(|(image, _)| image.path == replacement.path).unwrap();
        let mut record = record(root, image, *version);
        record.destination = replacement.destination;
        write(replacement.groups, &[image], vec![record]);
    }
    Box::new(sink).finish(Ending::Complete).unwrap();
}

/// Writes `images` of the folder `root` as the dataset `out`, beside what it holds.
pub fn append(out: &Path, root: &Path, images: &[TestImage]) {
    let mut dataset = Dataset::open(out, spec("t1"), Arc::new(RealFs)).unwrap();
    let mut sink = dataset.sink(&Changes::default()).unwrap();
    for (number, chunk) in images.chunks(3).enumerate() {
        sink.write(LabeledBatch {
            number: number as u64,
            groups: GroupSet::all(1),
            records: chunk.iter().map(|image| record(root, image, 1)).collect(),
            columns: columns(chunk),
        })
        .unwrap();
    }
    Box::new(sink).finish(Ending::Complete).unwrap();
}
