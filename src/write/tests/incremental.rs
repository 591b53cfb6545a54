//! Later runs over a dataset: what is relabeled, what stays, what leaves, what the guards stop.

use super::world::*;
use super::*;
use crate::write::commit::fault::UnsyncedFs;

const CLIP: Plan = Plan {
    clip: Some("c1"),
    tagger: None,
};
const BOTH: Plan = Plan {
    clip: Some("c1"),
    tagger: Some("t1"),
};

fn real() -> Arc<dyn CommitFs> {
    Arc::new(UnsyncedFs)
}

/// A dataset of nine files in three parts.
fn nine() -> (tempfile::TempDir, PathBuf, World) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels");
    let world = World::numbered(9);
    run(&out, "photos", &world, CLIP, real()).unwrap();
    (folder, out, world)
}

#[test]
fn a_second_run_labels_what_is_new_or_changed_and_nothing_else() {
    let (_folder, out, world) = nine();
    let again = run(&out, "photos", &world, CLIP, real()).unwrap();
    assert_eq!(again, WriteReport::default());

    let world = world.with("0005.png", 1).with("002.png", 2).with("008.png", 3);
    let report = run(&out, "photos", &world, CLIP, real()).unwrap();
    assert_eq!(
        (report.rows_added, report.rows_replaced, report.rows_removed),
        (1, 2, 0)
    );
    assert_eq!((report.parts_added, report.parts_rewritten), (1, 2));
    assert_eq!(read(&out), world.rows(CLIP));
    assert_tidy(&out);
}

#[test]
fn gone_images_leave_the_dataset_and_a_part_without_rows_stays_readable() {
    let (_folder, out, world) = nine();
    // The last part holds 008 alone.
    let world = world.without("008.png").without("001.png").with("002.png", 2);
    let report = run(&out, "photos", &world, CLIP, real()).unwrap();
    assert_eq!(
        (report.rows_replaced, report.rows_removed, report.parts_rewritten),
        (1, 2, 2)
    );
    assert_eq!(read(&out), world.rows(CLIP));
    assert_eq!(parts_in(&out).len(), 3);
    assert_tidy(&out);
}

#[test]
fn an_empty_root_and_too_many_gone_are_errors_before_any_write() {
    let (_folder, out, world) = nine();
    let before = read(&out);
    let options = ReconcileOptions::default();
    let refused = |world: &World| run_until(&out, "photos", world, CLIP, real(), options, Until::End).unwrap_err();
    let error = refused(&World::default());
    assert!(
        matches!(error.downcast_ref(), Some(GuardError::RootEmpty { rows: 9, .. })),
        "{error}"
    );
    let error = refused(&world.clone().without("001.png").without("002.png"));
    assert!(
        matches!(
            error.downcast_ref(),
            Some(GuardError::TooManyGone { gone: 2, rows: 9, .. })
        ),
        "{error}"
    );
    assert_eq!(read(&out), before);

    let allowed = ReconcileOptions {
        allow_gone: Permission::Granted,
        ..options
    };
    run_until(&out, "photos", &World::default(), CLIP, real(), allowed, Until::End).unwrap();
    assert_eq!(read(&out), World::default().rows(CLIP));
}

#[test]
fn a_run_over_another_root_takes_nothing_away() {
    let (_folder, out, world) = nine();
    let other = World::of(&["a.png", "b.png"]);
    let report = run(&out, "scans", &other, CLIP, real()).unwrap();
    assert_eq!((report.rows_added, report.rows_removed), (2, 0));
    assert_eq!(read(&out).len(), world.0.len() + 2);
    run(&out, "photos", &world, CLIP, real()).unwrap();
    assert_eq!(read(&out).len(), world.0.len() + 2);
}

#[test]
fn a_row_stays_whose_image_the_walk_missed() {
    let (_folder, out, world) = nine();
    let met = world.clone().without("001.png").without("002.png").without("008.png");
    let mut dataset = open(&out, CLIP.spec());
    let options = ReconcileOptions {
        max_gone: 0.5,
        ..ReconcileOptions::default()
    };
    let mut work = changes(&mut dataset, "photos", &met, options).unwrap();
    let is_there = |root: &str, path: &str| root == "photos" && ["001.png", "008.png", "003.png"].contains(&path);
    assert_eq!(dataset.keep_present(&mut work, is_there).unwrap(), 2);
    assert_eq!((work.counts.found, work.counts.unchanged, work.counts.gone), (8, 8, 1));
    let report = Box::new(dataset.sink(&work).unwrap()).finish(Ending::Complete).unwrap();
    assert_eq!(report.rows_removed, 1);
    assert_eq!(read(&out), world.without("002.png").rows(CLIP));
}

