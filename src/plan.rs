//! What will happen: the only place where flags, environment, file and defaults meet. Precedence:
//! flag, environment (clap reads it where the flag is absent), file or preset, default.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{RunArgs, Stealth};
use crate::config::{Config, JpegScaleConfig, ModelConfig, nearest};
use crate::decode::{self, DecodeOptions, JpegScale};
use crate::exit::UsageError;
use crate::metadata::{ReadOptions, SidecarKind};
use crate::model::manifest::ClassifyTable;
use crate::prepare::{PrepareOptions, StealthSearch};
use crate::record::{ErrorKind, Geometry};
use crate::source::{FolderOptions, FolderSource, Root};
use crate::write::{Permission, ReconcileOptions, RetryFailed};

/// What a dataset remembers of its plan.
pub mod recorded;

/// Everything a run needs to know, resolved and checked.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// Where images are looked for.
    pub roots: Vec<Root>,
    /// The dataset.
    pub out: PathBuf,
    /// The effective configuration, stored beside the dataset.
    pub config: Config,
    /// Path of the ONNX Runtime library, where one was named.
    pub onnxruntime: Option<PathBuf>,
    /// Folder of the configuration file; its `models/` are known by name.
    pub config_folder: Option<PathBuf>,
    /// Exit 3 above this.
    pub max_failed: Option<FailedLimit>,
    /// Stop after this time.
    pub max_duration: Option<Duration>,
    /// Stop after this many images.
    pub max_images: Option<u64>,
    /// Which failed rows are tried again, and which guards are passed.
    pub reconcile: ReconcileOptions,
    /// Prometheus textfile.
    pub metrics_textfile: Option<PathBuf>,
    /// Whether missing models are pulled without a question.
    pub pull_missing: Permission,
}

/// How many inputs may fail before a run exits with 3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FailedLimit {
    /// This many.
    Count(u64),
    /// This share of the images found, 0..=1.
    Share(f64),
}

impl FailedLimit {
    /// Whether `failed` of `found` is more than allowed.
    pub fn is_exceeded(self, failed: u64, found: u64) -> bool {
        match self {
            Self::Count(count) => failed > count,
            Self::Share(share) => failed as f64 > share * found as f64,
        }
    }
}

impl RunPlan {
    /// Resolves what was typed against the configuration and checks all that needs no image.
    pub fn resolve(args: &RunArgs) -> anyhow::Result<Self> {
        // Every field is named here, so that a new flag does not compile until it is handled.
        let RunArgs {
            paths,
            out,
            config,
            preset,
            device,
            batch,
            threads,
            onnxruntime,
            include,
            exclude,
            sniff,
            follow_links,
            hidden,
            stealth,
            embedding,
            retry_failed,
            yes,
            allow_gone,
            drop_labels,
            max_failed,
            max_duration,
            max_images,
            metrics_textfile,
        } = args;
        // A dataset in place of an input stands for the inputs and the plan it was made with.
        let recorded = recorded::read(paths)?;
        let mut effective = match (config, preset, &recorded) {
            (Some(path), ..) => Config::load(path)?,
            (None, Some(name), _) => Config::preset(name)?,
            (None, None, Some(recorded)) => recorded.config.clone(),
            (None, None, None) => Config::default(),
        };
        if let Some(device) = device {
            let devices = device.parse();
            effective.run.device = devices.map_err(|error| UsageError::error(format!("--device {device}: {error}")))?;
        }
        override_with(&mut effective.run.batch, *batch);
        override_with(&mut effective.run.threads, *threads);
        override_with(&mut effective.run.max_failed, max_failed.clone());
        override_with(&mut effective.run.max_duration, max_duration.clone());
        override_with(&mut effective.metadata.stealth, *stealth);
        override_with(&mut effective.output.embedding, *embedding);
        effective.input.include.extend(include.iter().cloned());
        effective.input.exclude.extend(exclude.iter().cloned());
        effective.input.sniff |= sniff;
        effective.input.follow_links |= follow_links;
        effective.input.hidden |= hidden;

        let (roots, out) = match recorded {
            Some(recorded) => (recorded.roots, recorded.out),
            None => {
                let roots = parse_roots(paths)?;
                let out = resolve_out(out.as_ref(), &roots)?;
                (recorded::keep_names(roots, &out)?, out)
            }
        };
        check(&effective)?;
        let reconcile = ReconcileOptions {
            retry_failed: parse_retry(retry_failed.as_ref())?,
            max_gone: effective.output.max_gone,
            allow_gone: permission(*allow_gone),
            allow_dropped_labels: permission(*drop_labels),
        };
        Ok(Self {
            roots,
            out,
            max_failed: parse_failed_limit(&effective.run.max_failed)?,
            max_duration: parse_duration(&effective.run.max_duration)?,
            config: effective,
            onnxruntime: onnxruntime.clone(),
            config_folder: config.as_ref().and_then(|path| path.parent()).map(PathBuf::from),
            max_images: *max_images,
            reconcile,
            metrics_textfile: metrics_textfile.clone(),
            pull_missing: permission(*yes),
        })
    }

