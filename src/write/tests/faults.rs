//! Every call of the commit path fails once, and the machine stops at every one of them, for each
//! kind of change. Readers must see each image once under one schema, no committed row may be
//! missing, and the next run must end where an uninterrupted one ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::world::*;
use super::*;
use crate::write::commit::fault::{Exchange, Fault, FaultFs, Remains, UnsyncedFs};

const CLIP: Plan = Plan {
    clip: Some("c1"),
    tagger: None,
};
const BOTH: Plan = Plan {
    clip: Some("c1"),
    tagger: Some("t1"),
};

/// A dataset before a change, and the change.
struct Scenario {
    before: World,
    plan_before: Plan,
    after: World,
    plan_after: Plan,
    /// Compacts instead of running.
    action: Action,
    exchange: Exchange,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Run,
    Compact,
}

impl Scenario {
    fn act(&self, out: &Path, fs: Arc<dyn CommitFs>) -> anyhow::Result<()> {
        match self.action {
            Action::Run => {
                run(out, "photos", &self.after, self.plan_after, fs)?;
            }
            Action::Compact => {
                let options = WriteOptions {
                    part_rows: 8,
                    ..self.plan_after.spec().options
                };
                compact(out, &options, fs)?;
            }
        }
        Ok(())
    }

    /// The dataset before the change, in two runs, so that there is a small part.
    fn prepare(&self, out: &Path) {
        let first = World(
            self.before
                .0
                .iter()
                .take(3)
                .map(|(path, version)| (path.clone(), *version))
                .collect(),
        );
        for world in [&first, &self.before] {
            if !world.0.is_empty() {
                run(out, "photos", world, self.plan_before, Arc::new(UnsyncedFs)).unwrap();
            }
        }
        assert_eq!(read(out), self.before.rows(self.plan_before));
    }

    /// What a reader may see at any moment of the change.
    #[track_caller]
    fn check_reader(&self, out: &Path, what: &str) {
        let seen = read(out);
        let (before, after) = (self.before.rows(self.plan_before), self.after.rows(self.plan_after));
        for path in before.keys().filter(|path| after.contains_key(*path)) {
            assert!(seen.contains_key(path), "{what}: {path} is missing");
        }
        for (path, row) in &seen {
            let old = before.get(path);
            // Between the two, a new model's columns are null.
            let between = old.map(|old| Row {
                tag: None,
                ..old.clone()
            });
            let known = [old, after.get(path), between.as_ref()]
                .into_iter()
                .flatten()
                .any(|known| known == row);
            assert!(known, "{what}: {path} says {row:?}");
        }
    }

    /// Runs the change with a fault at every call in turn. Gives the number of calls.
    fn survive(&self) -> usize {
        let original = tempfile::tempdir().unwrap();
        self.prepare(&original.path().join("labels"));
        let calls = self.calls(original.path());
        let survived = Mutex::default();
        (1..=calls).into_par_iter().for_each(|at| {
            self.fault_at(original.path(), at, Fault::Error, &survived);
            self.fault_at(original.path(), at, Fault::Stop, &survived);
        });
        calls
    }

    /// Calls of an uninterrupted change.
    fn calls(&self, original: &Path) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap().join("disk");
        copy_tree(original, &base);
        let fs = FaultFs::new(&base, None, self.exchange);
        self.act(&base.join("labels"), Arc::new(fs.clone())).unwrap();
        assert_eq!(read(&base.join("labels")), self.after.rows(self.plan_after));
        assert_tidy(&base.join("labels"));
        // What a run says that it committed outlives a power loss.
        for remains in Remains::ALL {
            let left = folder.path().join(format!("{remains:?}"));
            fs.leave(remains, &left);
            assert_eq!(
                read(&left.join("labels")),
                self.after.rows(self.plan_after),
                "{remains:?}"
            );
        }
        fs.calls()
    }

    /// Runs the change with one fault. Many faults leave the same disk behind; the next run over
    /// it is made for the first of them only (`survived`).
    fn fault_at(&self, original: &Path, at: usize, fault: Fault, survived: &Mutex<BTreeSet<String>>) {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap().join("disk");
        copy_tree(original, &base);
        let fs = FaultFs::new(&base, Some((at, fault)), self.exchange);
        let result = self.act(&base.join("labels"), Arc::new(fs.clone()));
        let what = format!("{fault:?} at call {at}");
        assert!(fs.calls() >= at, "{what} never came");
        match result {
            Ok(()) => assert!(fault == Fault::Error, "{what} went unnoticed"),
            Err(error) if fault == Fault::Error => {
                let text = format!("{error:#}");
                assert!(text.contains("the disk is full"), "{what}: {text}");
                self.check_nothing_unfinished(&base, &what);
            }
            Err(_) => {}
        }
        let left: Vec<PathBuf> = match fault {
            Fault::Error => vec![base],
            Fault::Stop => {
                let after_power_loss = Remains::ALL.map(|remains| {
                    let target = folder.path().join(format!("{remains:?}"));
                    fs.leave(remains, &target);
                    target
                });
                std::iter::once(base).chain(after_power_loss).collect()
            }
        };
        for disk in left {
            let what = format!("{what}, {}", disk.display());
            let out = disk.join("labels");
            if self.exchange == Exchange::Works {
                self.check_reader(&out, &what);
            }
            if survived.lock().unwrap().insert(describe(&disk)) {
                self.check_next_run(&out, &what);
            }
        }
    }

    /// After an error no half-built next dataset keeps a full disk full.
    #[track_caller]
    fn check_nothing_unfinished(&self, base: &Path, what: &str) {
        let bookkeeping = base.join("labels").join(BOOKKEEPING_DIR);
        let is_exchanged = bookkeeping.join("next").exists();
        let stays = base.join(".labels.next").exists();
        // Without an exchange the fault can hit the removing itself.
        let is_excused = is_exchanged || self.exchange == Exchange::Missing;
        assert!(is_excused || !stays, "{what}: the next folder stays");
        let is_journaled = bookkeeping.join("journal.json").exists();
        let staging = bookkeeping.join("staging");
        let stays = std::fs::read_dir(staging).is_ok_and(|mut entries| entries.next().is_some());
        assert!(is_journaled || !stays, "{what}: staged parts stay");
    }

    fn check_next_run(&self, out: &Path, what: &str) {
        // Where folders cannot be exchanged, the next start finishes the journal.
        if self.exchange == Exchange::Missing && out.join(BOOKKEEPING_DIR).is_dir() {
            drop(Home::take(out, Arc::new(UnsyncedFs)).unwrap_or_else(|error| panic!("{what}: {error}")));
            self.check_reader(out, what);
        }
        self.act(out, Arc::new(UnsyncedFs))
            .unwrap_or_else(|error| panic!("{what}: the next run fails: {error:#}"));
        assert_eq!(read(out), self.after.rows(self.plan_after), "{what}");
        assert_tidy(out);
    }
}

