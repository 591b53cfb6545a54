//! A small world for whole runs: files with versions, plans with fingerprints, and a run as the
//! pipeline makes it. What a labeler says of a picture is its fingerprint, so that a row tells
//! what made it.

use std::collections::BTreeMap;

use super::*;

/// Rows in a batch; parts hold 4 rows and row groups 3, so that nothing is aligned.
const ROWS_PER_BATCH: usize = 3;

/// The files of a folder: path to version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World(pub BTreeMap<String, u32>);

/// What the rows of interest say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub prompt: Option<String>,
    pub style: Option<String>,
    pub tag: Option<String>,
}

/// Which labelers a plan has, by their fingerprints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plan {
    pub clip: Option<&'static str>,
    pub tagger: Option<&'static str>,
}

impl Plan {
    pub fn spec(self) -> DatasetSpec {
        let mut labelers = Vec::new();
        labelers.extend(self.clip.map(|fingerprint| group("clip", fingerprint, clip_fields())));
        labelers.extend(
            self.tagger
                .map(|fingerprint| group("tagger", fingerprint, tagger_fields())),
        );
        let mut spec = spec(labelers);
        spec.options.part_rows = 4;
        spec.options.row_group_rows = 3;
        spec.options.zstd_level = 1;
        spec
    }

    /// The labels of some records in the given groups.
    pub fn columns(self, records: &[ImageRecord], groups: GroupSet) -> Vec<LabelColumn> {
        let mut columns = Vec::new();
        for (index, group) in self.spec().groups.iter().enumerate().skip(1) {
            if groups.contains(GroupSet(1 << index)) {
                columns.extend(match group.name.as_str() {
                    "clip" => clip_columns(records, &group.fingerprint),
                    _ => tagger_columns(records, &group.fingerprint),
                });
            }
        }
        columns
    }
}

impl World {
    pub fn of(paths: &[&str]) -> Self {
        Self(paths.iter().map(|path| ((*path).to_owned(), 1)).collect())
    }

    /// `count` files called `000.png` …
    pub fn numbered(count: usize) -> Self {
        Self((0..count).map(|index| (format!("{index:03}.png"), 1)).collect())
    }

    pub fn with(mut self, path: &str, version: u32) -> Self {
        self.0.insert(path.to_owned(), version);
        self
    }

    pub fn without(mut self, path: &str) -> Self {
        self.0.remove(path);
        self
    }

    pub fn record(&self, root: &str, path: &str, destination: Destination) -> ImageRecord {
        let version = self.0[path];
        let mut record = image(root, path);
        record.destination = destination;
        record.id.stat.size = u64::from(version);
        record.recovered.prompt = Some(format!("{path} v{version}"));
        record
    }

    /// The rows that a fresh run makes.
    pub fn rows(&self, plan: Plan) -> BTreeMap<String, Row> {
        let row = |(path, version): (&String, &u32)| {
            let row = Row {
                prompt: Some(format!("{path} v{version}")),
                style: plan.clip.map(str::to_owned),
                tag: plan.tagger.map(str::to_owned),
            };
            (path.clone(), row)
        };
        self.0.iter().map(row).collect()
    }
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    End,
    /// Ends early after so many replaced rows.
    Replaced(usize),
}

/// A run over the files of one root, as the pipeline makes it.
pub fn run(out: &Path, root: &str, world: &World, plan: Plan, fs: Arc<dyn CommitFs>) -> anyhow::Result<WriteReport> {
    run_until(
        out,
        root,
        world,
        plan,
        fs,
        ReconcileOptions {
            max_gone: 0.5,
            ..ReconcileOptions::default()
        },
        Until::End,
    )
}

