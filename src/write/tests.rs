//! Whole datasets in a temporary folder: written, read back by the Arrow reader, checked.

mod faults;
mod incremental;
mod world;

use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float16Array, Float32Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt64Type};
use half::f16;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::record::{
    AiProvenance, CharacterPrompt, Destination, ErrorKind, Failure, FileStat, GroupSet, ImageId, ImageRecord,
    LabelColumn, LabeledBatch, Lora, MetadataStatus, PhotoFacts, RawEntry, Recovered, Settings, SidecarStamp,
};

/// Numbers in a test embedding.
const DIMENSION: usize = 4;

/// The columns of a labeler called `clip`.
fn clip_fields() -> Vec<FieldRef> {
    let item = Arc::new(Field::new("item", DataType::Float16, true));
    vec![
        Arc::new(Field::new(
            "clip_embedding",
            DataType::FixedSizeList(item, DIMENSION as i32),
            true,
        )),
        Arc::new(Field::new("style", DataType::Utf8, true)),
    ]
}

/// The columns of a labeler called `tagger`.
fn tagger_fields() -> Vec<FieldRef> {
    let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
    vec![
        Arc::new(Field::new("tags", list(DataType::Utf8), true)),
        Arc::new(Field::new("tag_scores", list(DataType::Float32), true)),
    ]
}

fn group(name: &str, fingerprint: &str, fields: Vec<FieldRef>) -> ColumnGroup {
    ColumnGroup {
        name: name.to_owned(),
        fingerprint: fingerprint.to_owned(),
        fields,
    }
}

/// A plan with metadata and the given labelers.
fn spec(labelers: Vec<ColumnGroup>) -> DatasetSpec {
    let mut groups = vec![group("metadata", "m1", Vec::new())];
    groups.extend(labelers);
    DatasetSpec {
        groups,
        options: WriteOptions::default(),
        plan_toml: "[run]\n".to_owned(),
        model_names: vec!["demo-clip".to_owned()],
        demo: true,
        gps: false,
        prompt: PromptPolicy::default(),
        root_folders: BTreeMap::new(),
    }
}

fn image(root: &str, path: &str) -> ImageRecord {
    ImageRecord {
        sequence: 0,
        destination: Destination::Append,
        id: ImageId {
            uri: format!("/data/{root}/{path}"),
            root: root.into(),
            path: path.to_owned(),
            stat: FileStat {
                size: 10,
                modified_at: 1_700_000_000_000_000,
            },
            sidecars: SidecarStamp::NONE,
        },
        blake3: Some(blake3::hash(path.as_bytes()).to_hex().to_string()),
        facts: PhotoFacts {
            format: Some("png"),
            width: Some(3),
            height: Some(2),
            ..PhotoFacts::default()
        },
        failure: None,
        recovered: Recovered::default(),
        raw: Vec::new(),
    }
}

/// A picture with a value in every column that a file can fill.
fn rich_image(path: &str) -> ImageRecord {
    let some = |text: &str| Some(text.to_owned());
    let mut record = image("photos", path);
    record.facts.taken_at = Some(1_600_000_000_000_000);
    record.facts.keywords = vec!["sea".to_owned(), "sky".to_owned()];
    record.facts.gps = Some((1.5, -2.5));
    record.recovered = Recovered {
        status: MetadataStatus::Prompt,
        slot: some("png:tEXt:parameters"),
        generator: some("a1111"),
        ai_provenance: Some(AiProvenance {
            vendor: some("openai"),
            ..AiProvenance::default()
        }),
        prompt: some("a cat, \u{1f408}"),
        negative_prompt: some(""),
        character_prompts: vec![CharacterPrompt {
            prompt: "girl".to_owned(),
            negative_prompt: String::new(),
            center: Some((0.5, 0.25)),
        }],
        settings: Settings {
            steps: Some(20),
            seed: Some(u64::MAX),
            ..Settings::default()
        },
        loras: vec![Lora {
            name: "add_detail".to_owned(),
            weight: Some(0.7),
            hash: None,
        }],
        parameters_extra: vec![
            ("Hires upscale".to_owned(), "2".to_owned()),
            ("Hires upscale".to_owned(), "3".to_owned()),
        ],
        notes: vec!["two candidates".to_owned()],
        ..Recovered::default()
    };
    record.raw = vec![RawEntry {
        slot: "png:tEXt".to_owned(),
        key: "parameters".to_owned(),
        text: "a cat\nSteps: 20".to_owned(),
    }];
    record
}

fn failed_image(path: &str) -> ImageRecord {
    let mut record = image("photos", path);
    record.failure = Some(Failure::new(ErrorKind::Truncated, "the file ends early"));
    record
}

