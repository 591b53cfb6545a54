//! Batches against a stand-in runtime that counts, fails and runs out of memory on command.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::model::standin::{StandInGraph, StandInRuntime};
use crate::model::tensor::{TensorData, TensorInfo};
use crate::model::testing::model;

const SIZE: usize = 32;

type Hook = dyn Fn(usize, &[f32]) -> Result<(), ModelError> + Send + Sync;

/// A tagger whose score for tag 0 is the picture's first byte over 255; `hook` sees the batch
/// and the first value of each picture of it, and may fail.
fn stand_in(hook: Arc<Hook>) -> StandInRuntime {
    StandInRuntime::default().with_graph("tiny-wd-tagger/image.onnx", graph(hook, |first| first / 255.0))
}

/// The stand-in's graph, with every score by the picture's first byte.
fn graph(hook: Arc<Hook>, score: impl Fn(f32) -> f32 + Send + Sync + 'static) -> StandInGraph {
    let info = |name: &str, shape: &[Option<usize>]| TensorInfo {
        name: name.to_owned(),
        element: ElementType::F32,
        shape: shape.to_vec(),
    };
    let answer = Arc::new(move |inputs: &[(&str, &Tensor)], _: &str| {
        let TensorData::F32(values) = &inputs[0].1.data else {
            panic!("floats")
        };
        let batch = inputs[0].1.shape[0];
        let firsts: Vec<f32> = values.chunks_exact(SIZE * SIZE * 3).map(|picture| picture[2]).collect();
        hook(batch, &firsts)?;
        let scores = firsts.iter().flat_map(|first| [score(*first); 15]).collect();
        Ok(Tensor {
            shape: vec![batch, 15],
            data: TensorData::F32(scores),
        })
    });
    StandInGraph {
        inputs: vec![info("input", &[None, Some(SIZE), Some(SIZE), Some(3)])],
        outputs: vec![info("output", &[None, Some(15)])],
        wait: Duration::ZERO,
        answer,
    }
}

fn failure(memory: bool) -> ModelError {
    let (graph, source) = ("g".to_owned(), "told to fail".into());
    if memory {
        ModelError::OutOfMemory { graph, source }
    } else {
        ModelError::Run { graph, source }
    }
}

fn open(batch: usize, hook: Arc<Hook>) -> ImageModel {
    let options = LabelerOptions {
        batch,
        ..LabelerOptions::default()
    };
    ImageModel::open(&model("tiny-wd-tagger"), &stand_in(hook), &options)
        .unwrap()
        .0
}

fn squares(firsts: &[u8]) -> Vec<Vec<u8>> {
    firsts.iter().map(|&first| vec![first; SIZE * SIZE * 3]).collect()
}

fn encode(model: &mut ImageModel, squares: &[Vec<u8>]) -> Result<Encoded, LabelError> {
    let squares: Vec<Option<&[u8]>> = squares.iter().map(|square| Some(square.as_slice())).collect();
    model.encode(BatchId::next(), &squares)
}

/// A hook that never fails, and the batches that it has seen.
fn recorder() -> (Arc<Mutex<Vec<usize>>>, Arc<Hook>) {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let hook = move |batch: usize, _: &[f32]| {
        seen.lock().expect("nobody panicked with it").push(batch);
        Ok(())
    };
    (batches, Arc::new(hook))
}

#[test]
fn a_run_on_the_cpu_is_over_the_pictures_that_are_there_and_rows_keep_their_places() {
    let (batches, hook) = recorder();
    let mut model = open(4, hook);
    batches.lock().unwrap().clear();
    let pictures = squares(&[10, 20, 30, 40, 50, 60]);
    let given: Vec<Option<&[u8]>> = [Some(0), None, Some(1), Some(2), Some(3), Some(4), None, Some(5)]
        .map(|i| i.map(|i: usize| pictures[i].as_slice()))
        .to_vec();
    let rows = model.encode(BatchId::next(), &given).unwrap();
    assert_eq!(*batches.lock().unwrap(), [4, 2]);
    assert!(rows.failures.is_empty());
    let firsts: Vec<Option<f32>> = rows
        .rows
        .iter()
        .map(|row| row.as_ref().map(|row| row[0] * 255.0))
        .collect();
    let wanted = [
        Some(10.0),
        None,
        Some(20.0),
        Some(30.0),
        Some(40.0),
        Some(50.0),
        None,
        Some(60.0),
    ];
    assert_eq!(firsts, wanted);
    // One alone would go through other kernels.
    batches.lock().unwrap().clear();
    encode(&mut model, &squares(&[1, 2, 3, 4, 5])).unwrap();
    assert_eq!(*batches.lock().unwrap(), [4, 2]);
}

