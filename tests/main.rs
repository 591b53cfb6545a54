//! The one integration test binary: a module a subject, each running the real program.

/// Starting the program and reading what it says.
mod support;
/// Help, completions, usage errors, exit statuses.
mod command_line;
/// Stages do not import each other.
mod layering;
/// Whole runs without a model.
mod metadata_run;
/// Whole runs with the embedded models (they skip where no ONNX Runtime is found).
mod demo_run;
/// What the embedded captioner says of the samples (skips likewise).
mod captions;
/// Prompts of pictures that carry none, and where each prompt comes from.
mod interrogate_run;
/// A small web server for tests.
mod http_server;
/// Pulling, adding, checking and listing models, against a server of this machine.
mod models_store;
/// The nightly job: what changed, what is gone, what another run may do.
mod nightly;
/// Exports, edits on their way back, search.
mod exports;
/// Files that are broken, lie or attack.
mod malformed;
/// Metadata columns made anew from their raw entries.
mod reparse;
/// The page to look at a dataset; tests/browser uses it in a browser.
mod report;
/// Cut-down models of each family against Python's values (they skip without ONNX Runtime).
mod model_parity;
/// A model of one's own, from a manifest alone (skips likewise).
mod unseen_tagger;
/// What the README promises.
mod readme;
