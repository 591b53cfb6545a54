//! What a run has to do: the images that the walk met against the rows that are committed, and
//! the plan's column groups against what the parts say of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::footer::PartInfo;
use super::ledger::{Ledger, RowStatus, Seen};
use super::schema::{DatasetSchema, Renewal};
use super::{DatasetSpec, Shared, UNKNOWN_FINGERPRINT};
use crate::record::{ErrorKind, GroupSet, ImageId};

/// Which failed rows are tried again although their file did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetryFailed {
    /// None.
    #[default]
    No,
    /// Those of one kind.
    Kind(ErrorKind),
    /// All.
    All,
}

/// Whether a guard may be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permission {
    /// The guard is an error.
    #[default]
    Refused,
    /// The user said so.
    Granted,
}

/// How committed rows are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReconcileOptions {
    /// Which failed rows are tried again.
    pub retry_failed: RetryFailed,
    /// Share of a root's rows that may be gone, 0..=1.
    pub max_gone: f64,
    /// Whether more than that, or all of a root, may be gone (`--allow-gone`).
    pub allow_gone: Permission,
    /// Whether the columns of labelers that the plan does not name may be dropped.
    pub allow_dropped_labels: Permission,
}

impl Default for ReconcileOptions {
    fn default() -> Self {
        Self {
            retry_failed: RetryFailed::No,
            max_gone: 0.2,
            allow_gone: Permission::Refused,
            allow_dropped_labels: Permission::Refused,
        }
    }
}

/// A run that would lose rows or labels was stopped before any write.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GuardError {
    /// A root with committed rows is empty now.
    #[error(
        "no image is left under {root}, where {rows} are labeled; is it mounted? \
         (--allow-gone takes them out of the dataset)"
    )]
    RootEmpty {
        /// Name of the root.
        root: String,
        /// Its committed rows.
        rows: u64,
    },
    /// More of a root's rows are gone than allowed.
    #[error(
        "{gone} of {rows} labeled images under {root} are gone, more than max_gone = {max_gone} allows \
         (--allow-gone takes them out of the dataset)"
    )]
    TooManyGone {
        /// Name of the root.
        root: String,
        /// Rows whose image is gone.
        gone: u64,
        /// Its committed rows.
        rows: u64,
        /// The share that is allowed.
        max_gone: f64,
    },
    /// The dataset holds labels that the plan does not name.
    #[error(
        "{} holds columns of {}, which this plan does not name; run with the same models, or name another --out \
         (--drop-labels takes those columns out of the dataset)",
        out.display(), groups.join(", ")
    )]
    LabelsDropped {
        /// The dataset.
        out: PathBuf,
        /// Names of the groups.
        groups: Vec<String>,
    },
}

/// Why the rows of some parts are stale in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StaleReason {
    /// The parts do not have the group.
    Added,
    /// They have it from another model, preprocessing or stage version.
    Changed,
    /// An earlier run was interrupted on the way from one making to the next.
    Unfinished,
}

/// Rows that are stale in one group for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleGroup {
    /// Name of the group.
    pub group: String,
    /// Why.
    pub reason: StaleReason,
    /// How many rows.
    pub rows: u64,
}

/// Images by what a run has to do with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Images that the walk met.
    pub found: u64,
    /// Not committed yet.
    pub new: u64,
    /// Committed with another size or time, or with other sidecars.
    pub changed: u64,
    /// Failed before and tried again.
    pub retried: u64,
    /// Unchanged, with at least one group that is stale.
    pub stale: u64,
    /// Nothing to do.
    pub unchanged: u64,
    /// Committed under a root that was walked to its end, and not met.
    pub gone: u64,
    /// Committed under other roots; they stay.
    pub elsewhere: u64,
}

/// A committed row that is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReplacedRow {
    pub(super) row: u32,
    pub(super) groups: GroupSet,
}

/// What is to be done in one part, rows ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PartChanges {
    pub(super) replaced: Vec<ReplacedRow>,
    pub(super) gone: Vec<u32>,
}

/// What a run has to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Images by what has to be done.
    pub counts: ChangeCounts,
    /// Why rows are stale, by group; a row can be stale in several.
    pub stale_groups: Vec<StaleGroup>,
    /// Groups of the parts that the plan does not name; their columns go.
    pub dropped_groups: Vec<String>,
    /// By part of the ledger; empty means nothing in any.
    pub(super) parts: Arc<Vec<PartChanges>>,
}

/// Compares the images of a walk with the committed rows.
pub struct Reconciler<'a> {
    shared: Arc<Shared>,
    parts: &'a [PartInfo],
    ledger: &'a mut Ledger,
    options: ReconcileOptions,
    found: u64,
    new: u64,
    /// Images met by root.
    found_by_root: BTreeMap<Arc<str>, u64>,
}