#[test]
fn every_run_on_a_card_has_the_full_batch() {
    let (batches, hook) = recorder();
    let runtime = StandInRuntime::default().with_graph_on(
        Device::Cuda(0),
        "tiny-wd-tagger/image.onnx",
        graph(hook, |first| first / 255.0),
    );
    let options = LabelerOptions {
        batch: 4,
        device: Device::Cuda(0),
        comparison: Comparison::Skipped,
        normalise: NormaliseOnDevice::Never,
        ..LabelerOptions::default()
    };
    let (mut model, _) = ImageModel::open(&model("tiny-wd-tagger"), &runtime, &options).unwrap();
    encode(&mut model, &squares(&[1, 2, 3, 4, 5])).unwrap();
    assert_eq!(*batches.lock().unwrap(), [4, 4, 4]);
}

#[test]
fn the_picture_at_fault_is_found_and_the_others_are_labeled() {
    let hook = |_: usize, firsts: &[f32]| {
        if firsts.contains(&66.0) {
            Err(failure(false))
        } else {
            Ok(())
        }
    };
    let mut model = open(8, Arc::new(hook));
    let rows = encode(&mut model, &squares(&[1, 2, 66, 4, 5, 6, 7, 66, 9])).unwrap();
    let failed: Vec<usize> = rows.failures.iter().map(|(row, _)| *row).collect();
    assert_eq!(failed, [2, 7]);
    assert_eq!(rows.failures[0].1.kind, ErrorKind::Model);
    assert!(
        rows.failures[0].1.message.contains("told to fail"),
        "{}",
        rows.failures[0].1.message
    );
    assert_eq!(rows.rows.iter().filter(|row| row.is_some()).count(), 7);
    // One picture alone is its own fault as long as a made-up one works.
    let rows = encode(&mut model, &squares(&[66])).unwrap();
    assert_eq!(rows.failures.len(), 1);
}

#[test]
fn a_model_that_fails_on_everything_is_an_error() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let hook = move |_: usize, _: &[f32]| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(failure(false)),
    };
    let mut model = open(4, Arc::new(hook));
    for firsts in [&[1, 2, 3, 4, 5][..], &[1]] {
        let error = encode(&mut model, &squares(firsts)).unwrap_err();
        assert!(matches!(error, LabelError::EveryPicture { .. }), "{error}");
    }
}

#[test]
fn out_of_memory_halves_the_batch_until_it_fits() {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let started = Arc::new(AtomicUsize::new(0));
    let hook = move |batch: usize, _: &[f32]| {
        seen.lock().unwrap().push(batch);
        let first = started.fetch_add(1, Ordering::Relaxed) == 0;
        if batch > 2 && !first {
            Err(failure(true))
        } else {
            Ok(())
        }
    };
    let mut model = open(8, Arc::new(hook));
    let rows = encode(&mut model, &squares(&[1, 2, 3, 4, 5])).unwrap();
    assert!(rows.failures.is_empty() && rows.rows.iter().all(Option::is_some));
    assert_eq!(*batches.lock().unwrap(), [2, 5, 4, 2, 2, 2]);
}

#[test]
fn out_of_memory_with_one_picture_is_an_error() {
    let calls = AtomicUsize::new(0);
    let hook = move |_: usize, _: &[f32]| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => Err(failure(true)),
    };
    let mut model = open(2, Arc::new(hook));
    let error = encode(&mut model, &squares(&[1, 2])).unwrap_err();
    assert!(
        matches!(error, LabelError::Model(ModelError::OutOfMemory { .. })),
        "{error}"
    );
}

