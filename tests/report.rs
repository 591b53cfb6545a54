//! The page that `report` writes, as files; `tests/browser/check_gallery.py` uses it in a browser.

use std::path::{Path, PathBuf};

use crate::support::{arg, copy_folder, labelmill, samples, temporary_folder};

/// Labels without a model and makes the page.
fn page_of(pictures: &Path, out: &Path) -> PathBuf {
    labelmill(&["run", arg(pictures), "--out", arg(out), "--quiet"]).must_succeed();
    PathBuf::from(labelmill(&["report", arg(out)]).must_succeed().stdout().trim())
}

/// The JSON of a data file.
fn data(page: &Path, name: &str) -> serde_json::Value {
    let path = page.with_file_name("data").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (_, call) = text.split_once('(').expect("a call");
    let json = call.trim_end().strip_suffix(");").expect("the end of a call");
    let json = json.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_page_lies_in_the_dataset_and_holds_every_row() {
    let folder = temporary_folder();
    let out = folder.path().join("labels");
    let page = page_of(&samples(), &out);
    assert_eq!(page, out.join("_labelmill/report/index.html"));
    let summary = data(&page, "summary.js");
    assert_eq!(summary["demo"], false);
    let paths = &data(&page, "table-0.js")["path"];
    let details = data(&page, "detail-0.js");
    assert_eq!(
        Some(paths.as_array().expect("paths").len() as u64),
        summary["rows"].as_u64()
    );
    for (path, detail) in paths
        .as_array()
        .expect("paths")
        .iter()
        .zip(details.as_array().expect("details"))
    {
        let (path, uri) = (path.as_str().expect("a path"), detail["uri"].as_str().expect("a uri"));
        assert!(uri.ends_with(path), "{uri} does not end in {path}");
    }
    let index = std::fs::read_to_string(&page).expect("the page");
    let beside = page.parent().expect("a folder");
    for script in index.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(beside.join(script).is_file(), "{script} is not there");
    }
    assert!(!index.contains("://"), "the page names an address");
    labelmill(&["verify", arg(&out)]).must_succeed().must_say("no problems");
}

#[test]
fn a_page_is_replaced_as_a_whole_and_a_broken_one_left_by_a_crash_is_cleared() {
    let folder = temporary_folder();
    let (pictures, out) = (folder.path().join("pictures"), folder.path().join("labels"));
    copy_folder(&samples().join("art"), &pictures);
    let page = page_of(&pictures, &out);
    let leftover = out.join("_labelmill/report.tmp");
    std::fs::create_dir_all(leftover.join("data")).expect("made");
    std::fs::write(page.with_file_name("stale.js"), "old").expect("written");
    std::fs::remove_file(pictures.join("crab_1600x1067.jpg")).expect("removed");
    labelmill(&["report", arg(&out)])
        .must_succeed()
        .must_say("8 rows, 7 thumbnails");
    assert!(!leftover.exists(), "the temporary folder is left over");
    assert!(
        !page.with_file_name("stale.js").exists(),
        "a file of the page before is left over"
    );
}

#[test]
fn text_of_images_is_in_the_data_files_as_strings_alone() {
    let folder = temporary_folder();
    let (pictures, out) = (folder.path().join("pictures"), folder.path().join("labels"));
    std::fs::create_dir(&pictures).expect("made");
    let prompt = "</script><script>alert(1)</script><!-- & \u{2028} -->";
    std::fs::copy(samples().join("art/frog_60x40.png"), pictures.join("a<b>&.png")).expect("copied");
    let infotext = format!("{prompt}\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 18446744073709551615, Size: 8x8");
    std::fs::write(pictures.join("a<b>&.txt"), infotext).expect("written");
    let page = page_of(&pictures, &out);
    for entry in std::fs::read_dir(page.with_file_name("data")).expect("data") {
        let path = entry.expect("a directory entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(!text.contains(['<', '>', '&', '\u{2028}']), "{}", path.display());
    }
    let detail = &data(&page, "detail-0.js")[0];
    assert_eq!(detail["texts"][0], serde_json::json!(["Prompt", prompt]));
    assert!(
        detail["settings"].to_string().contains("\"18446744073709551615\""),
        "a seed of 64 bits is no number to JavaScript: {}",
        detail["settings"]
    );
}

#[test]
fn what_cannot_be_made_says_why() {
    let folder = temporary_folder();
    labelmill(&["report", arg(folder.path())])
        .must_exit(1)
        .must_say("no labeled images");
    labelmill(&["report", arg(folder.path()), "--thumbnails", "7"])
        .must_exit(2)
        .must_say("32 to 1024");
}
