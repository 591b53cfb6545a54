//! The labelers on the repository's tiny models: laws that hold for every model.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float16Type, Float32Type};

use super::*;
use crate::model::ModelStore;
use crate::model::manifest::ClassifyLabel;
use crate::model::testing::{model, runtime};

const BATCH: usize = 4;

/// Makes a good manifest a wrong one.
type Change = fn(&mut Model);

fn options() -> LabelerOptions {
    LabelerOptions {
        device: Device::Cpu,
        batch: BATCH,
        threads: 2,
        ..LabelerOptions::default()
    }
}

/// Squares of the tiny models that differ from each other.
fn pictures(count: usize) -> Vec<Vec<u8>> {
    pictures_of(32, count)
}

/// Squares of `size` that differ from each other.
fn pictures_of(size: usize, count: usize) -> Vec<Vec<u8>> {
    let byte = |picture: usize, index: usize| {
        let wave = (index as f32 / (40.0 + 90.0 * picture as f32)).sin() * 90.0;
        (128.0 + wave + (index % 3) as f32 * 12.0 * picture as f32 % 60.0) as u8
    };
    (0..count)
        .map(|picture| (0..size * size * 3).map(|index| byte(picture, index)).collect())
        .collect()
}

fn label(labeler: &mut dyn Labeler, pictures: &[Option<&[u8]>]) -> Labels {
    let labels = labeler.label(&Pictures::of(pictures)).unwrap();
    let fields = labeler.fields();
    assert_eq!(labels.columns.len(), fields.len());
    for (column, field) in labels.columns.iter().zip(fields) {
        assert_eq!(column.len(), pictures.len(), "{field}");
        assert_eq!(column.data_type(), field.data_type(), "{field}");
    }
    labels
}

#[test]
fn alone_equals_in_a_batch_to_the_last_bit() {
    let Some(runtime) = runtime() else { return };
    let tiny = [
        "tiny-clip",
        "tiny-wd-tagger",
        "tiny-wd-fixed-tagger",
        "tiny-logits-tagger",
    ]
    .map(model);
    let embedded = ["demo-clip", "demo-tagger"].map(|name| ModelStore::default().resolve(name).unwrap());
    for model in tiny.iter().chain(&embedded) {
        let name = &model.manifest.name;
        let options = LabelerOptions {
            embedding: EmbeddingType::Float32,
            ..options()
        };
        let mut labeler = open(model, runtime, &options).unwrap();
        let pictures = pictures_of(labeler.geometries()[0].size as usize, 7);
        let squares: Vec<Option<&[u8]>> = pictures.iter().map(|picture| Some(picture.as_slice())).collect();
        let together = label(labeler.as_mut(), &squares);
        for (row, square) in squares.iter().enumerate() {
            let alone = label(labeler.as_mut(), &[*square]);
            for (alone, together) in alone.columns.iter().zip(&together.columns) {
                assert_eq!(alone.as_ref(), together.slice(row, 1).as_ref(), "{name} row {row}");
            }
        }
    }
}

#[test]
fn failed_pictures_are_null_rows_and_the_others_keep_their_places() {
    let Some(runtime) = runtime() else { return };
    for name in ["tiny-clip", "tiny-wd-tagger"] {
        let mut labeler = open(&model(name), runtime, &options()).unwrap();
        let pictures = pictures(2);
        let whole = label(labeler.as_mut(), &[Some(&pictures[0]), Some(&pictures[1])]);
        let gaps = label(labeler.as_mut(), &[None, Some(&pictures[0]), None, Some(&pictures[1])]);
        assert!(gaps.failures.is_empty());
        for (gaps, whole) in gaps.columns.iter().zip(&whole.columns) {
            assert!(gaps.is_null(0) && gaps.is_valid(1) && gaps.is_null(2) && gaps.is_valid(3));
            assert_eq!(gaps.slice(1, 1).as_ref(), whole.slice(0, 1).as_ref());
            assert_eq!(gaps.slice(3, 1).as_ref(), whole.slice(1, 1).as_ref());
        }
        let none = label(labeler.as_mut(), &[None, None]);
        assert!(none.columns.iter().all(|column| column.null_count() == 2));
        assert_eq!(label(labeler.as_mut(), &[]).columns[0].len(), 0);
    }
}

#[test]
fn clip_columns_are_named_and_normalised() {
    let Some(runtime) = runtime() else { return };
    let table = |name: &str, labels: [&str; 2]| ClassifyTable {
        name: name.to_owned(),
        labels: labels
            .map(|name| ClassifyLabel {
                name: name.to_owned(),
                prompts: vec![format!("a {name}")],
            })
            .to_vec(),
    };
    let options = LabelerOptions {
        classify: vec![table("mood", ["calm", "wild"]), table("style", ["ink", "oil"])],
        columns: Some("second".to_owned()),
        ..options()
    };
    let mut labeler = open(&model("tiny-clip"), runtime, &options).unwrap();
    let names: Vec<String> = labeler.fields().iter().map(|field| field.name().clone()).collect();
    let wanted = [
        "second_style",
        "second_style_score",
        "second_mood",
        "second_mood_score",
        "second_clip_embedding",
    ];
    assert_eq!(names, wanted);
    let pictures = pictures(1);
    let labels = label(labeler.as_mut(), &[Some(&pictures[0])]);
    let style = labels.columns[0].as_string::<i32>().value(0);
    assert!(
        style == "ink" || style == "oil",
        "the user's table takes the manifest's place: {style}"
    );
    let score = labels.columns[1].as_primitive::<Float32Type>().value(0);
    assert!((0.5..=1.0).contains(&score), "{score}");
    let embedding = labels.columns[4].as_fixed_size_list().value(0);
    let halves = embedding.as_primitive::<Float16Type>();
    let length: f32 = halves
        .values()
        .iter()
        .map(|value| value.to_f32() * value.to_f32())
        .sum();
    assert!((length - 1.0).abs() < 2e-3, "{length}");
}

