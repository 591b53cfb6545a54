//! `reparse`: metadata columns made anew from the raw entries of a dataset, without its images.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::zip::zip;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::support::{arg, copy_folder, dataset, labelmill, samples, summary, temporary_folder, texts, without_time};

const FINGERPRINT_KEY: &str = "labelmill.group.metadata";

/// A labeled copy of the samples, and its dataset.
struct Labeled {
    dir: tempfile::TempDir,
}

impl Labeled {
    fn new(more: &[&str]) -> Self {
        let dir = temporary_folder();
        copy_folder(&samples(), &dir.path().join("pics"));
        let labeled = Self { dir };
        labeled.run(more);
        labeled
    }

    fn input(&self) -> PathBuf {
        self.dir.path().join("pics")
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn run(&self, more: &[&str]) {
        let (input, out) = (self.input(), self.out());
        let mut args = vec!["run", arg(&input), "--out", arg(&out)];
        args.extend(more);
        labelmill(&args).must_succeed();
    }

    fn parts(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.out()).expect("the dataset");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut parts: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
            .collect();
        parts.sort();
        parts
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        self.parts()
            .iter()
            .map(|part| std::fs::read(part).expect("a part"))
            .collect()
    }

    /// Puts every part back to what an earlier version could have written: `change` alters its
    /// rows, and the fingerprint is another.
    fn age(&self, fingerprint: impl Fn(&str) -> String, change: impl Fn(RecordBatch) -> RecordBatch) {
        for part in self.parts() {
            rewrite(&part, &fingerprint, &change);
        }
    }
}

fn rewrite(part: &Path, fingerprint: &dyn Fn(&str) -> String, change: &dyn Fn(RecordBatch) -> RecordBatch) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(part).expect("opens")).expect("a footer");
    let pairs: Vec<KeyValue> = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .expect("labelmill's pairs")
        .iter()
        .filter(|pair| pair.key != "ARROW:schema")
        .map(|pair| {
            let value = pair.value.clone().unwrap_or_default();
            let value = if pair.key == FINGERPRINT_KEY {
                fingerprint(&value)
            } else {
                value
            };
            KeyValue::new(pair.key.clone(), value)
        })
        .collect();
    assert!(pairs.iter().any(|pair| pair.key == FINGERPRINT_KEY));
    let batches: Vec<RecordBatch> = builder
        .build()
        .expect("a reader")
        .map(|batch| change(batch.expect("rows")))
        .collect();
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
    let file = File::create(part).expect("created");
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).expect("a writer");
    for batch in &batches {
        writer.write(batch).expect("written");
    }
    writer.close().expect("closed");
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let at = batch.schema().index_of(name).expect("the column");
    let mut columns = batch.columns().to_vec();
    columns[at] = column;
    RecordBatch::try_new(batch.schema(), columns).expect("equal types")
}

/// Wrong prompts, no generators, and notes of an interpretation that is no more.
fn wrong_fields(batch: RecordBatch) -> RecordBatch {
    let rows = batch.num_rows();
    let wrong: ArrayRef = Arc::new(StringArray::from(vec![Some("wrong"); rows]));
    let none: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; rows]));
    let notes = batch
        .column_by_name("metadata_notes")
        .expect("notes")
        .as_list::<i32>()
        .clone();
    let arrow::datatypes::DataType::List(field) = notes.data_type() else {
        unreachable!("a list")
    };
    let mut kept = Vec::new();
    let mut lengths = Vec::new();
    for row in 0..rows {
        let old = notes.value(row);
        let old = old.as_string::<i32>();
        kept.extend((0..old.len()).map(|at| old.value(at).to_owned()));
        kept.push("heuristic: an older guess".to_owned());
        lengths.push(old.len() + 1);
    }
    let notes = ListArray::new(
        field.clone(),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(StringArray::from(kept)),
        None,
    );
    let batch = with_column(&batch, "metadata_notes", Arc::new(notes));
    let batch = with_column(&batch, "prompt", wrong);
    with_column(&batch, "generator", none)
}

