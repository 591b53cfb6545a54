use proptest::prelude::*;

use super::*;
use crate::model::testing::fixture;

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    if number >= 16 {
        bytes = vec![(number << 3 | 2) | 0x80, number >> 4];
    }
    bytes.extend(varint(content.len() as u64));
    bytes.extend_from_slice(content);
    bytes
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A model whose graph is `content`.
fn model(content: &[u8]) -> Vec<u8> {
    [number(1, 8), field(7, content)].concat()
}

/// `TensorProto` of floats.
fn tensor(dimensions: &[u64], rest: &[Vec<u8>]) -> Vec<u8> {
    let dimensions = dimensions.iter().flat_map(|&length| number(1, length));
    let head = dimensions.chain(number(2, 1)).chain(field(8, b"w"));
    head.chain(rest.concat()).collect()
}

/// An initializer whose values are in the file `location`.
fn external(dimensions: &[u64], entries: &[(&str, &str)]) -> Vec<u8> {
    let entry =
        |(key, value): &(&str, &str)| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let mut rest: Vec<Vec<u8>> = entries.iter().map(entry).collect();
    rest.push(number(14, 1));
    model(&field(5, &tensor(dimensions, &rest)))
}

fn node(domain: &str, operation: &str) -> Vec<u8> {
    field(
        1,
        &[
            field(3, b"n"),
            field(4, operation.as_bytes()),
            field(7, domain.as_bytes()),
        ]
        .concat(),
    )
}

fn refusal(model: &[u8]) -> String {
    bytes(model).expect_err("a refusal").to_string()
}