    /// The same plan with every guard passed, to count what it would do.
    #[must_use]
    pub fn without_guards(mut self) -> Self {
        self.reconcile.allow_gone = Permission::Granted;
        self.reconcile.allow_dropped_labels = Permission::Granted;
        self
    }

    /// The source over the plan's roots.
    pub fn source(&self) -> anyhow::Result<FolderSource> {
        let input = &self.config.input;
        let options = FolderOptions {
            unseen: false,
            include: input.include.clone(),
            exclude: input.exclude.clone(),
            follow_links: input.follow_links,
            hidden: input.hidden,
            sniff: input.sniff.then_some(|head: &[u8]| decode::sniff(head).is_some()),
            sidecar_suffixes: if self.config.metadata.sidecars {
                SidecarKind::ALL.map(SidecarKind::suffix).to_vec()
            } else {
                Vec::new()
            },
            skip_folders: vec![self.out.clone()],
        };
        FolderSource::new(self.roots.clone(), options)
            .map_err(|error| UsageError::error(format!("input.include/exclude: {error}")))
    }

    /// What every image goes through before the models that want `geometries`.
    pub fn prepare(&self, geometries: Vec<Geometry>) -> PrepareOptions {
        let Config { metadata, decode, .. } = &self.config;
        let largest = geometries.iter().map(|geometry| geometry.size).max();
        let jpeg_scale = match (decode.jpeg_scale, largest) {
            // Three times the largest square: within a few levels of the exact result.
            (JpegScaleConfig::Fast, Some(size)) => JpegScale::Fast {
                smallest_short_side: 3 * size,
            },
            _ => JpegScale::Exact,
        };
        PrepareOptions {
            geometries,
            max_file_bytes: decode.max_file_mib << 20,
            decode: DecodeOptions {
                max_pixels: decode.max_megapixels * 1_000_000,
                jpeg_scale,
                ..DecodeOptions::default()
            },
            read: ReadOptions::default(),
            exif_orientation: decode.exif_orientation,
            sidecars: metadata.sidecars,
            stealth: match metadata.stealth {
                Stealth::Off => StealthSearch::Off,
                Stealth::Auto => StealthSearch::WithPixels,
                Stealth::All => StealthSearch::All,
            },
            keep_raw: metadata.keep_raw,
            hash: metadata.hash,
            twins: None,
        }
    }

    /// Decoding threads: as configured, or one a core that this process may use.
    pub fn threads(&self) -> usize {
        match self.config.run.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// The roots' names, as the dataset knows them.
    pub fn root_names(&self) -> Vec<Arc<str>> {
        self.roots.iter().map(|root| root.name.clone()).collect()
    }

    /// The models that label, in order.
    pub fn models(&self) -> &[ModelConfig] {
        &self.config.model
    }

    /// The user's own zero-shot tables.
    pub fn classify(&self) -> &[ClassifyTable] {
        &self.config.classify
    }

    /// The effective configuration as TOML, as `plan` prints it and the parts store it.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.config).expect("a configuration that was parsed can be written")
    }
}

fn override_with<T>(value: &mut T, flag: Option<T>) {
    if let Some(flag) = flag {
        *value = flag;
    }
}

fn parse_roots(paths: &[String]) -> anyhow::Result<Vec<Root>> {
    let mut roots: Vec<Root> = Vec::new();
    for typed in paths {
        let root = Root::parse(typed).map_err(|error| UsageError::error(format!("{typed}: {error}")))?;
        for other in &roots {
            let nested = root.folder.starts_with(&other.folder) || other.folder.starts_with(&root.folder);
            let both_whole = root.single_file.is_none() || other.single_file.is_none();
            if nested && both_whole {
                let message = format!(
                    "{} and {} overlap, so images would be found twice; name the outer one alone",
                    other.folder.display(),
                    root.folder.display()
                );
                return Err(UsageError::error(message));
            }
            if root.name == other.name && root.folder != other.folder {
                return Err(UsageError::error(format!(
                    "two roots are named {}; use NAME=PATH",
                    root.name
                )));
            }
        }
        roots.push(root);
    }
    Ok(roots)
}

/// `--out`, or `INPUT-labels` beside exactly one folder.
fn resolve_out(out: Option<&PathBuf>, roots: &[Root]) -> anyhow::Result<PathBuf> {
    let absolute = |path: &std::path::Path| {
        crate::source::lexical_absolute(path).map_err(|error| UsageError::error(format!("{}: {error}", path.display())))
    };
    if let Some(out) = out {
        let out = absolute(out)?;
        if out.is_file() {
            return Err(UsageError::error(format!(
                "--out {} is a file; it must be a folder",
                out.display()
            )));
        }
        return Ok(out);
    }
    match roots {
        [
            Root {
                folder,
                single_file: None,
                ..
            },
        ] if folder.file_name().is_some() => {
            let mut name = folder.file_name().expect("checked just above").to_os_string();
            name.push("-labels");
            absolute(&folder.with_file_name(name))
        }
        _ => Err(UsageError::error(
            "--out DIR is needed, since the input is not exactly one folder",
        )),
    }
}