/// `v1.2 choices` as the version of the interpretation before it.
fn older(fingerprint: &str) -> String {
    let (versions, choices) = fingerprint.split_once(' ').expect("versions and choices");
    let (reading, _) = versions.split_once('.').expect("two versions");
    format!("{reading}.1 {choices}")
}

#[test]
fn the_same_interpreter_changes_nothing() {
    let labeled = Labeled::new(&[]);
    let before = labeled.bytes();
    for flags in [&["--dry-run"][..], &[]] {
        let out = labeled.out();
        let mut args = vec!["reparse", arg(&out)];
        args.extend(flags);
        labelmill(&args).must_succeed().must_say("\n0 of 1 parts");
        assert_eq!(labeled.bytes(), before);
    }
}

#[test]
fn older_rows_become_those_of_a_fresh_run_without_their_images() {
    let labeled = Labeled::new(&[]);
    let fresh = dataset(&labeled.out());
    labeled.age(older, wrong_fields);
    let rows = fresh.num_rows();
    let hidden = labeled.dir.path().join("elsewhere");
    std::fs::rename(labeled.input(), &hidden).expect("moved away");

    let aged = labeled.bytes();
    let out = labeled.out();
    labelmill(&["reparse", arg(&out), "--dry-run"])
        .must_succeed()
        .must_say(&format!("{rows} of {rows} rows would change"))
        .must_say(&format!("  prompt                     {rows}\n"))
        .must_say("1 of 1 parts would be written anew");
    assert_eq!(labeled.bytes(), aged);

    labelmill(&["reparse", arg(&out)])
        .must_succeed()
        .must_say(&format!("{rows} of {rows} rows changed"));
    assert_eq!(without_time(&dataset(&out)), without_time(&fresh));
    labelmill(&["verify", arg(&out)]).must_succeed().must_say("no problems");

    std::fs::rename(&hidden, labeled.input()).expect("moved back");
    labeled.run(&[]);
    let summary = summary(&out);
    assert_eq!(summary["reused"], summary["found"], "{summary}");
}

#[test]
fn only_rows_that_differ_say_that_they_were_made_anew() {
    let labeled = Labeled::new(&[]);
    let fresh = dataset(&labeled.out());
    let is_forge = |batch: &RecordBatch| -> BooleanArray {
        texts(batch, "generator")
            .iter()
            .map(|generator| Some(generator == "forge" || generator == "a1111"))
            .collect()
    };
    let forge = is_forge(&fresh).true_count();
    assert!(forge > 0 && forge < fresh.num_rows());
    labeled.age(older, |batch| {
        let wrong = StringArray::from(vec![Some("wrong"); batch.num_rows()]);
        let prompts = zip(
            &is_forge(&batch),
            &wrong,
            batch.column_by_name("prompt").expect("prompts"),
        )
        .expect("zipped");
        with_column(&batch, "prompt", prompts)
    });
    labelmill(&["reparse", arg(&labeled.out())])
        .must_succeed()
        .must_say(&format!("{forge} of {} rows changed", fresh.num_rows()));
    let after = dataset(&labeled.out());
    assert_eq!(without_time(&after), without_time(&fresh));
    let times = |rows: &RecordBatch| rows.column_by_name("labeled_at").expect("times").clone();
    let (before, now) = (times(&fresh), times(&after));
    let renewed: Vec<bool> = (0..before.len())
        .map(|row| before.slice(row, 1) != now.slice(row, 1))
        .collect();
    assert_eq!(BooleanArray::from(renewed), is_forge(&fresh));
}

/// An older fingerprint under a policy of prompts; the column `path` plays the interrogator's.
fn under_policy(fingerprint: &str, order: &str) -> String {
    format!("{} prompt={{\"order\":[{order}],\"routes\":[]}}", older(fingerprint))
}

const INTERROGATED: &str = r#"{"interrogated":{"column":"path"}}"#;

