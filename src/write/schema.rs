//! The only list of columns: name, Arrow type, how a value is made from an image's record, what
//! happens to it when a row is rewritten. Labelers' columns are put at their places between them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use super::conform::{conform, plain_type};
use super::{DatasetSpec, WriteError, rows};
use crate::record::{ImageRecord, LabelColumn, SidecarStamp};

/// Version of the base columns; raised by hand when one of them changes its name or type.
pub const SCHEMA_VERSION: u32 = 1;

/// A person's prompt or caption for the picture; null where none was edited.
pub const EDITED_PROMPT: &str = "edited_prompt";
/// A person's tags for the picture; null where they were not edited, empty where all were removed.
pub const EDITED_TAGS: &str = "edited_tags";

/// Makes one base column from the records of a batch.
type Build = fn(&[ImageRecord]) -> ArrayRef;

/// What becomes of a column's old value when a row is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// New when the group of this index is made anew (0 = metadata), else kept.
    WithGroup(usize),
    /// New at every rewrite: it tells how the rewrite went.
    Always,
    /// Kept for ever: it belongs to the user.
    Never,
}

/// How a column is laid out on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Values repeat: a dictionary pays (the writer falls back by itself where it does not).
    Repeating,
    /// Values hardly repeat: no dictionary.
    Distinct,
    /// Embedding: no dictionary, no statistics; `BYTE_STREAM_SPLIT` where readers know it.
    Embedding,
}

/// One base column.
struct BaseColumn {
    name: &'static str,
    data_type: fn() -> DataType,
    layout: Layout,
    renewal: Renewal,
    build: Build,
}

/// Where the values of a column come from.
#[derive(Clone, Copy)]
enum Origin {
    /// From the record.
    Base(Build),
    /// From a labeler's column of the same name.
    Label,
    /// The time of writing.
    LabeledAt,
}

/// A column of the dataset.
#[derive(Clone)]
pub struct Column {
    /// Its Arrow field.
    pub field: FieldRef,
    /// What a rewrite does with it.
    pub renewal: Renewal,
    origin: Origin,
}

/// Every column of a dataset in its order.
#[derive(Clone)]
pub struct DatasetSchema {
    /// The Arrow schema of every part.
    pub arrow: SchemaRef,
    /// Its columns, in the same order.
    pub columns: Vec<Column>,
}

impl DatasetSchema {
    /// Lays out the base columns and the labelers' columns of `spec`. Fails where two columns
    /// share a name or a labeler's type cannot be written.
    pub fn new(spec: &DatasetSpec) -> Result<Self, WriteError> {
        let mut columns: Vec<Column> = BASE_COLUMNS.iter().map(base_column).collect();
        if spec.gps {
            let status = columns
                .iter()
                .position(|column| column.field.name() == "status")
                .unwrap_or(columns.len());
            columns.splice(status..status, GPS_COLUMNS.iter().map(base_column));
        }
        let (embeddings, values): (Vec<Column>, Vec<Column>) = label_columns(spec)?
            .into_iter()
            .partition(|column| layout(&column.field) == Layout::Embedding);
        columns.extend(values);
        columns.push(labeled_at_column());
        columns.extend(embeddings);
        if !spec.prompt.is_plain() {
            // Made of the metadata, which is read whenever a row is made anew, and of other columns.
            let made = columns
                .iter_mut()
                .filter(|column| matches!(column.field.name().as_str(), "prompt" | "prompt_source"));
            made.for_each(|column| column.renewal = Renewal::Always);
        }
        ensure_distinct(&columns)?;
        let fields: Fields = columns.iter().map(|column| Arc::clone(&column.field)).collect();
        Ok(Self {
            arrow: Arc::new(Schema::new(fields)),
            columns,
        })
    }

    /// The rows of a batch as Arrow columns. A labeler's column that is not among `labels` (its
    /// group is not made anew) is all null. `labeled_at` is in microseconds since 1970 (UTC).
    pub fn record_batch(
        &self,
        records: &[ImageRecord],
        labels: &[LabelColumn],
        labeled_at: i64,
    ) -> Result<RecordBatch, WriteError> {
        if let Some((field, _)) = labels
            .iter()
            .find(|(field, _)| self.arrow.column_with_name(field.name()).is_none())
        {
            return Err(WriteError::Batch(format!(
                "column `{}` is in a batch but not in the plan",
                field.name()
            )));
        }
        let arrays = self
            .columns
            .iter()
            .map(|column| match column.origin {
                Origin::Base(build) => Ok(build(records)),
                Origin::LabeledAt => Ok(rows::constant_time(records.len(), labeled_at)),
                Origin::Label => label_array(column, labels, records.len()),
            })
            .collect::<Result<Vec<ArrayRef>, WriteError>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.arrow), arrays)?)
    }
}

