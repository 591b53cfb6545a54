//! Helpers that read like sentences: `job.run(&["--preset", "demo"]).must_succeed()`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sample pictures.
pub fn samples() -> PathBuf {
    repository().join("tests/fixtures/samples")
}

/// The program with `args`, in a folder of its own and with no settings of the caller's.
pub fn labelmill(args: &[&str]) -> Finished {
    labelmill_in(repository(), args)
}

/// The program with `args`, started in `folder`.
pub fn labelmill_in(folder: &Path, args: &[&str]) -> Finished {
    labelmill_with(folder, &[], args)
}

/// The program with `args` and these variables, started in `folder`.
pub fn labelmill_with(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_labelmill"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LABELMILL_") {
            command.env_remove(name);
        }
    }
    let output = command
        .current_dir(folder)
        .envs(variables.iter().copied())
        .args(args)
        .output()
        .expect("the program starts");
    Finished {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        output,
    }
}

/// A run over `inputs` into `out` by a configuration file, on the CPU.
pub fn label_by(configuration: &Path, inputs: &[&Path], out: &Path) -> Finished {
    let inputs = inputs.iter().map(|input| arg(input));
    let rest = ["--out", arg(out), "--config", arg(configuration), "--device", "cpu"];
    let args: Vec<&str> = std::iter::once("run").chain(inputs).chain(rest).collect();
    labelmill(&args)
}

/// A program that has ended.
pub struct Finished {
    args: Vec<String>,
    output: Output,
}

impl Finished {
    /// Data.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Everything else.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The exit status as a number.
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    #[track_caller]
    pub fn must_exit(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            code,
            "labelmill {:?}\nstdout: {}\nstderr: {}",
            self.args,
            self.stdout(),
            self.stderr()
        );
        self
    }

    #[track_caller]
    pub fn must_succeed(self) -> Self {
        self.must_exit(0)
    }

    #[track_caller]
    pub fn must_say(self, text: &str) -> Self {
        let said = format!("{}{}", self.stdout(), self.stderr());
        assert!(
            said.contains(text),
            "labelmill {:?} does not say {text:?}:\n{said}",
            self.args
        );
        self
    }
}

/// A dataset read back as one record batch, rows in the order of the parts.
pub fn dataset(out: &Path) -> arrow::array::RecordBatch {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let mut parts: Vec<PathBuf> = std::fs::read_dir(out)
        .unwrap_or_else(|error| panic!("{}: {error}", out.display()))
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect();
    parts.sort();
    let mut batches = Vec::new();
    for part in &parts {
        let file = std::fs::File::open(part).expect("the part opens");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .expect("the footer reads")
            .build()
            .expect("reads");
        batches.extend(reader.map(|batch| batch.expect("the rows read")));
    }
    let schema = batches
        .first()
        .unwrap_or_else(|| panic!("{} holds no rows", out.display()))
        .schema();
    arrow::compute::concat_batches(&schema, &batches).expect("one schema")
}

/// A column of text; null becomes the empty string.
pub fn texts(rows: &arrow::array::RecordBatch, column: &str) -> Vec<String> {
    use arrow::array::{Array, AsArray};
    let array = rows
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    let array = arrow::compute::cast(array, &arrow::datatypes::DataType::Utf8).expect("text");
    let array = array.as_string::<i32>();
    (0..array.len())
        .map(|row| {
            if array.is_null(row) {
                String::new()
            } else {
                array.value(row).to_owned()
            }
        })
        .collect()
}

/// The rows without the column that says when they were made.
pub fn without_time(rows: &arrow::array::RecordBatch) -> arrow::array::RecordBatch {
    let keep: Vec<usize> = (0..rows.num_columns())
        .filter(|index| rows.schema().field(*index).name() != "labeled_at")
        .collect();
    rows.project(&keep).expect("a projection")
}

/// The run's summary.
pub fn summary(out: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(out.join("_labelmill/run-summary.json")).expect("run-summary.json");
    serde_json::from_str(&text).expect("JSON")
}

/// Whether `doctor` finds a runtime here; says so once a test if not.
pub fn has_runtime() -> bool {
    let found = labelmill(&["doctor"]).stdout().contains("ONNX Runtime 1.");
    if !found {
        println!("skipped: no ONNX Runtime here (scripts/fetch-onnxruntime gets one)");
    }
    found
}

/// A folder that is gone when the test is over.
pub fn temporary_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a directory entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
