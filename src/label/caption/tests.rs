//! The captioner on real graphs, where this machine has a runtime, against ids that transformers
//! generated (`scripts/make_caption_goldens.py`).

use arrow::array::AsArray;
use serde::Deserialize;

use super::*;
use crate::model::Device;
use crate::model::testing::{model, runtime};

/// One setting of the search, and transformers' ids for every picture.
#[derive(Deserialize)]
struct Golden {
    search: GoldenSearch,
    ids: Vec<Vec<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenSearch {
    prompted: Option<bool>,
    beams: Option<usize>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    repetition_penalty: Option<f32>,
}

impl GoldenSearch {
    fn options(&self, batch: usize) -> LabelerOptions {
        LabelerOptions {
            device: Device::Cpu,
            batch,
            threads: 1,
            caption: CaptionOptions {
                prompted: self.prompted,
                beams: self.beams,
                min_length: self.min_length,
                max_length: self.max_length.or(Some(20)),
                repetition_penalty: self.repetition_penalty,
            },
            ..LabelerOptions::default()
        }
    }
}

fn goldens(name: &str) -> Vec<Golden> {
    let path = format!("{}/tests/golden/captions/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The pictures of `made_up_squares` in the script that made the ids.
fn made_up_squares(side: u64, count: u64) -> Vec<Vec<u8>> {
    let byte = |picture: u64, i: u64| ((i * i * (2 * picture + 3) / (7 + picture) + i * (picture + 1) * 5) % 256) as u8;
    let picture = |picture: u64| (0..side * side * 3).map(|index| byte(picture, index)).collect();
    (0..count).map(picture).collect()
}

fn ids_of(captions: Captions) -> Vec<Vec<i64>> {
    captions
        .into_iter()
        .map(|caption| caption.unwrap().unwrap().ids)
        .collect()
}

#[test]
fn every_search_gives_the_ids_of_transformers_in_a_batch_and_alone() {
    let Some(runtime) = runtime() else { return };
    let model = model("tiny-captioner");
    let pictures = made_up_squares(32, 12);
    let squares: Vec<Option<&[u8]>> = pictures.iter().map(|picture| Some(picture.as_slice())).collect();
    let goldens = goldens("tiny-captioner");
    assert!(goldens.len() >= 8);
    for golden in &goldens {
        let mut lengths: Vec<usize> = golden.ids.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        assert!(
            lengths.len() > 1,
            "a batch whose captions end at one length drops no rows"
        );
        for batch in [1, 5, 12] {
            let mut captioner = open_captioner(&model, runtime, &golden.search.options(batch)).unwrap();
            assert_eq!(
                ids_of(captioner.caption(&squares).unwrap()),
                golden.ids,
                "batch {batch}"
            );
        }
    }
}

#[test]
fn the_labeler_writes_text_without_prompt_and_null_for_failed_rows() {
    let Some(runtime) = runtime() else { return };
    let model = model("tiny-captioner");
    let golden = goldens("tiny-captioner")
        .into_iter()
        .find(|golden| golden.search.prompted == Some(true))
        .unwrap();
    let mut options = golden.search.options(4);
    options.columns = Some("short".to_owned());
    let mut labeler = CaptionLabeler::open(&model, runtime, &options).unwrap();
    assert_eq!(labeler.fields()[0].name(), "short_caption");
    let pictures = made_up_squares(32, 3);
    let squares: [Option<&[u8]>; 4] = [Some(&pictures[0]), None, Some(&pictures[1][1..]), Some(&pictures[2])];
    let labels = labeler.label(&Pictures::of(&squares)).unwrap();
    let texts = labels.columns[0].as_string::<i32>();
    let given: Vec<bool> = texts.iter().map(|text| text.is_some()).collect();
    assert_eq!(given, [true, false, false, true]);
    assert!(
        !texts.value(0).starts_with("a picture of") && !texts.value(0).contains('['),
        "{}",
        texts.value(0)
    );
    assert!(labels.failures[0].1.message.contains("bytes of pixels"));
    assert_eq!(labels.failures.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_search_that_cannot_be_is_refused_and_another_one_is_another_fingerprint() {
    let Some(runtime) = runtime() else { return };
    let model = model("tiny-captioner");
    let options = |caption| LabelerOptions {
        device: Device::Cpu,
        caption,
        ..LabelerOptions::default()
    };
    let refused = |caption| {
        let error = open_captioner(&model, runtime, &options(caption))
            .err()
            .expect("it cannot be");
        error.to_string()
    };
    let none = CaptionOptions::default();
    assert!(refused(CaptionOptions { beams: Some(0), ..none }).contains("`beams`"));
    assert!(
        refused(CaptionOptions {
            max_length: Some(1),
            ..none
        })
        .contains("`max_length`")
    );
    assert!(
        refused(CaptionOptions {
            beams: Some(41),
            ..none
        })
        .contains("too many")
    );
    let plain = open_captioner(&model, runtime, &options(none)).unwrap();
    let beams = open_captioner(&model, runtime, &options(CaptionOptions { beams: Some(2), ..none })).unwrap();
    assert_ne!(plain.fingerprint(), beams.fingerprint());
    let tagger = crate::model::testing::model("tiny-wd-tagger");
    let error = open_captioner(&tagger, runtime, &options(none))
        .err()
        .expect("a tagger says nothing");
    assert!(error.to_string().contains("it is a tagger"), "{error}");
}
