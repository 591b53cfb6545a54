//! What a rewritten graph makes of bytes, against the host's own normalisation.

use super::*;
use crate::model::Device;
use crate::model::onnx_check;
use crate::model::preprocess::Preprocess;
use crate::model::small_graph::{self, Node};
use crate::model::tensor::Tensor;
use crate::model::testing::{image_spec, model, runtime};

const SIZE: usize = 5;

fn image(layout: &str, channels: &str, scale: &str, mean: bool) -> ImageSpec {
    let numbers = if mean {
        "mean = [0.48145466, 0.4578275, 0.40821073]\nstd = [0.26862954, 0.26130258, 0.27577711]"
    } else {
        ""
    };
    image_spec(SIZE, layout, channels, scale, numbers)
}

/// A graph that gives back what it is fed.
fn identity(element: ElementType) -> Vec<u8> {
    let nodes = [Node {
        operator: "Identity",
        inputs: &["pixels"],
        output: "o",
        whole: &[],
    }];
    let dimensions = &["batch", "a", "b", "c"];
    small_graph::onnx(
        &nodes,
        &[("pixels", element, dimensions)],
        &[("o", element, dimensions)],
    )
}

fn squares() -> Vec<Vec<u8>> {
    let byte = |picture: usize, at: usize| (at * 37 + picture * 101 + at * at % 251) as u8;
    (0..2)
        .map(|picture| (0..SIZE * SIZE * 3).map(|at| byte(picture, at)).collect())
        .collect()
}

fn filled(preprocess: &Preprocess, element: ElementType, squares: &[Vec<u8>]) -> Tensor {
    let mut tensor = Tensor::zeros(element, preprocess.shape(squares.len())).unwrap();
    let squares: Vec<&[u8]> = squares.iter().map(Vec::as_slice).collect();
    preprocess.fill(&squares, &mut tensor);
    tensor
}

#[test]
fn every_contract_gives_the_bits_of_the_host() {
    let Some(runtime) = runtime() else { return };
    let options = SessionOptions::new(Device::Cpu, 1);
    let squares = squares();
    for element in [ElementType::F32, ElementType::F16] {
        for (layout, channels) in [("nchw", "rgb"), ("nchw", "bgr"), ("nhwc", "rgb"), ("nhwc", "bgr")] {
            for (scale, mean) in [
                ("0..1", true),
                ("0..1", false),
                ("0..255", false),
                ("-1..1", true),
                ("-1..1", false),
            ] {
                let case = format!("{element} {layout} {channels} {scale} {mean}");
                let image = image(layout, channels, scale, mean);
                let graph = identity(element);
                let graph = BytesGraph::of(Graph::Memory(&graph), &image).unwrap().expect(&case);
                onnx_check::bytes(&graph.bytes).expect(&case);
                let mut session = graph.load(runtime, "m/f", &options).expect(&case);
                let declared = &session.inputs()[0];
                assert_eq!(
                    (declared.name.as_str(), declared.element),
                    ("pixels", element),
                    "{case}"
                );
                let bytes = filled(&Preprocess::of_bytes(&image), ElementType::U8, &squares);
                let given = session.run_one(&[("pixels", &bytes)], "o").expect(&case);
                let wanted = filled(&Preprocess::new(&image), element, &squares);
                assert_eq!(given, wanted, "{case}");
            }
        }
    }
}