pub fn run_until(
    out: &Path,
    root: &str,
    world: &World,
    plan: Plan,
    fs: Arc<dyn CommitFs>,
    options: ReconcileOptions,
    until: Until,
) -> anyhow::Result<WriteReport> {
    let mut dataset = Dataset::open(out, plan.spec(), fs)?;
    let changes = changes(&mut dataset, root, world, options)?;
    let mut sink = Box::new(dataset.sink(&changes)?);
    let everything = GroupSet::all(plan.spec().groups.len() - 1);
    let mut number = 0;
    let mut write = |sink: &mut PartsSink, records: &[ImageRecord], groups: GroupSet| {
        let batch = LabeledBatch {
            number,
            groups,
            records: records.to_vec(),
            columns: plan.columns(records, groups),
        };
        number += 1;
        sink.write(batch)
    };
    let records = world.0.keys().map(|path| world.record(root, path, Destination::Append));
    let new: Vec<ImageRecord> = records
        .filter(|record| dataset.ledger().find(&record.id).is_none())
        .collect();
    for records in new.chunks(ROWS_PER_BATCH) {
        write(&mut sink, records, everything)?;
    }
    let limit = if let Until::Replaced(rows) = until {
        rows
    } else {
        usize::MAX
    };
    let replacements = dataset
        .replacements(&changes)
        .take(limit)
        .collect::<Result<Vec<Replacement>, WriteError>>()?;
    for same_groups in replacements.chunk_by(|one, other| one.groups == other.groups) {
        for rows in same_groups.chunks(ROWS_PER_BATCH) {
            let records: Vec<ImageRecord> = rows
                .iter()
                .map(|row| world.record(root, &row.path, row.destination))
                .collect();
            write(&mut sink, &records, rows[0].groups)?;
        }
    }
    let ending = if until == Until::End {
        Ending::Complete
    } else {
        Ending::Early
    };
    Ok(sink.finish(ending)?)
}

pub fn changes(
    dataset: &mut Dataset,
    root: &str,
    world: &World,
    options: ReconcileOptions,
) -> Result<Changes, GuardError> {
    let mut reconciler = dataset.reconcile(options);
    for path in world.0.keys() {
        reconciler.observe(&world.record(root, path, Destination::Append).id);
    }
    reconciler.finish(&[root.into()])
}

/// What a reader of all parts sees, by path. Panics where it would trip: a torn part, two
/// schemas, an image twice.
pub fn read(out: &Path) -> BTreeMap<String, Row> {
    let mut found = BTreeMap::new();
    let mut schemas = Vec::new();
    for name in if out.is_dir() { parts_in(out) } else { Vec::new() } {
        let path = out.join(name);
        let number = parts::part_number(path.file_name().unwrap().to_str().unwrap()).unwrap();
        schemas.push(PartInfo::read(&path, number).unwrap().0.schema);
        for (image, row) in labels_of(&path) {
            assert!(found.insert(image.clone(), row).is_none(), "{image} is there twice");
        }
    }
    assert!(
        schemas.windows(2).all(|pair| pair[0].fields() == pair[1].fields()),
        "two schemas"
    );
    found
}

/// The rows of one part file: path in the root, and what was said of it.
pub fn labels_of(part: &Path) -> Vec<(String, Row)> {
    let file = std::fs::File::open(part).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let columns = ["path", "prompt", "style", "tags"];
    let mask = parquet::arrow::ProjectionMask::columns(builder.parquet_schema(), columns);
    let mut found = Vec::new();
    for batch in builder.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        let text = |name: &str, row: usize| -> Option<String> {
            let column = batch.column_by_name(name)?.as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let tag = |row: usize| -> Option<String> {
            let lists = batch.column_by_name("tags")?.as_list::<i32>();
            lists
                .is_valid(row)
                .then(|| lists.value(row).as_string::<i32>().value(0).to_owned())
        };
        for row in 0..batch.num_rows() {
            let labels = Row {
                prompt: text("prompt", row),
                style: text("style", row),
                tag: tag(row),
            };
            found.push((text("path", row).unwrap(), labels));
        }
    }
    found
}

pub fn parts_in(out: &Path) -> Vec<String> {
    let names = std::fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".parquet")).collect();
    names.sort();
    names
}

/// Asserts that OUT is sound and no file is left that should not be.
#[track_caller]
pub fn assert_tidy(out: &Path) {
    assert_eq!(verify(out).unwrap().problems, Vec::<String>::new());
    let left: Vec<String> = std::fs::read_dir(out)
        .unwrap()
        .chain(std::fs::read_dir(out.join(BOOKKEEPING_DIR)).unwrap())
        .chain(std::fs::read_dir(out.parent().unwrap()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            parts::is_temporary(name) || ["next", "staging", "journal.json", ".labels.next"].contains(&&**name)
        })
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