fn check(config: &Config) -> anyhow::Result<()> {
    let positive = [
        ("decode.max_megapixels", config.decode.max_megapixels),
        ("decode.max_file_mib", config.decode.max_file_mib),
        ("output.part_rows", config.output.part_rows as u64),
        ("output.part_mib", config.output.part_mib),
    ];
    for (key, value) in positive {
        if value == 0 {
            return Err(UsageError::error(format!("{key} must be at least 1")));
        }
    }
    let level = config.device.tensorrt.optimization_level;
    if level > 5 {
        return Err(UsageError::error(format!(
            "device.tensorrt.optimization_level is {level}; 0 to 5 is wanted"
        )));
    }
    if !(0.0..=1.0).contains(&config.output.max_gone) {
        return Err(UsageError::error(format!(
            "output.max_gone is {}; it is a share from 0 to 1",
            config.output.max_gone
        )));
    }
    Ok(())
}

fn parse_failed_limit(text: &str) -> anyhow::Result<Option<FailedLimit>> {
    let text = text.trim();
    let wrong = || {
        UsageError::error(format!(
            "max_failed is `{text}`; it is a number (`10`) or a share (`5%`)"
        ))
    };
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
        return if (0.0..=100.0).contains(&percent) {
            Ok(Some(FailedLimit::Share(percent / 100.0)))
        } else {
            Err(wrong())
        };
    }
    Ok(Some(FailedLimit::Count(text.parse().map_err(|_| wrong())?)))
}

/// `90s`, `30m`, `6h`, or several together (`1h30m`).
fn parse_duration(text: &str) -> anyhow::Result<Option<Duration>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || UsageError::error(format!("max_duration is `{text}`; write it as 90s, 30m, 6h or 1h30m"));
    let (mut secs, mut number) = (0_u64, String::new());
    for letter in text.chars() {
        let unit = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        let count: u64 = number.parse().map_err(|_| wrong())?;
        secs = count
            .checked_mul(unit)
            .and_then(|part| secs.checked_add(part))
            .ok_or_else(wrong)?;
        number.clear();
    }
    if number.is_empty() {
        Ok(Some(Duration::from_secs(secs)))
    } else {
        Err(wrong())
    }
}

/// `--retry-failed` alone, or with one kind.
fn parse_retry(typed: Option<&Option<String>>) -> anyhow::Result<RetryFailed> {
    let name = match typed {
        None => return Ok(RetryFailed::No),
        Some(None) => return Ok(RetryFailed::All),
        Some(Some(name)) => name,
    };
    let names = || ErrorKind::ALL.into_iter().map(ErrorKind::as_str);
    if let Some(kind) = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == name) {
        return Ok(RetryFailed::Kind(kind));
    }
    let hint = nearest(name, names())
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    let all: Vec<&str> = names().collect();
    Err(UsageError::error(format!(
        "--retry-failed={name}: no such kind{hint} (kinds: {})",
        all.join(", ")
    )))
}

fn permission(granted: bool) -> Permission {
    if granted {
        Permission::Granted
    } else {
        Permission::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BatchSize;

    fn args(paths: &[&str]) -> RunArgs {
        RunArgs {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..RunArgs::default()
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "[run]\nbatch = 7\nthreads = 3\n").expect("written");
        let typed = RunArgs {
            config: Some(file),
            batch: Some(BatchSize::Of(9)),
            ..args(&["somewhere/pics"])
        };
        let plan = RunPlan::resolve(&typed).expect("plan");
        assert_eq!((plan.config.run.batch, plan.config.run.threads), (BatchSize::Of(9), 3));
        assert_eq!(plan.config.run.device.to_string(), "auto");
        assert!(plan.out.ends_with("somewhere/pics-labels"));
    }

    #[test]
    fn several_inputs_need_an_output_and_may_not_overlap() {
        assert!(RunPlan::resolve(&args(&["a", "b"])).is_err());
        let overlapping = RunArgs {
            out: Some("o".into()),
            ..args(&["a", "a/b"])
        };
        let error = RunPlan::resolve(&overlapping).expect_err("overlap").to_string();
        assert!(error.contains("overlap"), "{error}");
        assert!(
            RunPlan::resolve(&RunArgs {
                out: Some("o".into()),
                ..args(&["a", "ab"])
            })
            .is_ok()
        );
    }

    #[test]
    fn limits_are_numbers_shares_and_times() {
        assert_eq!(parse_failed_limit("5%").expect("share"), Some(FailedLimit::Share(0.05)));
        assert_eq!(parse_failed_limit("12").expect("count"), Some(FailedLimit::Count(12)));
        assert!(parse_failed_limit("many").is_err() && parse_failed_limit("120%").is_err());
        assert_eq!(parse_duration("1h30m").expect("time"), Some(Duration::from_mins(90)));
        assert!(parse_duration("5").is_err() && parse_duration("m").is_err());
        assert!(FailedLimit::Share(0.5).is_exceeded(6, 10) && !FailedLimit::Count(6).is_exceeded(6, 10));
        assert!(
            parse_retry(Some(&Some("trunctaed".into())))
                .expect_err("kind")
                .to_string()
                .contains("truncated")
        );
    }
}