impl<'a> Reconciler<'a> {
    pub(super) fn new(
        shared: Arc<Shared>,
        parts: &'a [PartInfo],
        ledger: &'a mut Ledger,
        options: ReconcileOptions,
    ) -> Self {
        ledger.forget_seen();
        Self {
            shared,
            parts,
            ledger,
            options,
            found: 0,
            new: 0,
            found_by_root: BTreeMap::new(),
        }
    }

    /// Notes an image that the walk met.
    pub fn observe(&mut self, id: &ImageId) {
        self.found += 1;
        match self.found_by_root.get_mut(&id.root) {
            Some(count) => *count += 1,
            None => {
                self.found_by_root.insert(Arc::clone(&id.root), 1);
            }
        }
        if self.ledger.mark_seen(id).is_none() {
            self.new += 1;
        }
    }

    /// What is to be done. `walked_roots` are the roots that were walked to their end without an
    /// error; no row of another root is gone. A limited run, a list or stdin gives none.
    pub fn finish(self, walked_roots: &[Arc<str>]) -> Result<Changes, GuardError> {
        let dropped_groups = self.dropped_groups()?;
        let walked: Vec<bool> = self
            .ledger
            .roots()
            .iter()
            .map(|root| walked_roots.contains(root))
            .collect();
        self.guard_gone(&walked)?;
        let (spec, schema) = (&self.shared.spec, &self.shared.schema);
        let stale: Vec<PartStaleness> = self
            .parts
            .iter()
            .map(|part| PartStaleness::of(part, spec, schema))
            .collect();
        let mut sorting = Sorting::new(&stale, self.options.retry_failed, spec.groups.len());
        for entry in &self.ledger.entries {
            let is_walked = walked.get(usize::from(entry.root)).copied().unwrap_or(false);
            sorting.sort(entry.at.part, entry.at.row, entry.seen, entry.status(), is_walked);
        }
        let mut changes = sorting.into_changes(spec);
        changes.counts.found = self.found;
        changes.counts.new = self.new;
        changes.dropped_groups = dropped_groups;
        Ok(changes)
    }

    fn dropped_groups(&self) -> Result<Vec<String>, GuardError> {
        let known: BTreeSet<&str> = self
            .shared
            .spec
            .groups
            .iter()
            .map(|group| group.name.as_str())
            .collect();
        let in_parts = self.parts.iter().flat_map(|part| part.meta.groups());
        let dropped: BTreeSet<&str> = in_parts.filter(|group| !known.contains(group)).collect();
        let groups: Vec<String> = dropped.into_iter().map(str::to_owned).collect();
        if groups.is_empty() || self.options.allow_dropped_labels == Permission::Granted {
            return Ok(groups);
        }
        Err(GuardError::LabelsDropped {
            out: self.shared.out.clone(),
            groups,
        })
    }

    /// Refuses when a walked root is empty or too many of its rows are gone.
    fn guard_gone(&self, walked: &[bool]) -> Result<(), GuardError> {
        if self.options.allow_gone == Permission::Granted {
            return Ok(());
        }
        let mut tallies = vec![(0_u64, 0_u64); walked.len()];
        for entry in &self.ledger.entries {
            if let Some((rows, gone)) = tallies.get_mut(usize::from(entry.root)) {
                *rows += 1;
                *gone += u64::from(entry.seen == Seen::No);
            }
        }
        for ((root, is_walked), (rows, gone)) in self.ledger.roots().iter().zip(walked).zip(tallies) {
            if !is_walked || gone == 0 {
                continue;
            }
            let root_name = root.to_string();
            if !self.found_by_root.contains_key(root) {
                return Err(GuardError::RootEmpty { root: root_name, rows });
            }
            let max_gone = self.options.max_gone;
            if gone as f64 > max_gone * rows as f64 {
                return Err(GuardError::TooManyGone {
                    root: root_name,
                    gone,
                    rows,
                    max_gone,
                });
            }
        }
        Ok(())
    }
}

/// Which groups of a part are stale.
#[derive(Debug, Clone, Default)]
pub(super) struct PartStaleness {
    /// The stale groups.
    pub(super) stale: GroupSet,
    /// For each stale group: its index, why, and how many rows from the first on are made anew
    /// already.
    pub(super) reasons: Vec<(usize, StaleReason, u64)>,
}