/// The base columns that interpretation makes of an image's raw entries.
fn interpreted() -> impl Iterator<Item = &'static BaseColumn> {
    BASE_COLUMNS
        .iter()
        .skip_while(|column| column.name != "metadata_status")
        .take_while(|column| column.name != "metadata_raw")
        .filter(|column| column.renewal == Renewal::WithGroup(0))
}

/// Names of the columns of [`recovered_columns`].
pub(super) fn recovered_column_names() -> impl Iterator<Item = &'static str> {
    interpreted().map(|column| column.name)
}

/// The columns that interpretation makes, from records of which only `recovered` counts.
pub(super) fn recovered_columns(records: &[ImageRecord]) -> impl Iterator<Item = (&'static str, ArrayRef)> {
    interpreted().map(|column| (column.name, (column.build)(records)))
}

fn label_array(column: &Column, labels: &[LabelColumn], rows: usize) -> Result<ArrayRef, WriteError> {
    let Some((_, array)) = labels.iter().find(|(field, _)| field.name() == column.field.name()) else {
        return Ok(new_null_array(column.field.data_type(), rows));
    };
    if array.len() != rows {
        let name = column.field.name();
        return Err(WriteError::Batch(format!(
            "column `{name}` has {} values for {rows} rows",
            array.len()
        )));
    }
    conform(array, column.field.data_type())
}

fn base_column(base: &BaseColumn) -> Column {
    Column {
        field: Arc::new(Field::new(base.name, (base.data_type)(), true)),
        renewal: base.renewal,
        origin: Origin::Base(base.build),
    }
}

fn labeled_at_column() -> Column {
    Column {
        field: Arc::new(Field::new("labeled_at", instant(), true)),
        renewal: Renewal::Always,
        origin: Origin::LabeledAt,
    }
}

/// The labelers' columns, sorted to their places.
fn label_columns(spec: &DatasetSpec) -> Result<Vec<Column>, WriteError> {
    let mut columns = Vec::new();
    for (group, column_group) in spec.groups.iter().enumerate().skip(1) {
        for field in &column_group.fields {
            let data_type = plain_type(field.data_type()).ok_or_else(|| {
                let (column, owner) = (field.name(), &column_group.name);
                WriteError::Spec(format!(
                    "column `{column}` of `{owner}` has a type that cannot be written"
                ))
            })?;
            columns.push(Column {
                field: Arc::new(Field::new(field.name(), data_type, true)),
                renewal: Renewal::WithGroup(group),
                origin: Origin::Label,
            });
        }
    }
    columns.sort_by_key(|column| place(column.field.name()));
    Ok(columns)
}

/// Which block of the documented order a labeler's column belongs to. A second entry of a kind
/// has its own names (`wd_tags`), which keep the place of the plain ones. Within a block the
/// plan's order stays.
fn place(name: &str) -> usize {
    const BLOCKS: [&[&str]; 6] = [
        &["caption"],
        &[
            "clip_prompt",
            "clip_negative_prompt",
            "clip_terms",
            "clip_term_tables",
            "clip_term_scores",
        ],
        &["style", "style_score"],
        &["tags", "tag_scores", "tag_categories"],
        &["rating", "rating_score"],
        &["aesthetic", "nsfw"],
    ];
    /// Further zero-shot tables stand beside `style`.
    const ZERO_SHOT: usize = 2;
    let belongs = |known: &str| {
        name.strip_suffix(known)
            .is_some_and(|before| before.is_empty() || before.ends_with('_'))
    };
    BLOCKS
        .iter()
        .position(|block| block.iter().any(|known| belongs(known)))
        .unwrap_or(ZERO_SHOT)
}

/// How the column of a field is laid out on disk.
pub fn layout(field: &Field) -> Layout {
    if let Some(base) = BASE_COLUMNS
        .iter()
        .chain(GPS_COLUMNS)
        .find(|base| base.name == field.name())
    {
        return base.layout;
    }
    match field.data_type() {
        DataType::FixedSizeList(..) => Layout::Embedding,
        other if has_floats(other) => Layout::Distinct,
        _ => Layout::Repeating,
    }
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::List(item) => has_floats(item.data_type()),
        _ => false,
    }
}

fn ensure_distinct(columns: &[Column]) -> Result<(), WriteError> {
    let mut seen = HashSet::new();
    match columns
        .iter()
        .find(|column| !seen.insert(column.field.name().to_lowercase()))
    {
        Some(column) => Err(WriteError::Spec(format!(
            "two columns are named `{}`; give one of the two entries its own `columns = \"…\"`",
            column.field.name()
        ))),
        None => Ok(()),
    }
}

/// A child field of a list. Parquet's name for it is `element`.
pub(super) fn element(data_type: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new("element", data_type, nullable))
}