#[test]
fn pixels_of_another_size_are_a_failed_row() {
    let mut model = open(2, Arc::new(|_, _| Ok(())));
    let rows = encode(&mut model, &[vec![0; 7], vec![1; SIZE * SIZE * 3]]).unwrap();
    assert_eq!(rows.failures.len(), 1);
    assert!(rows.rows[0].is_none() && rows.rows[1].is_some());
}

#[test]
fn a_batch_beyond_all_memory_is_refused_before_it_is_allocated() {
    let options = LabelerOptions {
        batch: 1 << 30,
        ..LabelerOptions::default()
    };
    let error = ImageModel::open(&model("tiny-wd-tagger"), &stand_in(Arc::new(|_, _| Ok(()))), &options)
        .err()
        .unwrap();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn a_device_that_gives_other_values_than_the_cpu_is_an_error() {
    let open_on = |factor: f32, comparison: Comparison, precision: Precision| {
        let device = Device::TensorRt(0);
        let batches = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&batches);
        let on_cpu: Arc<Hook> = Arc::new(move |batch, _| {
            seen.lock().unwrap().push(batch);
            Ok(())
        });
        let score = |first: f32| 0.5 + first / 510.0;
        let on_device = graph(Arc::new(|_, _| Ok(())), move |first| score(first) * factor);
        let name = "tiny-wd-tagger/image.onnx";
        let runtime = StandInRuntime::default()
            .with_graph(name, graph(on_cpu, score))
            .with_graph_on(device, name, on_device);
        let options = LabelerOptions {
            device,
            batch: 8,
            comparison,
            // The stand-in has no graph that could be rewritten.
            normalise: NormaliseOnDevice::Never,
            precision,
            ..LabelerOptions::default()
        };
        let opened = ImageModel::open(&model("tiny-wd-tagger"), &runtime, &options);
        let on_cpu = batches.lock().unwrap().clone();
        (opened.map(|_| ()).map_err(|error| error.to_string()), on_cpu)
    };
    let (opened, on_cpu) = open_on(1.001, Comparison::WithCpu, Precision::Graph);
    assert_eq!(
        (opened, on_cpu),
        (Ok(()), vec![2]),
        "the CPU runs the made-up pictures and no more"
    );
    let (opened, _) = open_on(1.01, Comparison::WithCpu, Precision::Graph);
    let error = opened.unwrap_err();
    for says in [
        "device tensorrt:0",
        "tiny-wd-tagger/image.onnx",
        "largest difference",
        "fp16 = false",
    ] {
        assert!(error.contains(says), "{error} should say {says}");
    }
    assert_eq!(open_on(1.01, Comparison::WithCpu, Precision::Float16).0, Ok(()));
    assert!(
        open_on(f32::NAN, Comparison::WithCpu, Precision::Float16)
            .0
            .unwrap_err()
            .contains("NaN")
    );
    assert_eq!(
        open_on(2.0, Comparison::Skipped, Precision::Graph),
        (Ok(()), Vec::new())
    );
}

#[test]
fn a_batch_that_was_left_open_is_chosen_once_and_changes_no_row() {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let hook: Arc<Hook> = Arc::new(move |batch, _| {
        seen.lock().unwrap().push(batch);
        // Nothing is gained by more pictures at once, and no more than 16 fit.
        if batch > 16 {
            return Err(failure(true));
        }
        std::thread::sleep(Duration::from_millis(batch as u64));
        Ok(())
    });
    let open = |sizing| {
        let options = LabelerOptions {
            batch: 8,
            sizing,
            ..LabelerOptions::default()
        };
        let opened = ImageModel::open(&model("tiny-wd-tagger"), &stand_in(Arc::clone(&hook)), &options);
        opened.unwrap().0
    };
    let pictures = squares(&[10, 20, 30, 40, 50]);
    let mut asked = open(Sizing::Asked);
    assert_eq!(asked.fit_batch(1_000_000).unwrap(), None);
    let wanted = encode(&mut asked, &pictures).unwrap().rows;

    let mut measured = open(Sizing::Measured);
    let choice = measured.fit_batch(1_000_000).unwrap().expect("it was left open");
    assert!(choice.batch <= 16, "{choice}");
    batches.lock().unwrap().clear();
    assert_eq!(measured.fit_batch(5).unwrap(), Some(choice.clone()), "once");
    assert_eq!(encode(&mut measured, &pictures).unwrap().rows, wanted);
    let runs = batches.lock().unwrap().clone();
    let parts = pictures.chunks(choice.batch);
    let wanted: Vec<usize> = parts.map(|part| part.len().max(LEAST_PICTURES)).collect();
    assert_eq!(runs, wanted, "{choice}");

    let few = open(Sizing::Measured).fit_batch(5).unwrap().expect("it was left open");
    assert_eq!(few.batch, 8, "{few}");
}

