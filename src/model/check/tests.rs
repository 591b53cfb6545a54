//! Graphs and values that differ from their manifests, each with its message.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::device::Device;
use crate::model::manifest::Activation;
use crate::model::session::{Graph, Runtime, SessionOptions};
use crate::model::standin::{StandInGraph, StandInRuntime};
use crate::model::testing::model;

fn info(name: &str, element: ElementType, shape: &[i64]) -> TensorInfo {
    let shape = shape.iter().map(|&length| usize::try_from(length).ok()).collect();
    TensorInfo {
        name: name.to_owned(),
        element,
        shape,
    }
}

fn session(inputs: Vec<TensorInfo>, outputs: Vec<TensorInfo>) -> Box<dyn Session> {
    let answer = Arc::new(|_: &[(&str, &crate::model::Tensor)], name: &str| {
        Err(ModelError::Run {
            graph: name.to_owned(),
            source: "not run in this test".into(),
        })
    });
    let graph = StandInGraph {
        inputs,
        outputs,
        wait: Duration::ZERO,
        answer,
    };
    let runtime = StandInRuntime::default().with_graph("g", graph);
    runtime
        .load("g", Graph::Memory(&[]), &SessionOptions::new(Device::Cpu, 1))
        .unwrap()
}

fn image_message(inputs: Vec<TensorInfo>, outputs: Vec<TensorInfo>) -> String {
    let model = model("tiny-wd-tagger");
    image_graph(&model.manifest, session(inputs, outputs).as_ref())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_graph_that_differs_is_refused_with_what_to_change() {
    use ElementType::{F32, I64};
    let good = || vec![info("output", F32, &[-1, 15])];
    for (inputs, outputs, says) in [
        (
            vec![info("pixels", F32, &[-1, 32, 32, 3])],
            good(),
            "`image.input` is `input`",
        ),
        (
            vec![info("input", F32, &[-1, 3, 32, 32])],
            good(),
            "write layout = \"nchw\"",
        ),
        (vec![info("input", F32, &[-1, 48, 48, 3])], good(), "`image.size` is 32"),
        (vec![info("input", F32, &[-1, 3072])], good(), "4 dimensions"),
        (
            vec![info("input", I64, &[-1, 32, 32, 3])],
            good(),
            "float32, float16 or uint8",
        ),
        (
            vec![info("input", F32, &[-1, 32, 32, 3]), info("mask", F32, &[1])],
            good(),
            "also wants the input mask",
        ),
        (
            vec![info("input", F32, &[-1, 32, 32, 3])],
            vec![info("scores", F32, &[-1, 15])],
            "`image.output`",
        ),
        (
            vec![info("input", F32, &[-1, 32, 32, 3])],
            vec![info("output", I64, &[-1, 15])],
            "scores are float32",
        ),
        (
            vec![info("input", F32, &[-1, 32, 32, 3])],
            vec![info("output", F32, &[-1, 15, 8, 8])],
            "a row of values",
        ),
    ] {
        let message = image_message(inputs, outputs);
        assert!(
            message.contains(says) && message.contains("tiny-wd-tagger"),
            "{message} should say {says}"
        );
    }
}

#[test]
fn a_good_graph_says_what_it_leaves_open() {
    let model = model("tiny-wd-tagger");
    let open = session(
        vec![info("input", ElementType::F32, &[-1, -1, -1, 3])],
        vec![info("output", ElementType::F32, &[-1, -1])],
    );
    let contract = image_graph(&model.manifest, open.as_ref()).unwrap();
    assert_eq!(
        contract,
        Contract {
            input: "input".to_owned(),
            output: "output".to_owned(),
            element: ElementType::F32,
            fixed_batch: None,
            width: None
        }
    );
}

#[test]
fn an_unverified_manifest_leaves_names_and_activation_to_the_graph() {
    let mut manifest = model("tiny-wd-tagger").manifest;
    let graph = || {
        let outputs = vec![
            info("initial", ElementType::F32, &[-1, 15]),
            info("features", ElementType::F32, &[-1, 15, 8, 8]),
            info("refined", ElementType::F32, &[-1, 15]),
            info("loss", ElementType::F32, &[]),
        ];
        session(vec![info("pixels", ElementType::F32, &[-1, 32, 32, 3])], outputs)
    };
    let refused = image_graph(&manifest, graph().as_ref()).unwrap_err().to_string();
    assert!(refused.contains("`image.input`"), "{refused}");
    assert!(activation(&manifest, Activation::None, &[-2.0, 3.0], 2).is_err());
    manifest.verified = false;
    let contract = image_graph(&manifest, graph().as_ref()).unwrap();
    assert_eq!(
        (contract.input.as_str(), contract.output.as_str()),
        ("pixels", "refined")
    );
    let rows = [0.5; 16];
    for (declared, rows, taken) in [
        (Activation::None, [-2.0; 16].as_slice(), Activation::Sigmoid),
        (Activation::Sigmoid, &rows, Activation::None),
        (Activation::None, &rows, Activation::None),
    ] {
        assert_eq!(activation(&manifest, declared, rows, 8).unwrap(), taken);
    }
    assert!(activation(&manifest, Activation::None, &[f32::NAN; 8], 8).is_err());
}

#[test]
fn a_text_graph_is_checked_too() {
    use ElementType::{F32, I64};
    let model = model("tiny-clip");
    let output = || vec![info("text_embeds", F32, &[-1, 16])];
    for (inputs, says) in [
        (vec![info("input_ids", I64, &[-1, 77])], "`text.context` is 12"),
        (vec![info("input_ids", F32, &[-1, 12])], "int64 or int32"),
        (vec![info("ids", I64, &[-1, 12])], "`text.input`"),
        (
            vec![
                info("input_ids", I64, &[-1, 12]),
                info("attention_mask", I64, &[-1, 12]),
            ],
            "attention_mask",
        ),
    ] {
        let message = text_graph(&model.manifest, session(inputs, output()).as_ref())
            .unwrap_err()
            .to_string();
        assert!(message.contains(says), "{message} should say {says}");
    }
}

#[test]
fn wrong_activations_and_label_counts_are_refused() {
    let manifest = model("tiny-wd-tagger").manifest;
    let message = scores(&manifest, Activation::None, &[0.5, -3.0], 2)
        .unwrap_err()
        .to_string();
    assert!(message.contains("sigmoid"), "{message}");
    let message = scores(&manifest, Activation::Sigmoid, &[0.5; 16], 8)
        .unwrap_err()
        .to_string();
    assert!(message.contains("second activation"), "{message}");
    let message = scores(&manifest, Activation::None, &[f32::NAN], 1)
        .unwrap_err()
        .to_string();
    assert!(message.contains("NaN"), "{message}");
    assert!(scores(&manifest, Activation::None, &[0.0, 1.0], 2).is_ok());
    // Few labels tell nothing, unless they are a softmax already.
    assert!(scores(&manifest, Activation::Softmax, &[0.2, 0.3, 0.9, 0.4], 2).is_ok());
    assert!(scores(&manifest, Activation::Softmax, &[0.25, 0.75, 0.9, 0.1], 2).is_err());
    let message = label_count(&manifest, 15, 16).unwrap_err().to_string();
    assert!(
        message.contains("selected_tags.csv names 15") && message.contains("16 scores"),
        "{message}"
    );
    assert!(embeddings(&manifest, &[0.0, 0.0]).is_err() && embeddings(&manifest, &[0.0, 0.1]).is_ok());
}