fn text() -> DataType {
    DataType::Utf8
}

/// A list of texts.
pub(super) fn texts() -> DataType {
    DataType::List(element(DataType::Utf8, true))
}

fn whole() -> DataType {
    DataType::Int64
}

fn real() -> DataType {
    DataType::Float64
}

fn truth() -> DataType {
    DataType::Boolean
}

/// Microseconds, UTC.
fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Microseconds of a clock whose zone is unknown.
fn local_time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn structure(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(
        fields
            .iter()
            .map(|(name, kind)| Field::new(*name, kind.clone(), true))
            .collect(),
    )
}

/// Type of `settings`; [`rows::settings`] fills it in the same order.
fn settings() -> DataType {
    structure(&[
        ("steps", DataType::Int64),
        ("sampler", DataType::Utf8),
        ("scheduler", DataType::Utf8),
        ("cfg_scale", DataType::Float64),
        ("seed", DataType::UInt64),
        ("model", DataType::Utf8),
        ("model_hash", DataType::Utf8),
        ("vae", DataType::Utf8),
        ("clip_skip", DataType::Int64),
        ("denoising_strength", DataType::Float64),
        ("guidance", DataType::Float64),
        ("width", DataType::Int64),
        ("height", DataType::Int64),
    ])
}

fn ai_provenance() -> DataType {
    structure(&[
        ("vendor", DataType::Utf8),
        ("claim_generator", DataType::Utf8),
        ("digital_source_type", DataType::Utf8),
        ("evidence", DataType::Utf8),
        ("verified", DataType::Boolean),
    ])
}

fn loras() -> DataType {
    let lora = structure(&[
        ("name", DataType::Utf8),
        ("weight", DataType::Float64),
        ("hash", DataType::Utf8),
    ]);
    DataType::List(element(lora, true))
}

fn character_prompts() -> DataType {
    let character = structure(&[
        ("prompt", DataType::Utf8),
        ("negative_prompt", DataType::Utf8),
        ("center_x", DataType::Float64),
        ("center_y", DataType::Float64),
    ]);
    DataType::List(element(character, true))
}

fn metadata_raw() -> DataType {
    let entry = structure(&[
        ("slot", DataType::Utf8),
        ("key", DataType::Utf8),
        ("text", DataType::Utf8),
    ]);
    DataType::List(element(entry, true))
}

/// Map of text to text, with Parquet's own names for its parts.
fn text_map() -> DataType {
    let entries = vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, true),
    ];
    DataType::Map(
        Arc::new(Field::new("key_value", DataType::Struct(entries.into()), false)),
        false,
    )
}

const fn repeating(name: &'static str, data_type: fn() -> DataType, build: Build) -> BaseColumn {
    BaseColumn {
        name,
        data_type,
        layout: Layout::Repeating,
        renewal: Renewal::WithGroup(0),
        build,
    }
}

const fn distinct(name: &'static str, data_type: fn() -> DataType, build: Build) -> BaseColumn {
    BaseColumn {
        name,
        data_type,
        layout: Layout::Distinct,
        renewal: Renewal::WithGroup(0),
        build,
    }
}

const fn outcome(name: &'static str, build: Build) -> BaseColumn {
    BaseColumn {
        name,
        data_type: text,
        layout: Layout::Repeating,
        renewal: Renewal::Always,
        build,
    }
}

