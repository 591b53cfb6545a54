//! The runtime against the real library, where this machine has one.

use super::providers::profile;
use super::*;
use crate::model::tensor::{Tensor, TensorData};
use crate::model::testing::{model, runtime};

/// The library can be loaded once a process, so that its absence needs a process of its own:
/// this test starts itself again.
#[test]
fn a_missing_library_is_an_error_that_names_every_place() {
    const CHILD: &str = "LABELMILL_TEST_MISSING_RUNTIME";
    if std::env::var_os(CHILD).is_some() {
        let nowhere = PathBuf::from("/nowhere/libonnxruntime.so");
        let search = Search {
            executable_folder: Some(PathBuf::from("/nowhere/bin")),
            ..Search::default()
        };
        let message = OnnxRuntime::load(&search).err().expect("nothing is there").to_string();
        for says in [
            "scripts/fetch-onnxruntime",
            "--onnxruntime: not given",
            "beside the executable",
            ".runtime/",
        ] {
            assert!(message.contains(says), "{message} should say {says}");
        }
        let search = Search {
            environment: Some(nowhere),
            system: true,
            ..search
        };
        let message = OnnxRuntime::load(&search).err().expect("nothing is there").to_string();
        assert!(
            message.contains("ORT_DYLIB_PATH: /nowhere/libonnxruntime.so cannot be used"),
            "{message}"
        );
        assert!(
            !message.contains("system's"),
            "a library that was named is not replaced: {message}"
        );
        return;
    }
    let name = std::thread::current()
        .name()
        .expect("the harness names its threads")
        .to_owned();
    let program = std::env::current_exe().unwrap();
    let child = std::process::Command::new(program)
        .args([&name, "--exact"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn the_loaded_library_says_what_it_is() {
    let Some(runtime) = runtime() else { return };
    assert!(runtime.version().starts_with("1."), "{}", runtime.version());
    assert!(
        runtime
            .report()
            .to_string()
            .contains(&runtime.path().display().to_string())
    );
    assert!(runtime.built_for().contains(&"cpu"));
    assert_eq!(runtime.choose(Device::Cpu).unwrap().device, Device::Cpu);
}

fn session() -> Option<Box<dyn Session>> {
    let model = model("tiny-logits-tagger");
    let file = model.file("image.onnx").unwrap();
    Some(
        runtime()?
            .load("logits", file.graph(), &SessionOptions::new(Device::Cpu, 1))
            .unwrap(),
    )
}

#[test]
fn an_output_may_stay_on_the_device_and_feed_the_next_run() {
    let Some(runtime) = runtime() else { return };
    let options = SessionOptions::new(Device::Cpu, 1);
    let mut probe = runtime.load("probe", Graph::Memory(PROBE_GRAPH), &options).unwrap();
    let tensor = Tensor {
        shape: vec![1],
        data: TensorData::F32(vec![42.0]),
    };
    let outputs = probe
        .run(&[("x", Input::Host(&tensor))], &[("y", Place::Device)])
        .unwrap();
    let [Output::Device(kept)] = outputs.as_slice() else {
        panic!("{outputs:?}")
    };
    let again = probe.run(&[("x", Input::Device(kept))], &[("y", Place::Host)]).unwrap();
    let [Output::Host(given)] = again.as_slice() else {
        panic!("{again:?}")
    };
    assert_eq!(*given, tensor);
}

#[test]
fn errors_name_the_graph_and_keep_their_source() {
    let Some(mut session) = session() else { return };
    let wrong = Tensor {
        shape: vec![1, 3, 8, 8],
        data: TensorData::F32(vec![0.0; 192]),
    };
    let error = session.run_one(&[("input", &wrong)], "output").unwrap_err();
    assert!(matches!(error, ModelError::Run { .. }), "{error:?}");
    assert!(
        error.chain().starts_with("the graph logits failed: "),
        "{}",
        error.chain()
    );
    let right = Tensor {
        shape: vec![1, 3, 32, 32],
        data: TensorData::F32(vec![0.0; 3072]),
    };
    assert!(session.run_one(&[("input", &right)], "nothing").is_err());
    let Some(runtime) = runtime() else { return };
    let options = SessionOptions::new(Device::Cpu, 1);
    let error = runtime
        .load("noise", Graph::Memory(b"no graph"), &options)
        .err()
        .unwrap();
    assert!(matches!(error, ModelError::Load { .. }), "{error:?}");
}

#[test]
fn reasons_lose_their_source_location() {
    let said = "/src/bridge.cc:2043 onnxruntime::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load x.so: no file";
    assert_eq!(reason_of(said), "Failed to load x.so: no file");
    assert_eq!(reason_of("something else\nand more"), "something else");
}

#[test]
fn profiles_are_written_as_tensorrt_wants_them() {
    let inputs = vec![
        ("x".to_owned(), vec![16, 3, 224, 224]),
        ("ids".to_owned(), vec![16, 77]),
    ];
    assert_eq!(profile(&inputs), "x:16x3x224x224,ids:16x77");
}

#[test]
fn memory_running_out_is_told_from_other_failures() {
    // The binding makes its errors through the library.
    if runtime().is_none() {
        return;
    }
    let memory = ort::Error::new("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer");
    assert!(edge("g", Doing::Running, memory).is_out_of_memory());
    assert!(!edge("g", Doing::Running, ort::Error::new("Invalid input name: x")).is_out_of_memory());
}