#[test]
fn tags_scores_and_categories_are_parallel_and_fall() {
    let Some(runtime) = runtime() else { return };
    let mut labeler = open(&model("tiny-wd-tagger"), runtime, &options()).unwrap();
    let pictures = pictures(3);
    let squares: Vec<Option<&[u8]>> = pictures.iter().map(|picture| Some(picture.as_slice())).collect();
    let labels = label(labeler.as_mut(), &squares);
    let lists: Vec<_> = labels.columns[..3].iter().map(AsArray::as_list::<i32>).collect();
    for row in 0..3 {
        let scores = lists[1].value(row);
        let scores = scores.as_primitive::<Float32Type>().values().to_vec();
        assert!(!scores.is_empty() && scores.is_sorted_by(|left, right| left >= right));
        assert!(scores.iter().all(|score| (0.05..=1.0).contains(score)));
        assert_eq!(lists[0].value_length(row), lists[1].value_length(row));
        assert_eq!(lists[0].value_length(row), lists[2].value_length(row));
        let tags = lists[0].value(row);
        assert!(
            tags.as_string::<i32>().iter().flatten().all(|tag| tag != "explicit"),
            "ratings are no tags"
        );
        let rating = labels.columns[3].as_string::<i32>().value(row);
        assert!(
            ["general", "sensitive", "questionable", "explicit"].contains(&rating),
            "{rating}"
        );
    }
}

#[test]
fn fingerprints_change_with_what_values_depend_on_and_with_nothing_else() {
    let Some(runtime) = runtime() else { return };
    let print =
        |name: &str, options: &LabelerOptions| open(&model(name), runtime, options).unwrap().fingerprint().to_owned();
    let tagger = print("tiny-wd-tagger", &options());
    assert!(tagger.starts_with("tagger:1:"), "{tagger}");
    assert_eq!(
        tagger,
        print(
            "tiny-wd-tagger",
            &LabelerOptions {
                batch: 2,
                threads: 1,
                ..options()
            }
        )
    );
    assert_ne!(
        tagger,
        print(
            "tiny-wd-tagger",
            &LabelerOptions {
                floor: Some(0.1),
                ..options()
            }
        )
    );
    let clip = print("tiny-clip", &options());
    assert_ne!(
        clip,
        print(
            "tiny-clip",
            &LabelerOptions {
                embedding: EmbeddingType::Float32,
                ..options()
            }
        )
    );
}

#[test]
fn wrong_manifests_are_refused_before_the_first_picture() {
    let Some(runtime) = runtime() else { return };
    let changes: [(&str, Change, &str); 6] = [
        (
            "tiny-wd-tagger",
            |model| model.manifest.image.size = 64,
            "`image.size` is 64",
        ),
        (
            "tiny-clip",
            |model| model.manifest.image.layout = crate::model::manifest::Layout::Nhwc,
            "layout = \"nchw\"",
        ),
        (
            "tiny-wd-tagger",
            |model| "scores".clone_into(&mut model.manifest.image.output),
            "`image.output` is `scores`",
        ),
        (
            "tiny-wd-tagger",
            |model| {
                let output = model.manifest.output.as_mut().unwrap();
                output.activation = crate::model::manifest::Activation::Sigmoid;
            },
            "second activation",
        ),
        (
            "tiny-logits-tagger",
            |model| {
                let output = model.manifest.output.as_mut().unwrap();
                output.activation = crate::model::manifest::Activation::None;
            },
            "activation = \"sigmoid\"",
        ),
        (
            "tiny-clip",
            |model| model.manifest.text.as_mut().unwrap().context = 77,
            "`text.context` is 77",
        ),
    ];
    for (name, change, says) in changes {
        let mut model = model(name);
        change(&mut model);
        let message = open(&model, runtime, &options()).err().expect(says).to_string();
        assert!(message.contains(says), "{message} should say {says}");
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_auto_falls_back_aloud() {
    let Some(runtime) = runtime() else { return };
    let asked = LabelerOptions {
        device: Device::Auto,
        ..options()
    };
    let labeler = open(&model("tiny-clip"), runtime, &asked).unwrap();
    assert!(labeler.device().contains('('), "{}", labeler.device());
    if runtime.built_for() == ["cpu"] {
        for device in [Device::Cuda(0), Device::TensorRt(0)] {
            let error = open(&model("tiny-clip"), runtime, &LabelerOptions { device, ..options() })
                .err()
                .unwrap();
            assert!(error.to_string().contains("is not available"), "{error}");
        }
    }
}

#[test]
fn pixels_that_are_normalised_on_the_device_give_the_same_labels() {
    let Some(runtime) = runtime() else { return };
    let squares = pictures(3);
    let given: Vec<Option<&[u8]>> = squares.iter().map(|square| Some(square.as_slice())).collect();
    for name in [
        "tiny-clip",
        "tiny-wd-tagger",
        "tiny-wd-fixed-tagger",
        "tiny-logits-tagger",
        "tiny-captioner",
    ] {
        let of = |normalise| {
            let options = LabelerOptions { normalise, ..options() };
            let mut labeler = open(&model(name), runtime, &options).unwrap();
            (
                labeler.fingerprint().to_owned(),
                label(labeler.as_mut(), &given).columns,
            )
        };
        let on_device = of(NormaliseOnDevice::Always);
        assert_eq!(on_device, of(NormaliseOnDevice::Never), "{name}");
        assert_eq!(on_device, of(NormaliseOnDevice::Auto), "{name}");
    }
}