#[test]
fn every_graph_of_the_repository_is_accepted() {
    let mut seen = 0;
    for folder in [fixture(""), fixture("../../../models")] {
        for model in std::fs::read_dir(folder).unwrap() {
            let Ok(files) = std::fs::read_dir(model.unwrap().path()) else {
                continue;
            };
            for path in files.map(|file| file.unwrap().path()) {
                if path.extension().is_some_and(|extension| extension == "onnx") {
                    assert_eq!(file(&path).unwrap(), Vec::<String>::new(), "{}", path.display());
                    bytes(&std::fs::read(&path).unwrap()).unwrap();
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 8);
}

#[test]
fn a_tensor_must_have_the_bytes_that_its_shape_declares() {
    let with = |dimensions: &[u64], rest: &[Vec<u8>]| bytes(&model(&field(5, &tensor(dimensions, rest))));
    with(&[2, 3], &[field(9, &[0; 24])]).unwrap();
    with(&[2, 3], &[field(4, &[0; 24])]).unwrap();
    with(&[0], &[]).unwrap();
    for (dimensions, says) in [
        (&[2, 4][..], "at least 32 bytes, and 24 are there"),
        (&[1 << 40], "and 24 are there"),
        (&[1 << 40, 1 << 40], "absurd shape"),
        (&[u64::MAX], "absurd shape"),
        (&[1; 33], "more than 32 dimensions"),
    ] {
        let error = with(dimensions, &[field(9, &[0; 24])]).unwrap_err().to_string();
        assert!(error.contains(says), "{error} should say {says}");
    }
    // The same inside an attribute, inside a branch.
    let hidden = field(5, &field(5, &tensor(&[1 << 40], &[field(9, &[0; 4])])));
    let branch = field(1, &[field(4, b"If"), field(5, &field(6, &field(1, &hidden)))].concat());
    assert!(refusal(&model(&branch)).contains("and 4 are there"));
}

#[test]
fn weights_outside_the_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model_folder = folder.path().join("model");
    std::fs::create_dir_all(model_folder.join("onnx")).unwrap();
    std::fs::write(folder.path().join("secret"), [0; 64]).unwrap();
    std::fs::write(model_folder.join("onnx/weights"), [0; 64]).unwrap();
    std::os::unix::fs::symlink("../secret", model_folder.join("link")).unwrap();
    std::os::unix::fs::symlink("onnx/weights", model_folder.join("inner")).unwrap();
    let check = |entries: &[(&str, &str)]| {
        let path = model_folder.join("model.onnx");
        std::fs::write(&path, external(&[2, 3], entries)).unwrap();
        file(&path)
    };
    assert_eq!(check(&[("location", "onnx/weights")]).unwrap(), ["onnx/weights"]);
    assert_eq!(
        check(&[("location", "inner"), ("offset", "40"), ("length", "24")]).unwrap(),
        ["inner"]
    );
    let absolute = folder.path().join("secret").display().to_string();
    for (entries, says) in [
        (&[("location", "../secret")][..], "leaves the model's folder"),
        (&[("location", absolute.as_str())], "leaves the model's folder"),
        (&[("location", "link")], "a link that leaves"),
        (&[("location", "*/_ORT_MEM_ADDR_/*"), ("offset", "4096")], "leaves"),
        (&[("location", "")], "leaves the model's folder"),
        (&[("location", "onnx")], "is no file"),
        (&[("location", "absent")], "cannot be read"),
        (&[("location", "inner"), ("offset", "41")], "and 23 are there"),
        (&[("location", "inner"), ("offset", "65")], "ends before the offset"),
        (&[("location", "inner"), ("length", "65")], "has 64 bytes"),
        (&[("location", "inner"), ("length", "8")], "and 8 are there"),
        (&[("location", "inner"), ("location", "../secret")], "two locations"),
        (&[("offset", "-1")], "no number"),
        (&[], "does not say where"),
    ] {
        let error = check(entries).expect_err(says).to_string();
        assert!(error.contains(says), "{error} should say {says}");
    }
    let in_memory = external(&[2, 3], &[("location", "onnx/weights")]);
    assert!(refusal(&in_memory).contains("in memory"));
}

#[test]
fn operations_of_a_custom_library_are_refused_and_the_models_own_functions_are_not() {
    bytes(&model(&node("com.microsoft", "FusedConv"))).unwrap();
    let custom = model(&node("my.ops", "Steal"));
    let error = refusal(&custom);
    assert!(
        error.contains("\"Steal\" of \"my.ops\"") && error.contains("node \"n\""),
        "{error}"
    );
    let body = field(7, &[field(4, b"Identity")].concat());
    let function = field(25, &[field(1, b"Steal"), field(10, b"my.ops"), body].concat());
    bytes(&[custom, function].concat()).unwrap();
    assert!(refusal(&model(&node("com.microsoft", "EPContext"))).contains("EPContext"));
}

#[test]
fn what_would_be_merged_or_is_no_onnx_is_refused() {
    assert!(refusal(b"").contains("0 graphs"));
    let two = [model(&[]), field(7, &[])].concat();
    assert!(refusal(&two).contains("2 graphs"));
    let value = field(5, &tensor(&[1], &[field(9, &[0; 4])]));
    let merged = field(1, &field(5, &[value.clone(), value].concat()));
    assert!(refusal(&model(&merged)).contains("two values"));
    assert!(refusal(b"\x20\0\0\0ORTM and more").contains(".ort"));
    assert!(refusal(b"<!doctype html>").contains("no ONNX file"));
    let mut deep = Vec::new();
    for _ in 0..40 {
        deep = field(1, &field(5, &field(6, &deep)));
    }
    assert!(refusal(&model(&deep)).contains("nested"));
    let sparse = field(15, &number(3, 5));
    assert!(refusal(&model(&sparse)).contains("sparse"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(random in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = bytes(&random);
        let _ = bytes(&model(&random));
    }

    #[test]
    fn no_change_of_a_real_graph_makes_it_panic(changes in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..8)) {
        static GRAPH: &[u8] = include_bytes!("../../../tests/fixtures/models/tiny-clip/image.onnx");
        let mut graph = GRAPH.to_vec();
        for (at, byte) in changes {
            let at = at as usize % graph.len();
            graph[at] = byte;
        }
        let _ = bytes(&graph);
    }
}