/// `clip` columns for the records: null where the row failed. `mark` tells makings apart.
fn clip_columns(records: &[ImageRecord], mark: &str) -> Vec<LabelColumn> {
    let ok: Vec<bool> = records.iter().map(|record| record.failure.is_none()).collect();
    let values: Vec<f16> = ok
        .iter()
        .flat_map(|_| [0.5, 0.5, 0.5, 0.5].map(f16::from_f32))
        .collect();
    let item = Arc::new(Field::new("item", DataType::Float16, true));
    let embeddings = FixedSizeListArray::new(
        item,
        DIMENSION as i32,
        Arc::new(Float16Array::from(values)),
        Some(ok.clone().into()),
    );
    let styles: StringArray = ok.iter().map(|ok| ok.then_some(mark)).collect();
    clip_fields()
        .into_iter()
        .zip([Arc::new(embeddings) as ArrayRef, Arc::new(styles) as ArrayRef])
        .collect()
}

/// `tagger` columns for the records: two tags a picture, the first one `mark`.
fn tagger_columns(records: &[ImageRecord], mark: &str) -> Vec<LabelColumn> {
    let offsets = || OffsetBuffer::from_lengths(records.iter().map(|_| 2));
    let tags: StringArray = records.iter().flat_map(|_| [Some(mark), Some("outdoors")]).collect();
    let scores: Float32Array = records.iter().flat_map(|_| [Some(0.9_f32), Some(0.4)]).collect();
    let list = |item, values: ArrayRef| -> ArrayRef {
        Arc::new(ListArray::new(
            Arc::new(Field::new("item", item, true)),
            offsets(),
            values,
            None,
        ))
    };
    let columns = [
        list(DataType::Utf8, Arc::new(tags)),
        list(DataType::Float32, Arc::new(scores)),
    ];
    tagger_fields().into_iter().zip(columns).collect()
}

fn batch(number: u64, records: Vec<ImageRecord>, columns: Vec<LabelColumn>) -> LabeledBatch {
    LabeledBatch {
        number,
        groups: GroupSet::all(2),
        records,
        columns,
    }
}

/// Every row of the dataset in part order.
fn read_all(out: &Path) -> RecordBatch {
    let mut names: Vec<PathBuf> = std::fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    names.sort();
    let mut batches: Vec<RecordBatch> = Vec::new();
    for name in names {
        let file = std::fs::File::open(name).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        batches.push(RecordBatch::new_empty(Arc::clone(builder.schema())));
        batches.extend(builder.build().unwrap().map(Result::unwrap));
    }
    let schema = batches[0].schema();
    assert!(
        batches.iter().all(|batch| batch.schema().fields() == schema.fields()),
        "two schemas"
    );
    concat_batches(&schema, &batches).unwrap()
}

fn strings(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let array = rows.column_by_name(column).unwrap().as_string::<i32>();
    array.iter().map(|value| value.map(str::to_owned)).collect()
}

fn open(out: &Path, spec: DatasetSpec) -> Dataset {
    Dataset::open(out, spec, Arc::new(RealFs)).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels");
    let mut spec = spec(vec![
        group("clip", "c1", clip_fields()),
        group("tagger", "t1", tagger_fields()),
    ]);
    spec.gps = true;
    let mut dataset = open(&out, spec);
    let mut sink = Box::new(dataset.sink(&Changes::default()).unwrap());
    let records = vec![rich_image("a.png"), failed_image("b.png"), image("photos", "c.png")];
    let columns = clip_columns(&records, "photo")
        .into_iter()
        .chain(tagger_columns(&records, "cat"))
        .collect();
    sink.write(batch(0, records, columns)).unwrap();
    let report = sink.finish(Ending::Complete).unwrap();
    assert_eq!((report.parts_added, report.rows_added), (1, 3));

    let rows = read_all(&out);
    assert_eq!(
        strings(&rows, "status"),
        [Some("ok".into()), Some("failed".into()), Some("ok".into())]
    );
    assert_eq!(strings(&rows, "error_kind")[1].as_deref(), Some("truncated"));
    assert_eq!(strings(&rows, "prompt")[0].as_deref(), Some("a cat, \u{1f408}"));
    assert_eq!(strings(&rows, "negative_prompt")[0].as_deref(), Some(""));
    assert_eq!(strings(&rows, "prompt_source")[2].as_deref(), Some("none"));
    let settings = rows.column_by_name("settings").unwrap().as_struct();
    assert_eq!(
        settings
            .column_by_name("seed")
            .unwrap()
            .as_primitive::<UInt64Type>()
            .value(0),
        u64::MAX
    );
    assert!(settings.is_null(2));
    let extra = rows.column_by_name("parameters_extra").unwrap().as_map().value(0);
    assert_eq!(extra.column(0).as_string::<i32>().value(1), "Hires upscale (2)");
    let raw = rows.column_by_name("metadata_raw").unwrap().as_list::<i32>().value(0);
    assert_eq!(
        raw.as_struct().column(2).as_string::<i32>().value(0),
        "a cat\nSteps: 20"
    );
    assert!(rows.column_by_name("clip_embedding").unwrap().is_null(1));
    assert_eq!(
        rows.column_by_name("width")
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(2),
        3
    );
    assert_eq!(rows.schema().fields().last().unwrap().name(), "clip_embedding");

    let verified = verify(&out).unwrap();
    assert_eq!((verified.rows, verified.ok, verified.failed), (3, 2, 1), "{verified}");
    assert_eq!(verified.problems, Vec::<String>::new());
}

