//! The loop on graphs that are written in Rust: their cache holds the ids that were fed, so that a
//! wrong row of the past gives another caption than the search on its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::model::Device;
use crate::model::manifest::{CaptionFamily, CaptionSearch};
use crate::model::session::{Graph, Runtime, SessionOptions};
use crate::model::standin::{Answer, StandInGraph, StandInRuntime};

const WORDS: usize = 11;
const END: i64 = 1;

/// Logits after `ids` for a picture: any function of both, that ends captions at many lengths.
fn language(picture: i64, ids: &[i64]) -> Vec<f32> {
    let mut state = picture * 31 + 7;
    for id in ids {
        state = (state * 131 + id * 17 + 3) % 10_007;
    }
    let likelier = |word: i64| if word == END { 2.0 } else { 0.0 };
    let word = |word: i64| ((state * (word + 3) * (word + 5)) % 101) as f32 / 8.0 + likelier(word);
    (0..WORDS as i64).map(word).collect()
}

fn tensor(shape: Vec<usize>, values: Vec<f32>) -> Tensor {
    Tensor {
        shape,
        data: TensorData::F32(values),
    }
}

fn floats<'a>(inputs: &[(&str, &'a Tensor)], name: &str) -> (&'a [usize], &'a [f32]) {
    let (_, tensor) = inputs.iter().find(|(known, _)| *known == name).unwrap();
    let TensorData::F32(values) = &tensor.data else {
        panic!("{name}")
    };
    (&tensor.shape, values)
}

fn whole<'a>(inputs: &[(&str, &'a Tensor)], name: &str) -> (&'a [usize], &'a [i64]) {
    let (_, tensor) = inputs.iter().find(|(known, _)| *known == name).unwrap();
    let TensorData::I64(values) = &tensor.data else {
        panic!("{name}")
    };
    (&tensor.shape, values)
}

/// The ids of every caption of a step, the new one included: gathered from the past as `source` says.
fn sequences(inputs: &[(&str, &Tensor)]) -> (Vec<usize>, Vec<Vec<i64>>) {
    let (shape, ids) = whole(inputs, "input_ids");
    let (_, source) = whole(inputs, "source");
    let (past_shape, past) = floats(inputs, "past_key.0");
    let (beams, length) = (past_shape[1], past_shape[3]);
    let rows = ids.iter().zip(source.chunks_exact(2)).map(|(&id, from)| {
        let row = from[0] as usize * beams + from[1] as usize;
        let before = past[row * length..(row + 1) * length].iter().map(|&id| id as i64);
        before.chain([id]).collect()
    });
    (shape.to_vec(), rows.collect())
}

fn step(inputs: &[(&str, &Tensor)], output: &str, rows_seen: &Mutex<Vec<usize>>) -> Tensor {
    let (shape, rows) = sequences(inputs);
    let (pictures, beams) = (shape[0], shape[1]);
    let (cross_shape, cross) = floats(inputs, "cross_value.0");
    assert_eq!(cross_shape[0], pictures, "pictures in step and in the cross-attention");
    let (_, position) = whole(inputs, "position");
    assert!(rows.iter().all(|ids| ids.len() as i64 == position[0] + 1), "position");
    if output == "logits" {
        rows_seen.lock().unwrap().push(pictures);
        let logits = rows.iter().enumerate();
        let logits = logits.flat_map(|(row, ids)| language(cross[row / beams] as i64, ids));
        return tensor(vec![pictures, beams, WORDS], logits.collect());
    }
    let length = rows[0].len();
    let ids = rows.concat().into_iter().map(|id| id as f32).collect();
    tensor(vec![pictures, beams, 1, length, 1], ids)
}

fn select(inputs: &[(&str, &Tensor)], _output: &str) -> Tensor {
    let (shape, values) = floats(inputs, "values");
    let (_, rows) = whole(inputs, "rows");
    let kept = rows.iter().map(|&row| values[row as usize]).collect();
    tensor(vec![rows.len(), shape[1], shape[2], shape[3]], kept)
}

fn session(name: &str, answer: Arc<Answer>) -> Box<dyn Session> {
    let graph = StandInGraph {
        inputs: Vec::new(),
        outputs: Vec::new(),
        wait: Duration::ZERO,
        answer,
    };
    let runtime = StandInRuntime::default().with_graph(name, graph);
    let options = SessionOptions::new(Device::Cpu, 1);
    runtime.load(name, Graph::Memory(&[]), &options).unwrap()
}

