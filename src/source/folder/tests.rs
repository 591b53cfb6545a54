//! Walks over folders made for it: order, names, what is taken and what is left.

use super::*;

fn touch(folder: &Path, names: &[&str]) {
    for name in names {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("folder");
        std::fs::write(path, b"x").expect("file");
    }
}

fn walk(folder: &Path, options: FolderOptions) -> (Vec<String>, WalkReport) {
    let root = Root {
        name: "r".into(),
        folder: folder.to_path_buf(),
        single_file: None,
    };
    let source = FolderSource::new(vec![root], options).expect("globs");
    let mut walk = source.walk();
    let paths = walk.by_ref().map(|image| image.id.path).collect();
    (paths, walk.report())
}

#[test]
fn images_come_in_a_stable_order_without_bookkeeping_and_hidden_files() {
    let dir = tempfile::tempdir().expect("tempdir");
    touch(
        dir.path(),
        &[
            "b.png",
            "a/2.JPG",
            "a/10.jpg",
            "@eaDir/b.png",
            ".hid/x.png",
            ".h.png",
            "n.txt",
            "out/q.png",
        ],
    );
    let options = FolderOptions {
        skip_folders: vec![dir.path().join("out")],
        ..FolderOptions::default()
    };
    let (paths, report) = walk(dir.path(), options);
    assert_eq!(paths, ["a/10.jpg", "a/2.JPG", "b.png"]);
    assert_eq!((report.found, report.complete_roots.len()), (3, 1));
    let (paths, _) = walk(
        dir.path(),
        FolderOptions {
            hidden: true,
            ..FolderOptions::default()
        },
    );
    assert_eq!(
        paths,
        [".h.png", ".hid/x.png", "a/10.jpg", "a/2.JPG", "b.png", "out/q.png"]
    );
}

#[test]
fn an_image_that_the_walk_should_have_met_is_there() {
    let dir = tempfile::tempdir().expect("tempdir");
    let names = [
        "a/1.png",
        "a/2.txt",
        "b/3.png",
        ".hid/4.png",
        "@eaDir/5.png",
        "out/6.png",
    ];
    touch(dir.path(), &names);
    std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("link")).expect("link");
    let root = Root {
        name: "r".into(),
        folder: dir.path().to_path_buf(),
        single_file: None,
    };
    let options = FolderOptions {
        exclude: vec!["b/**".into()],
        skip_folders: vec![dir.path().join("out")],
        ..FolderOptions::default()
    };
    let source = FolderSource::new(vec![root], options).expect("globs");
    let there: Vec<&str> = names
        .into_iter()
        .chain(["a/7.png", "link/1.png"])
        .filter(|path| source.has("r", path))
        .collect();
    assert_eq!(there, ["a/1.png"]);
    assert!(!source.has("other", "a/1.png"));
}

#[test]
fn globs_choose_and_leave_out() {
    let dir = tempfile::tempdir().expect("tempdir");
    touch(dir.path(), &["a/1.png", "b/1.png", "b/2.png"]);
    let options = FolderOptions {
        include: vec!["b/**".into()],
        exclude: vec!["**/2.png".into()],
        ..FolderOptions::default()
    };
    assert_eq!(walk(dir.path(), options).0, ["b/1.png"]);
}

#[test]
fn links_are_followed_only_when_asked_and_loops_are_noticed() {
    let dir = tempfile::tempdir().expect("tempdir");
    touch(dir.path(), &["a/1.png"]);
    std::os::unix::fs::symlink(dir.path(), dir.path().join("a/loop")).expect("link");
    std::os::unix::fs::symlink(dir.path().join("a/1.png"), dir.path().join("a/2.png")).expect("link");
    let (paths, report) = walk(dir.path(), FolderOptions::default());
    assert_eq!((paths, report.links_passed_over), (vec!["a/1.png".to_owned()], 2));
    let (paths, report) = walk(
        dir.path(),
        FolderOptions {
            follow_links: true,
            ..FolderOptions::default()
        },
    );
    assert_eq!(paths, ["a/1.png", "a/2.png"]);
    assert_eq!((report.loops, report.complete_roots.len()), (1, 1), "{report:?}");
}

#[test]
fn a_missing_root_is_an_error_and_not_complete() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (paths, report) = walk(&dir.path().join("missing"), FolderOptions::default());
    assert!(paths.is_empty() && report.complete_roots.is_empty() && !report.errors.is_empty());
}

#[test]
fn names_that_are_not_utf8_stay_apart() {
    use std::os::unix::ffi::OsStrExt;
    let name = |bytes: &[u8]| path_text(Path::new(std::ffi::OsStr::from_bytes(bytes)));
    assert_eq!(name(b"a\xff.png"), "a\\xFF.png");
    assert_ne!(name(b"a\xff.png"), name(b"a\xfe.png"));
    assert_ne!(name(b"a\xff.png"), name(b"a\\xFF.png"));
    for bytes in [
        &b"a\xff\xfe.png"[..],
        b"a\\xFF.png",
        b"plain.png",
        b"a\\x",
        "\u{e4}\\xZZ".as_bytes(),
    ] {
        assert_eq!(path_of_text(&name(bytes)).as_os_str().as_bytes(), bytes);
    }
}

#[test]
fn roots_are_named_as_typed_or_by_name() {
    let dir = tempfile::tempdir().expect("tempdir");
    touch(dir.path(), &["x/1.png"]);
    let typed = format!("{}/x/", dir.path().display());
    let root = Root::parse(&typed).expect("root");
    assert_eq!(&*root.name, typed.trim_end_matches('/'));
    let root = Root::parse(&format!("photos={}/y/../x", dir.path().display())).expect("root");
    assert_eq!((&*root.name, root.folder), ("photos", dir.path().join("x")));
    let root = Root::parse(&format!("{}/x/1.png", dir.path().display())).expect("root");
    assert!(root.single_file.is_some());
    assert_eq!(root.folder, dir.path().join("x"));
}

#[test]
fn an_unseen_file_says_its_size_when_it_is_opened() {
    let dir = tempfile::tempdir().expect("tempdir");
    touch(dir.path(), &["a.png", "b.png"]);
    let root = Root::parse(&dir.path().to_string_lossy()).expect("a folder");
    let options = FolderOptions {
        unseen: true,
        ..FolderOptions::default()
    };
    let source = FolderSource::new(vec![root], options).expect("no globs");
    let images: Vec<SourceImage> = source.walk().collect();
    // Between the walk and the opening one grows and one goes.
    std::fs::write(dir.path().join("a.png"), b"longer").expect("written");
    std::fs::remove_file(dir.path().join("b.png")).expect("removed");
    let opened: Vec<_> = images.iter().map(|image| image.open.open()).collect();
    assert!(images.iter().all(|image| image.id.stat == FileStat::UNSEEN));
    let mut sizes = opened.into_iter().map(|opened| opened.ok()?.length().ok());
    assert_eq!((sizes.next(), sizes.next()), (Some(Some(6)), Some(None)));
}
