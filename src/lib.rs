//! labelmill labels image collections in batches: it recovers the prompt that an image carries,
//! embeds, tags and classifies with ONNX models, and writes one row an image to Parquet.
//!
//! The modules, in the order in which a run and then an image meet them:

// What was typed.
pub mod cli;
// What the configuration file says.
pub mod config;
// What will happen.
pub mod plan;
// The run: a call a stage.
pub mod pipeline;
// The types that travel between the stages.
pub mod record;
// Stage: where images come from.
pub mod source;
// Stage: what an image says about itself.
pub mod metadata;
// Stage: bytes to pixels, pixels to the models' squares.
pub mod decode;
// One image through read, metadata, decode and resize.
pub mod prepare;
// Models: manifests, files, the runtime.
pub mod model;
// Stage: squares to columns.
pub mod label;
// Stage: rows to a Parquet dataset.
pub mod write;
// A dataset read back: what exports, search and pages are made from.
pub mod dataset;
// What people take out of a dataset, and their edits on the way back.
pub mod export;
// Where the time goes.
pub mod clock;
// Why a run ends early.
pub mod stop;
// What a run did.
pub mod report;
// Numbers for Prometheus.
pub mod metrics;
// A page to look at a dataset.
pub mod gallery;
// What a person sees meanwhile.
pub mod progress;
// `inspect`.
pub mod inspect;
// `doctor`.
pub mod doctor;
// `run`, `plan`, `models`, `verify`, `compact`: the glue between the command line and the rest.
pub mod commands;
// Exit statuses.
pub mod exit;