/// A decoder of one layer with one head of one value, and the pictures of each of its steps.
fn decoder() -> (Decoder, Arc<Mutex<Vec<usize>>>) {
    let rows_seen = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&rows_seen);
    let decoder = Decoder::new(
        "made-up",
        &spec(),
        session("step", Arc::new(move |inputs, output| Ok(step(inputs, output, &seen)))),
        session("select", Arc::new(|inputs, output| Ok(select(inputs, output)))),
    );
    (decoder, rows_seen)
}

fn spec() -> CaptionSpec {
    CaptionSpec {
        family: CaptionFamily::Blip,
        step: String::new(),
        select: String::new(),
        vocabulary: String::new(),
        layers: 1,
        heads: 1,
        head_width: 1,
        begin_id: 0,
        end_id: END,
        pad_id: 0,
        special_ids: Vec::new(),
        clean_up: true,
        prompt_ids: vec![4, 5],
        search: CaptionSearch::default(),
        names: CaptionNames::default(),
    }
}

/// Cross-attention keys and values whose only value is the picture's number.
fn cross(rows: usize) -> Vec<DeviceTensor> {
    let numbers: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    let made = session(
        "cross",
        Arc::new(move |_: &[(&str, &Tensor)], _: &str| Ok(tensor(vec![numbers.len(), 1, 1, 1], numbers.clone()))),
    )
    .run(&[], &[("key", Place::Device), ("value", Place::Device)]);
    on_device(made.unwrap().into_iter(), "key").unwrap()
}

/// The caption of one picture by the search alone, and how many steps it takes.
fn alone(rules: &Rules, picture: i64) -> (Vec<i64>, usize) {
    let (mut search, mut steps) = (Search::new(rules), 0);
    while !search.is_done() {
        let rows: Vec<Vec<f32>> = search.live_ids().map(|ids| language(picture, ids)).collect();
        search.advance(&mut rows.concat(), WORDS).unwrap();
        steps += 1;
    }
    (search.into_ids(), steps)
}

/// Rows of each step when a row leaves as soon as a fourth of those there are done.
fn rows_by_step(mut steps_of_rows: Vec<usize>, forced: usize) -> Vec<usize> {
    let mut rows = vec![steps_of_rows.len(); forced];
    for step in 1.. {
        rows.push(steps_of_rows.len());
        let open = steps_of_rows.iter().filter(|&&steps| steps > step).count();
        if open == 0 {
            break;
        }
        if (steps_of_rows.len() - open) * 4 >= steps_of_rows.len() {
            steps_of_rows.retain(|&steps| steps > step);
        }
    }
    rows
}

#[test]
fn a_batch_gives_what_each_search_gives_alone_and_drops_what_is_done() {
    for beams in [1, 2, 4] {
        for prompted in [false, true] {
            let search = CaptionSearch {
                prompted,
                beams,
                max_length: 24,
                ..CaptionSearch::default()
            };
            let rules = Rules::new(&spec(), search);
            let (mut decoder, rows_seen) = decoder();
            let found = decoder.decode(cross(9), 9, 9, &rules).unwrap();
            let (ids, steps): (Vec<Vec<i64>>, Vec<usize>) = (0..9).map(|picture| alone(&rules, picture)).unzip();
            let wanted: Vec<Found> = ids.into_iter().map(Some).collect();
            assert_eq!(found, wanted, "{beams} beams, prompted {prompted}");
            let rows_seen = rows_seen.lock().unwrap();
            assert_eq!(*rows_seen, rows_by_step(steps, rules.given.len() - 1), "{beams} beams");
            assert!(rows_seen.last() < Some(&9), "nothing was dropped: {rows_seen:?}");
        }
    }
}

#[test]
fn rows_that_pad_a_batch_are_dropped_first() {
    let rules = Rules::new(&spec(), CaptionSearch::default());
    let (mut decoder, rows_seen) = decoder();
    let found = decoder.decode(cross(8), 8, 3, &rules).unwrap();
    let wanted: Vec<Found> = (0..3).map(|picture| Some(alone(&rules, picture).0)).collect();
    assert_eq!(found, wanted);
    assert_eq!(rows_seen.lock().unwrap().first(), Some(&3));
}