/// The base columns in their order, without `labeled_at` (after the labelers' columns).
static BASE_COLUMNS: &[BaseColumn] = &[
    distinct("uri", text, |r| rows::text(r, |r| Some(&r.id.uri))),
    repeating("root", text, |r| rows::text(r, |r| Some(&r.id.root))),
    distinct("path", text, |r| rows::text(r, |r| Some(&r.id.path))),
    distinct("file_size", whole, |r| {
        rows::whole(r, |r| i64::try_from(r.id.stat.size).ok())
    }),
    distinct("modified_at", instant, |r| {
        rows::instant(r, |r| Some(r.id.stat.modified_at))
    }),
    repeating("sidecar_stamp", whole, |r| {
        rows::whole(r, |r| {
            Some(r.id.sidecars)
                .filter(|stamp| *stamp != SidecarStamp::NONE)
                .map(|stamp| i64::from(stamp.0))
        })
    }),
    distinct("blake3", text, |r| rows::text(r, |r| r.blake3.as_deref())),
    repeating("format", text, |r| rows::text(r, |r| r.facts.format)),
    repeating("width", whole, |r| rows::whole(r, |r| r.facts.width.map(i64::from))),
    repeating("height", whole, |r| rows::whole(r, |r| r.facts.height.map(i64::from))),
    repeating("orientation", whole, |r| {
        rows::whole(r, |r| r.facts.orientation.map(i64::from))
    }),
    repeating("taken_at", local_time, |r| rows::local_time(r, |r| r.facts.taken_at)),
    repeating("taken_at_offset_minutes", whole, |r| {
        rows::whole(r, |r| r.facts.taken_at_offset_minutes.map(i64::from))
    }),
    repeating("camera", text, |r| rows::text(r, |r| r.facts.camera.as_deref())),
    repeating("lens", text, |r| rows::text(r, |r| r.facts.lens.as_deref())),
    repeating("exposure_secs", real, |r| rows::real(r, |r| r.facts.exposure_secs)),
    repeating("f_number", real, |r| rows::real(r, |r| r.facts.f_number)),
    repeating("iso", whole, |r| rows::whole(r, |r| r.facts.iso.map(i64::from))),
    repeating("focal_length_mm", real, |r| rows::real(r, |r| r.facts.focal_length_mm)),
    repeating("keywords", texts, |r| {
        rows::texts(r, |r| r.facts.keywords.iter().map(String::as_str).collect())
    }),
    repeating("photo_rating", whole, |r| {
        rows::whole(r, |r| r.facts.rating.map(i64::from))
    }),
    outcome("status", |r| {
        rows::text(r, |r| Some(if r.failure.is_some() { "failed" } else { "ok" }))
    }),
    outcome("error_kind", |r| {
        rows::text(r, |r| r.failure.as_ref().map(|failure| failure.kind.as_str()))
    }),
    outcome("error", |r| {
        rows::text(r, |r| r.failure.as_ref().map(|failure| failure.message.as_str()))
    }),
    repeating("metadata_status", text, |r| {
        rows::text(r, |r| Some(r.recovered.status.as_str()))
    }),
    repeating("metadata_slot", text, |r| {
        rows::text(r, |r| r.recovered.slot.as_deref())
    }),
    repeating("metadata_confidence", text, |r| {
        rows::text(r, |r| r.recovered.confidence.map(crate::record::Confidence::as_str))
    }),
    repeating("metadata_notes", texts, |r| {
        rows::texts(r, |r| r.recovered.notes.iter().map(String::as_str).collect())
    }),
    repeating("generator", text, |r| {
        rows::text(r, |r| r.recovered.generator.as_deref())
    }),
    repeating("generator_version", text, |r| {
        rows::text(r, |r| r.recovered.generator_version.as_deref())
    }),
    repeating("generators_also", texts, |r| {
        rows::texts(r, |r| r.recovered.also.iter().map(String::as_str).collect())
    }),
    repeating("ai_provenance", ai_provenance, |r| {
        rows::ai_provenance(r, &ai_provenance())
    }),
    repeating("prompt", text, |r| rows::text(r, |r| r.recovered.prompt.as_deref())),
    repeating("negative_prompt", text, |r| {
        rows::text(r, |r| r.recovered.negative_prompt.as_deref())
    }),
    repeating("prompt_source", text, |r| {
        rows::text(r, |r| {
            Some(if r.recovered.prompt.is_some() {
                "metadata"
            } else {
                "none"
            })
        })
    }),
    BaseColumn {
        name: EDITED_PROMPT,
        data_type: text,
        layout: Layout::Repeating,
        renewal: Renewal::Never,
        build: |r| rows::text(r, |_| None),
    },
    BaseColumn {
        name: EDITED_TAGS,
        data_type: texts,
        layout: Layout::Repeating,
        renewal: Renewal::Never,
        build: |r| new_null_array(&texts(), r.len()),
    },
    repeating("original_prompt", text, |r| {
        rows::text(r, |r| r.recovered.original_prompt.as_deref())
    }),
    repeating("original_negative_prompt", text, |r| {
        rows::text(r, |r| r.recovered.original_negative_prompt.as_deref())
    }),
    repeating("character_prompts", character_prompts, |r| {
        rows::character_prompts(r, &character_prompts())
    }),
    repeating("signature_valid", truth, |r| {
        rows::truth(r, |r| r.recovered.signature_valid)
    }),
    repeating("settings", settings, |r| rows::settings(r, &settings())),
    repeating("loras", loras, |r| rows::loras(r, &loras())),
    repeating("parameters_extra", text_map, |r| rows::parameters_extra(r, &text_map())),
    repeating("metadata_raw", metadata_raw, |r| rows::metadata_raw(r, &metadata_raw())),
];

/// Where the picture was taken, only on request; they stand before `status`.
static GPS_COLUMNS: &[BaseColumn] = &[
    distinct("gps_latitude", real, |r| {
        rows::real(r, |r| r.facts.gps.map(|(latitude, _)| latitude))
    }),
    distinct("gps_longitude", real, |r| {
        rows::real(r, |r| r.facts.gps.map(|(_, longitude)| longitude))
    }),
];