/// Every name on a disk, and what its parts say, apart from the time.
fn describe(disk: &Path) -> String {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(disk).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        texts.push(if path.is_dir() {
            format!("{name} [{}]", describe(&path))
        } else if let Some(number) = parts::part_number(name.trim_end_matches(".staged")) {
            let part = PartInfo::read(&path, number).map(|(part, _)| (part.meta, part.schema.fields().len()));
            format!("{name} {part:?} {:?}", part.is_ok().then(|| labels_of(&path)))
        } else {
            format!("{name} {}", path.metadata().unwrap().len())
        });
    }
    texts.sort();
    texts.join(", ")
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn scenario() -> Scenario {
    Scenario {
        before: World::numbered(5),
        plan_before: CLIP,
        after: World::numbered(5),
        plan_after: CLIP,
        action: Action::Run,
        exchange: Exchange::Works,
    }
}

#[test]
fn a_first_run_survives_every_fault() {
    let calls = Scenario {
        before: World::default(),
        ..scenario()
    }
    .survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn appending_survives_every_fault() {
    let after = World::numbered(8);
    let calls = Scenario { after, ..scenario() }.survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn changing_survives_every_fault() {
    let after = World::numbered(5).with("001.png", 2).with("004.png", 2);
    let calls = Scenario { after, ..scenario() }.survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn taking_out_gone_images_survives_every_fault() {
    let after = World::numbered(5).without("001.png").without("004.png");
    let calls = Scenario { after, ..scenario() }.survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn all_at_once_survives_every_fault() {
    let after = World::numbered(6)
        .without("001.png")
        .with("003.png", 2)
        .with("008.png", 5);
    assert!(
        Scenario {
            after,
            plan_after: Plan {
                clip: Some("c2"),
                tagger: None
            },
            ..scenario()
        }
        .survive()
            > 20
    );
}

#[test]
fn adding_a_model_survives_every_fault() {
    let calls = Scenario {
        plan_after: BOTH,
        after: World::numbered(6),
        ..scenario()
    }
    .survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn adding_a_model_by_journal_survives_every_fault() {
    let calls = Scenario {
        plan_after: BOTH,
        exchange: Exchange::Missing,
        ..scenario()
    }
    .survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn compacting_survives_every_fault() {
    let calls = Scenario {
        action: Action::Compact,
        before: World::numbered(9),
        after: World::numbered(9),
        ..scenario()
    }
    .survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn compacting_by_journal_survives_every_fault() {
    let calls = Scenario {
        action: Action::Compact,
        before: World::numbered(9),
        after: World::numbered(9),
        exchange: Exchange::Missing,
        ..scenario()
    }
    .survive();
    assert!(calls >= 7, "{calls}");
}

#[test]
fn the_fault_file_system_forgets_what_was_not_synced() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("disk");
    std::fs::create_dir(&base).unwrap();
    let fs = FaultFs::new(&base, None, Exchange::Works);
    let write = |name: &str, sync: bool| {
        let mut file = fs.create(&base.join(name)).unwrap();
        file.write_all(b"bytes").unwrap();
        if sync {
            file.sync().unwrap();
        }
    };
    write("kept", true);
    fs.sync_dir(&base).unwrap();
    write("empty", false);
    write("nameless", true);
    let left = |remains: Remains| -> BTreeMap<String, Vec<u8>> {
        let target = folder.path().join(format!("{remains:?}"));
        fs.leave(remains, &target);
        let entries = std::fs::read_dir(target).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    std::fs::read(entry.path()).unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(left(Remains::Synced).keys().collect::<Vec<_>>(), ["kept"]);
    let names = left(Remains::NamesAndSyncedBytes);
    assert_eq!((names["empty"].len(), names["nameless"].len()), (0, 5));
    assert_eq!(names["kept"], b"bytes");
}