#[test]
fn an_early_end_takes_nothing_away() {
    let (_folder, out, world) = nine();
    let fewer = world.clone().without("001.png").with("new.png", 1);
    let options = ReconcileOptions::default();
    let report = run_until(&out, "photos", &fewer, CLIP, real(), options, Until::Replaced(0)).unwrap();
    assert_eq!((report.rows_added, report.rows_removed), (1, 0));
    assert!(read(&out).contains_key("001.png"));
}

#[test]
fn adding_a_model_makes_only_its_columns_and_equals_a_fresh_run_with_both() {
    let (folder, out, world) = nine();
    let world = world.with("new.png", 1);
    let before = read_all(&out);
    let mut dataset = open(&out, BOTH.spec());
    let changes = changes(&mut dataset, "photos", &world, ReconcileOptions::default()).unwrap();
    assert_eq!(
        (changes.counts.stale, changes.counts.new, changes.counts.unchanged),
        (9, 1, 0)
    );
    let tagger = StaleGroup {
        group: "tagger".to_owned(),
        reason: StaleReason::Added,
        rows: 9,
    };
    assert_eq!(changes.stale_groups, [tagger]);
    assert!(
        dataset
            .replacements(&changes)
            .all(|row| row.unwrap().groups == GroupSet::labeler(1))
    );
    drop(dataset);

    let report = run(&out, "photos", &world, BOTH, real()).unwrap();
    assert_eq!(
        (report.rows_added, report.rows_replaced, report.parts_rewritten),
        (1, 9, 3)
    );
    assert_eq!(read(&out), world.rows(BOTH));
    assert_tidy(&out);
    // What the other groups said is the same to the bit.
    let after = read_all(&out);
    for column in before
        .schema()
        .fields()
        .iter()
        .filter(|field| field.name() != "labeled_at")
    {
        let (old, new) = (
            before.column_by_name(column.name()).unwrap(),
            after.column_by_name(column.name()).unwrap(),
        );
        assert_eq!(old, &new.slice(0, old.len()), "{}", column.name());
    }
    let fresh = folder.path().join("fresh");
    run(&fresh, "photos", &world, BOTH, real()).unwrap();
    assert_eq!(read(&fresh), read(&out));
    assert_eq!(read_all(&fresh).schema().fields(), after.schema().fields());
    let again = run(&out, "photos", &world, BOTH, real()).unwrap();
    assert_eq!(again, WriteReport::default());
}

#[test]
fn dropping_a_model_needs_a_word() {
    let (_folder, out, world) = nine();
    let error = run(&out, "photos", &world, Plan::default(), real()).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(GuardError::LabelsDropped { .. })),
        "{error}"
    );
    assert_eq!(read(&out), world.rows(CLIP));
    let options = ReconcileOptions {
        allow_dropped_labels: Permission::Granted,
        ..ReconcileOptions::default()
    };
    run_until(&out, "photos", &world, Plan::default(), real(), options, Until::End).unwrap();
    assert_eq!(read(&out), world.rows(Plan::default()));
    assert!(read_all(&out).column_by_name("clip_embedding").is_none());
}

#[test]
fn an_embedding_of_another_dimension_takes_the_place_of_the_old_one() {
    let (_folder, out, world) = nine();
    let mut spec = CLIP.spec();
    let wider = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, true)), 7);
    spec.groups[1] = group(
        "clip",
        "c2",
        vec![
            Arc::new(Field::new("clip_embedding", wider, true)),
            clip_fields().remove(1),
        ],
    );
    let mut dataset = open(&out, spec);
    let changes = changes(&mut dataset, "photos", &world, ReconcileOptions::default()).unwrap();
    assert_eq!(changes.stale_groups[0].reason, StaleReason::Changed);
    assert_eq!((changes.counts.stale, changes.dropped_groups.len()), (9, 0));
    let sink = Box::new(dataset.sink(&changes).unwrap());
    assert_eq!(dataset.replacements(&changes).count(), 9);
    sink.finish(Ending::Early).unwrap();
    // The old numbers cannot stay in a column of another length; the new ones are not there yet.
    let rows = read_all(&out);
    assert_eq!(rows.column_by_name("clip_embedding").unwrap().null_count(), 9);
    assert_eq!(strings(&rows, "style")[0].as_deref(), Some("c1"));
}