#[test]
fn a_plan_without_a_model_has_no_label_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut dataset = open(folder.path(), spec(Vec::new()));
    let mut sink = Box::new(dataset.sink(&Changes::default()).unwrap());
    sink.write(batch(0, vec![image("photos", "a.png")], Vec::new()))
        .unwrap();
    sink.finish(Ending::Complete).unwrap();
    let rows = read_all(folder.path());
    for column in ["tags", "style", "caption", "gps_latitude"] {
        assert!(rows.column_by_name(column).is_none(), "{column}");
    }
    assert_eq!(rows.schema().fields().last().unwrap().name(), "labeled_at");
}

#[test]
fn labelers_columns_stand_at_their_places() {
    let fields = |names: &[&str]| -> Vec<FieldRef> {
        names
            .iter()
            .map(|name| Arc::new(Field::new(*name, DataType::Utf8, true)) as FieldRef)
            .collect()
    };
    let mut clip = clip_fields();
    clip.extend(fields(&["style_score", "era", "era_score"]));
    let spec = spec(vec![
        group("tagger", "t", fields(&["tags", "rating"])),
        group("tagger:wd", "t", fields(&["wd_tags", "wd_rating"])),
        group("clip", "c", clip),
        group("caption", "k", fields(&["caption"])),
    ]);
    let schema = DatasetSchema::new(&spec).unwrap();
    let names: Vec<&str> = schema
        .arrow
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let after = names.iter().position(|name| *name == "metadata_raw").unwrap();
    let expected = [
        "caption",
        "style",
        "style_score",
        "era",
        "era_score",
        "tags",
        "wd_tags",
        "rating",
        "wd_rating",
        "labeled_at",
        "clip_embedding",
    ];
    assert_eq!(names[after + 1..], expected);
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let twice = spec(vec![group("a", "1", clip_fields()), group("b", "1", clip_fields())]);
    let error = DatasetSchema::new(&twice).err().unwrap().to_string();
    assert!(
        error.contains("`style`") || error.contains("`clip_embedding`"),
        "{error}"
    );
}

#[test]
fn parts_close_by_rows_and_never_mix_roots() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec(Vec::new());
    spec.options.part_rows = 4;
    let mut dataset = open(folder.path(), spec.clone());
    let mut sink = Box::new(dataset.sink(&Changes::default()).unwrap());
    let names = |root: &str, count: u32| -> Vec<ImageRecord> {
        (0..count).map(|index| image(root, &format!("{index}.png"))).collect()
    };
    let both = names("one", 6).into_iter().chain(names("two", 3)).collect();
    sink.write(batch(0, both, Vec::new())).unwrap();
    sink.finish(Ending::Complete).unwrap();
    drop(dataset);
    let mut dataset = open(folder.path(), spec);
    assert_eq!(
        dataset.parts().iter().map(|part| part.rows).collect::<Vec<_>>(),
        [4, 2, 3]
    );
    let mut sink = Box::new(dataset.sink(&Changes::default()).unwrap());
    sink.write(batch(0, vec![image("two", "later.png")], Vec::new()))
        .unwrap();
    sink.finish(Ending::Complete).unwrap();
    assert!(folder.path().join("part-000003.parquet").is_file());
    assert_eq!(verify(folder.path()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn foreign_and_damaged_parts_are_named_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(BOOKKEEPING_DIR)).unwrap();
    let damaged = folder.path().join("part-000000.parquet");
    std::fs::write(&damaged, b"PAR1 no").unwrap();
    let refused = |spec| Dataset::open(folder.path(), spec, Arc::new(RealFs)).err().unwrap();
    assert!(
        matches!(refused(spec(Vec::new())), OpenError::Corrupt { path, .. } if path.ends_with("part-000000.parquet"))
    );
    std::fs::remove_file(&damaged).unwrap();
    std::fs::write(folder.path().join(".export.parquet"), b"x").unwrap();
    assert!(matches!(refused(spec(Vec::new())), OpenError::Foreign { .. }));
}

#[test]
fn a_folder_with_other_things_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("holiday.jpg"), b"x").unwrap();
    let error = Dataset::open(folder.path(), spec(Vec::new()), Arc::new(RealFs))
        .err()
        .unwrap();
    assert!(error.to_string().contains("holiday.jpg"), "{error}");
    assert!(!folder.path().join(BOOKKEEPING_DIR).exists());
}

#[test]
fn a_row_twice_and_a_long_embedding_are_found_by_verify() {
    let folder = tempfile::tempdir().unwrap();
    let mut dataset = open(folder.path(), spec(vec![group("clip", "c1", clip_fields())]));
    let mut sink = Box::new(dataset.sink(&Changes::default()).unwrap());
    let records = vec![image("photos", "a.png"), image("photos", "a.png")];
    let mut columns = clip_columns(&records, "photo");
    let item = Arc::new(Field::new("item", DataType::Float16, true));
    let long = Float16Array::from(vec![f16::ONE; 8]);
    columns[0].1 = Arc::new(FixedSizeListArray::new(item, 4, Arc::new(long), None));
    sink.write(batch(0, records, columns)).unwrap();
    sink.finish(Ending::Complete).unwrap();
    let problems = verify(folder.path()).unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
}