impl PartStaleness {
    pub(super) fn of(part: &PartInfo, spec: &DatasetSpec, schema: &DatasetSchema) -> Self {
        let mut staleness = Self::default();
        for (index, group) in spec.groups.iter().enumerate() {
            let has_columns = schema
                .columns
                .iter()
                .filter(|column| column.renewal == Renewal::WithGroup(index))
                .all(|column| part.schema.fields().iter().any(|field| **field == *column.field));
            let made_by = part.meta.fingerprints.get(&group.name);
            let is_its_making =
                |made_by: &String| group.fingerprint == UNKNOWN_FINGERPRINT || *made_by == group.fingerprint;
            if has_columns && made_by.is_some_and(is_its_making) {
                continue;
            }
            let begun = part.meta.begun.get(&group.name);
            let begun = begun.filter(|begun| has_columns && begun.fingerprint == group.fingerprint);
            let reason = match (begun, made_by) {
                (Some(_), _) => StaleReason::Unfinished,
                (None, Some(_)) => StaleReason::Changed,
                (None, None) => StaleReason::Added,
            };
            staleness.stale = staleness.stale.union(GroupSet(1 << index));
            staleness
                .reasons
                .push((index, reason, begun.map_or(0, |begun| begun.rows)));
        }
        staleness
    }

    /// The groups in which one row is stale.
    pub(super) fn of_row(&self, row: u32) -> GroupSet {
        let stale = self.reasons.iter().filter(|(_, _, done)| u64::from(row) >= *done);
        stale.fold(GroupSet::default(), |set, (index, _, _)| {
            set.union(GroupSet(1 << index))
        })
    }
}

/// Sorts committed rows into what is to be done with them.
struct Sorting<'a> {
    stale: &'a [PartStaleness],
    retry_failed: RetryFailed,
    everything: GroupSet,
    counts: ChangeCounts,
    stale_rows: BTreeMap<(usize, StaleReason), u64>,
    parts: Vec<PartChanges>,
}

impl<'a> Sorting<'a> {
    fn new(stale: &'a [PartStaleness], retry_failed: RetryFailed, groups: usize) -> Self {
        Self {
            stale,
            retry_failed,
            everything: GroupSet::all(groups.saturating_sub(1)),
            counts: ChangeCounts::default(),
            stale_rows: BTreeMap::new(),
            parts: vec![PartChanges::default(); stale.len()],
        }
    }

    fn sort(&mut self, part: u32, row: u32, seen: Seen, status: RowStatus, is_walked: bool) {
        let index = part as usize;
        let replace = match seen {
            Seen::No if is_walked => {
                self.counts.gone += 1;
                self.parts[index].gone.push(row);
                return;
            }
            Seen::No => {
                self.counts.elsewhere += 1;
                return;
            }
            Seen::Changed => {
                self.counts.changed += 1;
                self.everything
            }
            // Sidecars are metadata; the models see the image alone.
            Seen::SidecarsChanged => {
                self.counts.changed += 1;
                match status {
                    RowStatus::Ok => self.stale[index].of_row(row).union(GroupSet::METADATA),
                    RowStatus::Failed(_) => self.everything,
                }
            }
            Seen::Same if self.is_retried(status) => {
                self.counts.retried += 1;
                self.everything
            }
            Seen::Same => self.stale_groups(index, row, status),
        };
        if replace.is_empty() {
            self.counts.unchanged += 1;
        } else {
            self.parts[index].replaced.push(ReplacedRow { row, groups: replace });
        }
    }

    /// The groups to make anew in an unchanged row. A failed row is made anew altogether: nothing
    /// says which of its groups failed.
    fn stale_groups(&mut self, part: usize, row: u32, status: RowStatus) -> GroupSet {
        let staleness = &self.stale[part];
        let stale = staleness.of_row(row);
        if stale.is_empty() {
            return stale;
        }
        self.counts.stale += 1;
        for (index, reason, _) in &staleness.reasons {
            if stale.contains(GroupSet(1 << index)) {
                *self.stale_rows.entry((*index, *reason)).or_default() += 1;
            }
        }
        if matches!(status, RowStatus::Failed(_)) {
            self.everything
        } else {
            stale
        }
    }

    fn is_retried(&self, status: RowStatus) -> bool {
        match (self.retry_failed, status) {
            // Unreadable says nothing about the picture: a share that hiccuped, a file still being copied.
            (_, RowStatus::Failed(ErrorKind::Unreadable | ErrorKind::ChangedWhileRead))
            | (RetryFailed::All, RowStatus::Failed(_)) => true,
            (RetryFailed::Kind(wanted), RowStatus::Failed(kind)) => wanted == kind,
            _ => false,
        }
    }

    fn into_changes(mut self, spec: &DatasetSpec) -> Changes {
        for part in &mut self.parts {
            part.replaced.sort_unstable_by_key(|replaced| replaced.row);
            part.gone.sort_unstable();
        }
        let stale_groups = self
            .stale_rows
            .into_iter()
            .map(|((index, reason), rows)| StaleGroup {
                group: spec.groups[index].name.clone(),
                reason,
                rows,
            })
            .collect();
        Changes {
            counts: self.counts,
            stale_groups,
            dropped_groups: Vec::new(),
            parts: Arc::new(self.parts),
        }
    }
}