#[test]
fn an_interrupted_relabeling_goes_on_where_it_stopped() {
    let (_folder, out, world) = nine();
    let newer = Plan {
        clip: Some("c2"),
        tagger: None,
    };
    let options = ReconcileOptions::default();
    let report = run_until(&out, "photos", &world, newer, real(), options, Until::Replaced(6)).unwrap();
    assert_eq!((report.rows_replaced, report.parts_rewritten), (6, 2));
    let mut dataset = open(&out, newer.spec());
    let changes = changes(&mut dataset, "photos", &world, options).unwrap();
    assert_eq!((changes.counts.stale, changes.counts.unchanged), (3, 6));
    let reasons: Vec<(StaleReason, u64)> = changes
        .stale_groups
        .iter()
        .map(|stale| (stale.reason, stale.rows))
        .collect();
    assert_eq!(reasons, [(StaleReason::Changed, 1), (StaleReason::Unfinished, 2)]);
    drop(dataset);
    let report = run(&out, "photos", &world, newer, real()).unwrap();
    assert_eq!(report.rows_replaced, 3);
    assert_eq!(read(&out), world.rows(newer));
    assert_eq!(
        run(&out, "photos", &world, newer, real()).unwrap(),
        WriteReport::default()
    );
}

#[test]
fn a_relabeling_that_is_killed_keeps_what_is_as_old_as_a_part_may_be() {
    let (_folder, out, world) = nine();
    let newer = Plan {
        clip: Some("c2"),
        tagger: None,
    };
    let options = ReconcileOptions::default();
    let mut spec = newer.spec();
    spec.options.part_secs = 0;
    let mut dataset = open(&out, spec);
    let work = changes(&mut dataset, "photos", &world, options).unwrap();
    let mut sink = dataset.sink(&work).unwrap();
    for (number, row) in dataset.replacements(&work).take(2).enumerate() {
        let row = row.unwrap();
        let records = vec![world.record("photos", &row.path, row.destination)];
        let columns = newer.columns(&records, row.groups);
        let batch = LabeledBatch {
            number: number as u64,
            groups: row.groups,
            records,
            columns,
        };
        sink.write(batch).unwrap();
    }
    // Killed: nothing is finished.
    drop((sink, dataset));
    let mut dataset = open(&out, newer.spec());
    let left = changes(&mut dataset, "photos", &world, options).unwrap();
    assert_eq!((left.counts.stale, left.counts.unchanged), (7, 2));
    drop(dataset);
    let report = run(&out, "photos", &world, newer, real()).unwrap();
    assert_eq!(report.rows_replaced, 7);
    assert_eq!(read(&out), world.rows(newer));
}

#[test]
fn a_part_that_loses_rows_is_committed_as_often_and_no_row_takes_anothers_place() {
    let (_folder, out, world) = nine();
    let newer = Plan {
        clip: Some("c2"),
        tagger: None,
    };
    // The second part holds 004 to 007 and loses two of them.
    let world = world.without("004.png").without("006.png").without("000.png");
    let mut spec = newer.spec();
    spec.options.part_secs = 0;
    let mut dataset = open(&out, spec);
    let options = ReconcileOptions {
        max_gone: 0.5,
        ..ReconcileOptions::default()
    };
    let work = changes(&mut dataset, "photos", &world, options).unwrap();
    let mut sink = Box::new(dataset.sink(&work).unwrap());
    for (number, row) in dataset.replacements(&work).enumerate() {
        let row = row.unwrap();
        let records = vec![world.record("photos", &row.path, row.destination)];
        let columns = newer.columns(&records, row.groups);
        let batch = LabeledBatch {
            number: number as u64,
            groups: row.groups,
            records,
            columns,
        };
        sink.write(batch).unwrap();
    }
    let report = sink.finish(Ending::Complete).unwrap();
    drop(dataset);
    // Each of the six rows was committed on its own.
    assert_eq!(
        (report.rows_replaced, report.rows_removed, report.parts_rewritten),
        (6, 3, 6)
    );
    assert_eq!(read(&out), world.rows(newer));
    assert_tidy(&out);
    assert_eq!(
        run(&out, "photos", &world, newer, real()).unwrap(),
        WriteReport::default()
    );
}

#[test]
fn rows_of_a_root_that_was_not_walked_keep_their_making_and_are_relabeled_later() {
    let (_folder, out, world) = nine();
    let scans = World::of(&["a.png", "b.png"]);
    run(&out, "scans", &scans, CLIP, real()).unwrap();
    run(&out, "scans", &scans, BOTH, real()).unwrap();
    let rows = read(&out);
    assert_eq!(rows["a.png"].tag.as_deref(), Some("t1"));
    assert_eq!(
        (rows["003.png"].tag.as_deref(), rows["003.png"].style.as_deref()),
        (None, Some("c1"))
    );
    let report = run(&out, "photos", &world, BOTH, real()).unwrap();
    assert_eq!(report.rows_replaced, 9);
    assert_eq!(read(&out)["003.png"].tag.as_deref(), Some("t1"));
}