/// All prompts as if an older interpreter had found one in every image.
fn found_everywhere(batch: RecordBatch) -> RecordBatch {
    let every = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![Some(text); batch.num_rows()])) };
    let (sources, prompts) = (every("metadata"), every("wrong"));
    with_column(&with_column(&batch, "prompt_source", sources), "prompt", prompts)
}

#[test]
fn where_a_prompt_vanishes_the_next_source_gives_one() {
    let labeled = Labeled::new(&[]);
    let order = format!("\"metadata\",{INTERROGATED}");
    labeled.age(|fingerprint| under_policy(fingerprint, &order), found_everywhere);
    labelmill(&["reparse", arg(&labeled.out())]).must_succeed();
    let rows = dataset(&labeled.out());
    let (sources, prompts) = (texts(&rows, "prompt_source"), texts(&rows, "prompt"));
    let (statuses, paths) = (texts(&rows, "metadata_status"), texts(&rows, "path"));
    assert!(statuses.iter().any(|status| status == "prompt") && statuses.iter().any(|status| status == "none"));
    for row in 0..rows.num_rows() {
        let is_recovered = statuses[row] == "prompt";
        assert_eq!(sources[row], if is_recovered { "metadata" } else { "interrogated" });
        assert_eq!(prompts[row] == paths[row], !is_recovered);
        assert_ne!(prompts[row], "wrong");
    }
}

#[test]
fn a_labelers_prompts_stay_where_they_go_first() {
    let labeled = Labeled::new(&[]);
    let order = format!("{INTERROGATED},\"metadata\"");
    labeled.age(
        |fingerprint| under_policy(fingerprint, &order),
        |batch| {
            let none: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; batch.num_rows()]));
            with_column(&found_everywhere(batch), "generator", none)
        },
    );
    labelmill(&["reparse", arg(&labeled.out())])
        .must_succeed()
        .must_say("  generator ");
    let rows = dataset(&labeled.out());
    assert_eq!(texts(&rows, "prompt"), texts(&rows, "path"));
    assert!(texts(&rows, "generator").iter().any(|generator| generator == "novelai"));
}

#[test]
fn sidecars_and_hidden_texts_stay_recovered() {
    let dir = temporary_folder();
    let input = dir.path().join("pics");
    std::fs::create_dir_all(&input).expect("a folder");
    let sample = |name: &str| samples().join(name);
    std::fs::copy(sample("art/frog_60x40.png"), input.join("frog.png")).expect("copied");
    let text = "a frog\nNegative prompt: toad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5";
    std::fs::write(input.join("frog.txt"), text).expect("written");
    let labeled = Labeled { dir };
    labeled.run(&[]);
    let fresh = dataset(&labeled.out());
    assert_eq!(texts(&fresh, "prompt"), ["a frog"]);
    labeled.age(older, wrong_fields);
    std::fs::remove_dir_all(labeled.input()).expect("removed");
    labelmill(&["reparse", arg(&labeled.out())])
        .must_succeed()
        .must_say("1 of 1 rows changed");
    assert_eq!(without_time(&dataset(&labeled.out())), without_time(&fresh));
}

#[test]
fn what_cannot_be_reparsed_is_an_error_before_any_write() {
    let labeled = Labeled::new(&[]);
    labeled.age(|fingerprint| fingerprint.replace("raw=true", "raw=false"), wrong_fields);
    let before = labeled.bytes();
    labelmill(&["reparse", arg(&labeled.out())])
        .must_exit(1)
        .must_say("keep_raw");
    assert_eq!(labeled.bytes(), before);
    labeled.age(|_| "v1.4000000000 raw=true".to_owned(), |batch| batch);
    labelmill(&["reparse", arg(&labeled.out())])
        .must_exit(1)
        .must_say("newer labelmill");
    let empty = temporary_folder();
    labelmill(&["reparse", arg(empty.path())])
        .must_exit(1)
        .must_say("holds no dataset");
    assert_eq!(std::fs::read_dir(empty.path()).expect("a folder").count(), 0);
    labelmill(&["reparse", arg(&empty.path().join("missing"))])
        .must_exit(1)
        .must_say("missing");
}
