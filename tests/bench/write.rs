//! Times the write path: finished rows through the sink, to parts that are committed.
//!
//! `write-bench OUT ROWS BATCH`: made-up rows as a run with CLIP ViT-L/14 and a tagger makes them: a prompt with
//! its settings and raw entry, 25 tags, an embedding of 768 16-bit floats. Prints a JSON object: seconds of handing
//! the rows to the sink, the last commit included, and the bytes on disk. Started by `scripts/bench/write`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use arrow::array::{Array, ArrayRef, FixedSizeListArray, Float16Array, Float32Builder, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use half::f16;
use labelmill::metadata::interpret::interpret;
use labelmill::record::{
    Destination, FileStat, GroupSet, ImageId, ImageRecord, LabelColumn, LabeledBatch, PhotoFacts, RawEntry,
    RawMetadata, SidecarStamp,
};
use labelmill::write::{
    ColumnGroup, Dataset, DatasetSpec, Ending, PromptPolicy, RealFs, ReconcileOptions, Sink, WriteOptions,
};

const WIDTH: usize = 768;
const TAGS_PER_IMAGE: usize = 25;
const VOCABULARY: u64 = 10_000;

fn main() -> anyhow::Result<()> {
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let [out, rows, batch] = typed.as_slice() else {
        bail!("usage: write-bench OUT ROWS BATCH");
    };
    let (rows, batch): (usize, usize) = (rows.parse().context("ROWS")?, batch.parse().context("BATCH")?);
    let out = Path::new(out);
    let mut dice = Dice(7);
    let batches: Vec<LabeledBatch> = (0..rows.div_ceil(batch))
        .map(|number| labeled(&mut dice, number, batch.min(rows - number * batch)))
        .collect();
    let fields = batches[0].columns.iter().map(|(field, _)| Arc::clone(field)).collect();

    let mut dataset = Dataset::open(out, spec(fields), Arc::new(RealFs))?;
    let changes = dataset.reconcile(ReconcileOptions::default()).finish(&[])?;
    let started = Instant::now();
    let mut sink = Box::new(dataset.sink(&changes)?);
    for batch in batches {
        sink.write(batch)?;
    }
    let report = sink.finish(Ending::Complete)?;
    let secs = started.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({"secs": secs, "rows": report.rows_added, "bytes": report.bytes_written})
    );
    Ok(())
}

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn score(&mut self) -> f32 {
        self.below(1 << 20) as f32 / (1 << 20) as f32
    }
}

fn labeled(dice: &mut Dice, number: usize, rows: usize) -> LabeledBatch {
    let records = (0..rows).map(|row| record(dice, number * rows + row)).collect();
    LabeledBatch {
        number: number as u64,
        groups: GroupSet::all(1),
        records,
        columns: vec![tags(dice, rows), tag_scores(dice, rows), embeddings(dice, rows)],
    }
}

fn record(dice: &mut Dice, index: usize) -> ImageRecord {
    let words: Vec<String> = (0..40).map(|_| format!("word{}", dice.below(3000))).collect();
    let seed = dice.below(1 << 31);
    let text = format!(
        "{}\nNegative prompt: lowres, bad anatomy\nSteps: 28, Sampler: Euler a, CFG scale: 7, Seed: {seed}, Size: 832x1216, Model hash: 1234567890, Model: bench, Version: v1.10.1",
        words.join(", ")
    );
    let raw = RawMetadata {
        facts: PhotoFacts {
            format: Some("png"),
            width: Some(832),
            height: Some(1216),
            ..PhotoFacts::default()
        },
        entries: vec![RawEntry {
            slot: "png:tEXt".to_owned(),
            key: "parameters".to_owned(),
            text,
        }],
        notes: Vec::new(),
    };
    let path = format!("folder-{:03}/{index:08}.png", index / 1000);
    ImageRecord {
        sequence: index as u64,
        destination: Destination::Append,
        id: ImageId {
            uri: format!("/pictures/{path}"),
            root: "/pictures".into(),
            path,
            stat: FileStat {
                size: 1_500_000 + dice.below(1_000_000),
                modified_at: 1_750_000_000_000_000 + index as i64,
            },
            sidecars: SidecarStamp::NONE,
        },
        blake3: Some((0..4).map(|_| format!("{:016x}", dice.below(1 << 31))).collect()),
        recovered: interpret(&raw),
        facts: raw.facts,
        failure: None,
        raw: raw.entries,
    }
}

/// The element of a list: Parquet's own name for it, never null.
fn element(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, false))
}

fn column(name: &str, values: ArrayRef) -> LabelColumn {
    (Arc::new(Field::new(name, values.data_type().clone(), true)), values)
}

fn tags(dice: &mut Dice, rows: usize) -> LabelColumn {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8));
    for _ in 0..rows {
        for _ in 0..TAGS_PER_IMAGE {
            lists.values().append_value(format!("tag_{}", dice.below(VOCABULARY)));
        }
        lists.append(true);
    }
    column("tags", Arc::new(lists.finish()))
}

fn tag_scores(dice: &mut Dice, rows: usize) -> LabelColumn {
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(element(DataType::Float32));
    for _ in 0..rows {
        for _ in 0..TAGS_PER_IMAGE {
            lists.values().append_value(dice.score());
        }
        lists.append(true);
    }
    column("tag_scores", Arc::new(lists.finish()))
}

fn embeddings(dice: &mut Dice, rows: usize) -> LabelColumn {
    let values = (0..rows * WIDTH).map(|_| f16::from_f32((dice.score() - 0.5) / 8.0));
    let values: ArrayRef = Arc::new(Float16Array::from_iter_values(values));
    let lists = FixedSizeListArray::new(element(DataType::Float16), WIDTH as i32, values, None);
    column("clip_embedding", Arc::new(lists))
}

fn spec(fields: Vec<FieldRef>) -> DatasetSpec {
    let group = |name: &str, fields| ColumnGroup {
        name: name.to_owned(),
        fingerprint: "bench".to_owned(),
        fields,
    };
    DatasetSpec {
        groups: vec![group("metadata", Vec::new()), group("bench", fields)],
        options: WriteOptions::default(),
        plan_toml: String::new(),
        model_names: vec!["bench".to_owned()],
        demo: false,
        gps: false,
        prompt: PromptPolicy::default(),
        root_folders: BTreeMap::new(),
    }
}