#[test]
fn failed_rows_are_tried_again_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("labels");
    let world = World::of(&["a.png", "b.png", "c.png"]);
    let mut dataset = open(&out, CLIP.spec());
    let mut sink = Box::new(dataset.sink(&Changes::default()).unwrap());
    let mut records: Vec<ImageRecord> = world
        .0
        .keys()
        .map(|path| world.record("photos", path, Destination::Append))
        .collect();
    records[1].failure = Some(Failure::new(ErrorKind::Model, "out of memory"));
    let columns = clip_columns(&records, "c1");
    sink.write(LabeledBatch {
        number: 0,
        groups: GroupSet::all(1),
        records,
        columns,
    })
    .unwrap();
    sink.finish(Ending::Complete).unwrap();
    drop(dataset);

    assert_eq!(
        run(&out, "photos", &world, CLIP, real()).unwrap(),
        WriteReport::default()
    );
    let other_kind = RetryFailed::Kind(ErrorKind::Truncated);
    for (retry_failed, retried) in [
        (other_kind, 0),
        (RetryFailed::Kind(ErrorKind::Model), 1),
        (RetryFailed::All, 0),
    ] {
        let options = ReconcileOptions {
            retry_failed,
            ..ReconcileOptions::default()
        };
        let report = run_until(&out, "photos", &world, CLIP, real(), options, Until::End).unwrap();
        assert_eq!(report.rows_replaced, retried, "{retry_failed:?}");
    }
    assert_eq!(read(&out), world.rows(CLIP));
    assert_eq!(verify(&out).unwrap().failed, 0);
}

#[test]
fn a_moved_file_finds_the_labels_of_its_content() {
    let (_folder, out, world) = nine();
    let dataset = open(&out, BOTH.spec());
    let known = world.record("photos", "006.png", Destination::Append);
    let hash = known.blake3.clone().unwrap();
    let at = dataset.ledger().find_by_blake3(&hash).unwrap();
    assert_eq!(dataset.ledger().find(&known.id).unwrap().at, at);
    assert_eq!(dataset.current_groups(at), GroupSet(0b011));
    let first = RowAt { part: 0, row: 1 };
    let labels = dataset.labels(&[at, first, at], GroupSet::labeler(0)).unwrap();
    let names: Vec<&str> = labels.iter().map(|(field, _)| field.name().as_str()).collect();
    assert_eq!(names, ["style", "clip_embedding"]);
    assert!(
        labels
            .iter()
            .all(|(_, array)| array.len() == 3 && array.null_count() == 0)
    );
    assert!(
        dataset
            .ledger()
            .find_by_blake3(&blake3::hash(b"other").to_hex())
            .is_none()
    );
    assert!(dataset.ledger().find_by_blake3("no hash").is_none());
}

#[test]
fn compact_merges_what_nightly_runs_leave() {
    let (_folder, out, mut world) = nine();
    for night in 0..3 {
        world = world.with(&format!("night{night}.png"), 1);
        run(&out, "photos", &world, CLIP, real()).unwrap();
    }
    let before = read(&out);
    std::fs::write(out.join("README.txt"), "mine").unwrap();
    std::fs::create_dir_all(out.join(BOOKKEEPING_DIR).join("runs")).unwrap();
    std::fs::write(out.join(BOOKKEEPING_DIR).join("runs/1.json"), "{}").unwrap();
    let report = compact(&out, &CLIP.spec().options, real()).unwrap();
    assert_eq!((report.parts_before, report.parts_after, report.rows), (6, 3, 12));
    assert_eq!(read(&out), before);
    assert_eq!(std::fs::read_to_string(out.join("README.txt")).unwrap(), "mine");
    assert!(out.join(BOOKKEEPING_DIR).join("runs/1.json").is_file());
    std::fs::remove_file(out.join("README.txt")).unwrap();
    assert_tidy(&out);
    assert_eq!(
        run(&out, "photos", &world, CLIP, real()).unwrap(),
        WriteReport::default()
    );
    let again = compact(&out, &CLIP.spec().options, real()).unwrap();
    assert_eq!(again.parts_before, again.parts_after);
}

#[test]
fn edits_of_the_user_survive_a_rewrite() {
    // Nothing writes `edited_prompt` yet; the rule is kept by the schema.
    let schema = DatasetSchema::new(&CLIP.spec()).unwrap();
    let column = schema
        .columns
        .iter()
        .find(|column| column.field.name() == "edited_prompt")
        .unwrap();
    assert_eq!(column.renewal, Renewal::Never);
}