#[test]
fn models_of_every_layout_give_the_same_rows() {
    let Some(runtime) = runtime() else { return };
    for name in [
        "tiny-clip",
        "tiny-wd-tagger",
        "tiny-wd-fixed-tagger",
        "tiny-logits-tagger",
    ] {
        let model = model(name);
        let image = &model.manifest.image;
        let file = model.file(&image.file).unwrap();
        let options = SessionOptions::new(Device::Cpu, 1);
        let graph = BytesGraph::of(file.graph(), image).unwrap().expect(name);
        let mut on_device = graph.load(runtime, name, &options).unwrap();
        let mut on_host = runtime.load(name, file.graph(), &options).unwrap();
        assert_eq!(on_device.inputs(), on_host.inputs(), "{name}");
        let batch = on_host.inputs()[0].shape[0].unwrap_or(3);
        let size = image.size as usize;
        let squares: Vec<Vec<u8>> = (0..batch)
            .map(|picture| (0..size * size * 3).map(|at| (at * (picture + 3)) as u8).collect())
            .collect();
        let rows = |session: &mut dyn Session, preprocess: &Preprocess, element| {
            let pixels = filled(preprocess, element, &squares);
            session.run_one(&[(&image.input, &pixels)], &image.output).unwrap()
        };
        let given = rows(on_device.as_mut(), &Preprocess::of_bytes(image), ElementType::U8);
        let wanted = rows(on_host.as_mut(), &Preprocess::new(image), ElementType::F32);
        assert_eq!(given.shape, wanted.shape, "{name}");
        let (given, wanted) = (given.into_f32().unwrap(), wanted.into_f32().unwrap());
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&given, &wanted) / (dot(&given, &given) * dot(&wanted, &wanted)).sqrt();
        assert!(cosine > 1.0 - 1e-6, "{name}: cosine {cosine}");
    }
}

#[test]
fn what_takes_no_floats_or_is_no_graph_stays_as_it_is() {
    let image = image("nchw", "rgb", "0..1", true);
    let of = |bytes: &[u8]| BytesGraph::of(Graph::Memory(bytes), &image).unwrap().is_some();
    assert!(of(&identity(ElementType::F32)));
    assert!(!of(&identity(ElementType::U8)), "it takes bytes already");
    let other = ImageSpec {
        input: "elsewhere".to_owned(),
        ..image.clone()
    };
    let bytes = identity(ElementType::F32);
    assert!(BytesGraph::of(Graph::Memory(&bytes), &other).unwrap().is_none());
    assert!(!of(b"no graph"));
    for end in 0..bytes.len() {
        // Cut anywhere: another graph or none, never a panic.
        of(&bytes[..end]);
    }
    let missing = Graph::File(Path::new("/nowhere/model.onnx"));
    assert!(BytesGraph::of(missing, &image).is_err());
}

#[test]
fn weights_in_a_file_of_their_own_are_found() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weights"), 0.25_f32.to_le_bytes()).unwrap();
    let nodes = [Node {
        operator: "Add",
        inputs: &["pixels", "w"],
        output: "o",
        whole: &[],
    }];
    let dimensions = &["batch", "a", "b", "c"];
    let outers = |name| [(name, ElementType::F32, &dimensions[..])];
    let model = small_graph::onnx(&nodes, &outers("pixels"), &outers("o"));
    let mut entry = Message::default();
    entry.text(1, "location");
    entry.text(2, "weights");
    let mut weight = Message::default();
    weight.number(1, 1);
    weight.number(2, type_number(ElementType::F32));
    weight.text(8, "w");
    weight.message(13, &entry);
    weight.number(14, 1);
    // The graph once more, with the weight in it.
    let parts = parts_of(&model).unwrap();
    let at = parts.iter().find(|part| part.number == 7).unwrap();
    let mut graph = Message(model[at.content.clone()].to_vec());
    graph.message(5, &weight);
    let mut whole = Message(model[..at.whole.start].to_vec());
    whole.message(7, &graph);
    whole.0.extend_from_slice(&model[at.whole.end..]);
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, &whole.0).unwrap();

    let image = image("nhwc", "rgb", "0..255", false);
    let graph = BytesGraph::of(Graph::File(&path), &image).unwrap().unwrap();
    let mut session = graph
        .load(runtime, "m/f", &SessionOptions::new(Device::Cpu, 1))
        .unwrap();
    let bytes = filled(&Preprocess::of_bytes(&image), ElementType::U8, &squares());
    let given = session.run_one(&[("pixels", &bytes)], "o").unwrap().into_f32().unwrap();
    assert_eq!(given[0], f32::from(squares()[0][0]) + 0.25);
}