#[test]
fn what_was_begun_is_taken_over_and_changes_no_row() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let hook: Arc<Hook> = Arc::new(move |_, firsts| {
        count.fetch_add(1, Ordering::Relaxed);
        if firsts.contains(&66.0) {
            return Err(failure(false));
        }
        Ok(())
    });
    let mut model = open(2, hook);
    // One too small, one absent, one that fails.
    let mut pictures = squares(&[1, 2, 3, 66, 5, 6, 7, 8]);
    pictures[1].truncate(7);
    let mut given: Vec<Option<&[u8]>> = pictures.iter().map(|square| Some(square.as_slice())).collect();
    given[4] = None;
    let wanted = model.encode(BatchId::next(), &given).unwrap();
    let runs_of_one = runs.swap(0, Ordering::Relaxed) - 1;

    let batches = [BatchId::next(), BatchId::next()];
    for batch in batches {
        model.begin(batch, &given);
        model.begin(batch, &given);
    }
    for batch in batches {
        while !model.is_ready(batch) {
            std::thread::yield_now();
        }
        let taken = model.encode(batch, &given).unwrap();
        assert_eq!(taken.rows, wanted.rows);
        let failed = |encoded: &Encoded| encoded.failures.iter().map(|(row, _)| *row).collect::<Vec<_>>();
        assert_eq!(failed(&taken), failed(&wanted));
        assert!(model.is_ready(batch), "nothing is begun any more");
    }
    assert_eq!(
        runs.swap(0, Ordering::Relaxed),
        2 * runs_of_one,
        "nothing was run twice"
    );

    // Begun for some pictures and asked for others: what was begun is of no use.
    let batch = BatchId::next();
    model.begin(batch, &given[..3]);
    assert_eq!(model.encode(batch, &given).unwrap().rows, wanted.rows);
}

#[test]
fn out_of_memory_in_what_was_begun_halves_the_batch_once() {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let hook: Arc<Hook> = Arc::new(move |batch, firsts| {
        seen.lock().unwrap().push(batch);
        // The made-up pictures of the start are let through.
        if batch > 4 && firsts[0] == 1.0 {
            return Err(failure(true));
        }
        Ok(())
    });
    let mut model = open(8, hook);
    let pictures = squares(&[1; 24]);
    let given: Vec<Option<&[u8]>> = pictures.iter().map(|square| Some(square.as_slice())).collect();
    let batch = BatchId::next();
    model.begin(batch, &given);
    let rows = model.encode(batch, &given).unwrap();
    assert!(rows.rows.iter().all(Option::is_some));
    let batches = batches.lock().unwrap().clone();
    assert_eq!(batches[batches.len() - 6..], [4; 6], "halved once: {batches:?}");
}

#[test]
fn a_runtime_that_panics_is_an_error_and_nobody_hangs() {
    let calls = AtomicUsize::new(0);
    let hook = move |_: usize, _: &[f32]| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        _ => panic!("told to panic"),
    };
    let mut model = open(2, Arc::new(hook));
    let error = encode(&mut model, &squares(&[1, 2, 3])).unwrap_err();
    assert!(matches!(error, LabelError::EveryPicture { .. }), "{error}");
}
