//! Edits against everything that happens to a dataset: none is ever lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::dataset::testing::{Files, TestImage, append, run};
use crate::export::memory::Target;
use crate::export::tag_text::TagRules;
use crate::export::template::Template;
use crate::export::{Edited, Existing, ExportReport, Overwrite, Pictures, Selection, Writer, captions};
use crate::record::Recovered;
use crate::write::{
    BOOKKEEPING_DIR, Interpreter, Making, PromptPolicy, RealFs, ReinterpretMode, WriteOptions, compact, reinterpret,
};

/// A dataset, its pictures and a folder of captions.
struct World {
    folder: tempfile::TempDir,
    files: Files,
    fingerprint: u32,
    reparses: u32,
}

impl World {
    fn new(count: usize) -> Self {
        let files = (0..count).map(|number| (image(number), 1)).collect();
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            files,
            fingerprint: 1,
            reparses: 0,
        };
        world.run();
        world
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn captions(&self) -> PathBuf {
        self.folder.path().join("captions")
    }

    fn run(&self) {
        let pictures = self.folder.path().join("pictures");
        run(&self.out(), &pictures, &self.files, &format!("t{}", self.fingerprint));
    }

    /// Interprets every row anew, as a prompt that none had before; gives how many rows changed.
    fn reparse(&mut self) -> u64 {
        self.reparses += 1;
        let prompt = format!("interpretation {}", self.reparses);
        let interpreter = Interpreter {
            making: &|fingerprint| {
                Ok(Some(Making {
                    fingerprint: fingerprint.to_owned(),
                    prompts: PromptPolicy::default(),
                }))
            },
            interpret: &|_| Recovered {
                prompt: Some(prompt.clone()),
                ..Recovered::default()
            },
        };
        let options = WriteOptions::default();
        let report = reinterpret(
            &self.out(),
            interpreter,
            ReinterpretMode::Write,
            &options,
            Arc::new(RealFs),
        );
        report.unwrap().rows_changed
    }

    fn file(&self, path: &str) -> PathBuf {
        self.captions().join(path).with_extension("txt")
    }

    fn export(&self, template: &str, overwrite: Overwrite) -> ExportReport {
        let dataset = DatasetReader::open(&self.out()).unwrap();
        let selection = Selection::default();
        let pictures = Pictures::new(
            &dataset,
            Template::parse(template).unwrap(),
            TagRules::default(),
            Edited::Preferred,
            &selection,
            false,
        )
        .unwrap();
        let target = Target {
            kind: "captions".into(),
            to: Some(self.captions()),
            extension: ".txt".into(),
            template: template.into(),
            separator: ", ".into(),
        };
        let memory = Memory::open(&self.out().join(BOOKKEEPING_DIR), target).unwrap();
        let writer = Writer::new(memory, overwrite, ExportReport::default()).with_existing(Existing::Replace);
        let places = Places::new(&dataset, Some(self.captions())).unwrap();
        captions::captions(&pictures, &places, &selection, writer).unwrap()
    }

    fn import(&self, on_conflict: OnConflict) -> ImportReport {
        let editor = Editor::open(&self.out(), Arc::new(RealFs)).unwrap();
        let options = ImportOptions {
            folder: self.captions(),
            on_conflict,
            unknown: None,
            dry_run: false,
        };
        import(&editor, &options).unwrap()
    }

    fn edit(&self, path: &str, text: &str) {
        fs::write(self.file(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.file(path)).unwrap()
    }
}

fn image(number: usize) -> TestImage {
    TestImage {
        prompt: Some(format!("prompt {number}")),
        ..TestImage::tagged(&format!("{number}.png"), &[("red_hair", 0.9), ("solo", 0.8)])
    }
}

#[test]
fn an_edited_caption_comes_back_and_is_what_exports_write() {
    let world = World::new(3);
    world.export("{tags}", Overwrite::Own);
    world.edit("1.png", "red hair, (garden:1.2), my_tag\r\n");
    let report = world.import(OnConflict::List);
    assert_eq!((report.taken, report.untouched, report.conflicts.len()), (1, 2, 0));
    let again = world.import(OnConflict::List);
    assert_eq!((again.taken, again.untouched), (0, 3), "taken over once");
    fs::remove_dir_all(world.captions()).unwrap();
    assert_eq!(world.export("{tags}", Overwrite::Own).written, 3);
    assert_eq!(world.read("1.png"), "red hair, (garden:1.2), my_tag");
    world.export("{prompt}", Overwrite::Own);
    assert_eq!(world.read("1.png"), "prompt 1", "edited tags are no prompt");
    world.edit("1.png", "a better prompt, of mine");
    world.edit("2.png", "");
    assert_eq!(world.import(OnConflict::List).taken, 2);
    world.export("{tags}", Overwrite::Own);
    assert_eq!(
        world.read("1.png"),
        "red hair, (garden:1.2), my_tag",
        "both edits are kept"
    );
    world.export("{prompt}", Overwrite::Own);
    assert_eq!(world.read("1.png"), "a better prompt, of mine");
    assert_eq!(world.read("2.png"), "", "an emptied file is an edit");
}

#[test]
fn contradictions_are_listed_and_left_alone_unless_the_file_is_to_count() {
    let mut world = World::new(4);
    world.export("{tags}", Overwrite::Own);
    world.edit("0.png", "zero");
    world.import(OnConflict::List);
    // Another edit of the same picture from an older copy of the folder.
    world.export("{tags}", Overwrite::Own);
    let copy: BTreeMap<&str, String> = [("0.png", "other"), ("1.png", "one"), ("2.png", "two")]
        .map(|(path, text)| (path, text.to_owned()))
        .into();
    for (path, text) in &copy {
        world.edit(path, text);
    }
    let mut edits = Edits::default();
    edits.insert(
        "pictures",
        "0.png",
        Edit {
            prompt: None,
            tags: Some(vec!["elsewhere".into()]),
        },
    );
    Editor::open(&world.out(), Arc::new(RealFs))
        .unwrap()
        .write(&edits)
        .unwrap();
    world.files[1].1 = 2;
    world.files.remove(2);
    world.run();
    let report = world.import(OnConflict::List);
    let why = |path: &str| {
        let found = report.conflicts.iter().find(|(file, _)| *file == world.file(path));
        found.map(|(_, why)| *why)
    };
    assert_eq!(report.taken, 0);
    assert_eq!(why("0.png"), Some(Why::BothEdited));
    assert_eq!(why("1.png"), Some(Why::ImageChanged));
    assert_eq!(why("2.png"), Some(Why::Gone));
    assert_eq!(
        world.export("{tags}", Overwrite::Own).passed_over["edited by hand and kept"],
        2
    );
    assert_eq!(world.read("1.png"), "one");
    assert_eq!(world.import(OnConflict::TakeFile).taken, 2);
    world.export("{tags}", Overwrite::Edited);
    assert_eq!(
        (world.read("0.png"), world.read("1.png")),
        ("other".into(), "one".into())
    );
}

#[test]
fn files_that_no_export_wrote_are_read_only_when_asked_for() {
    let world = World::new(2);
    fs::create_dir_all(world.captions()).unwrap();
    world.edit("0.png", "by hand, of mine");
    let editor = Editor::open(&world.out(), Arc::new(RealFs)).unwrap();
    let mut options = ImportOptions {
        folder: world.captions(),
        on_conflict: OnConflict::List,
        unknown: None,
        dry_run: true,
    };
    assert!(
        import(&editor, &options)
            .unwrap_err()
            .to_string()
            .contains("--as prompt")
    );
    options.unknown = Some(Unknown {
        holds: Holds::Tags,
        extension: ".txt".into(),
        separator: ", ".into(),
    });
    assert_eq!(import(&editor, &options).unwrap().taken, 1);
    options.dry_run = false;
    import(&editor, &options).unwrap();
    drop(editor);
    assert_eq!(world.export("{tags}", Overwrite::Own).unchanged, 1);
}

#[test]
fn a_dataset_of_an_older_labelmill_gets_the_column_and_other_rows_stay() {
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<TestImage> = (0..6).map(image).collect();
    append(folder.path(), "/pictures".as_ref(), &images);
    let mut edits = Edits::default();
    let edit = Edit {
        prompt: Some("mine".into()),
        tags: Some(Vec::new()),
    };
    edits.insert("pictures", "5.png", edit);
    let report = Editor::open(folder.path(), Arc::new(RealFs))
        .unwrap()
        .write(&edits)
        .unwrap();
    assert_eq!(
        (report.rows, report.parts_rewritten),
        (1, 1),
        "only its part is written anew"
    );
    let dataset = DatasetReader::open(folder.path()).unwrap();
    let mut seen = Vec::new();
    for rows in dataset.all_rows().unwrap() {
        let rows = rows.unwrap();
        let (prompts, tags) = (rows.text(EDITED_PROMPT).unwrap(), rows.texts(EDITED_TAGS).unwrap());
        seen.extend((0..rows.len()).map(|row| (prompts.get(row).is_some(), tags.is_null(row))));
    }
    assert_eq!(seen[..5], [(false, true); 5]);
    assert_eq!(seen[5], (true, false), "no tags is another thing than no edit");
}

/// What can happen to a dataset between two looks at it.
#[derive(Debug, Clone)]
enum Event {
    /// A person writes a caption file and it is imported.
    Edit { image: usize, template: bool, text: String },
    /// The picture file changes.
    Change { image: usize },
    /// The picture file gets another name.
    Move { image: usize },
    /// A new picture comes.
    Add,
    /// The models change, so that every label is made anew.
    Relabel,
    /// Nothing is new.
    Rerun,
    /// Small parts are merged.
    Compact,
    /// The metadata columns are made anew by another interpreter.
    Reparse,
}

fn event() -> impl Strategy<Value = Event> {
    let image = 0..6_usize;
    prop_oneof![
        4 => (image.clone(), any::<bool>(), "[a-z_(){}\\\\:. é,-]{0,12}").prop_map(|(image, template, text)| Event::Edit { image, template, text }),
        2 => image.clone().prop_map(|image| Event::Change { image }),
        2 => image.prop_map(|image| Event::Move { image }),
        1 => Just(Event::Add),
        2 => Just(Event::Relabel),
        1 => Just(Event::Rerun),
        1 => Just(Event::Compact),
        1 => Just(Event::Reparse),
    ]
}

const TEMPLATES: [&str; 2] = ["{tags}", "{prompt}"];

/// What a caption file with `text` says: exports leave a file alone that differs only in blanks at
/// its end.
fn kept(text: &str, template: usize) -> String {
    match template {
        0 => split_tags(&plain_text(text), ", ").join(", "),
        _ => plain_text(text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_is_ever_lost(events in prop::collection::vec(event(), 1..10)) {
        let mut world = World::new(6);
        // The text of each edited picture, by the content of its file and the kind of template.
        let mut expected: BTreeMap<(String, usize), String> = BTreeMap::new();
        let mut names = 6;
        for event in events {
            let is_reparse = matches!(event, Event::Reparse);
            match event {
                Event::Edit { image, template, text } => {
                    let template = usize::from(template);
                    world.export(TEMPLATES[template], Overwrite::Edited);
                    let image = &world.files[image].0;
                    let before = world.read(&image.path);
                    world.edit(&image.path, &text);
                    let report = world.import(OnConflict::List);
                    prop_assert_eq!(&report.conflicts, &Vec::new());
                    if plain_text(&before) != plain_text(&text) {
                        prop_assert_eq!(report.taken + report.known, 1);
                        expected.insert((image.content.clone(), template), kept(&text, template));
                    }
                }
                Event::Change { image } => world.files[image].1 += 1,
                Event::Move { image } => {
                    world.files[image].0.path = format!("moved/{names}.png");
                    names += 1;
                }
                Event::Add => {
                    world.files.push((TestImage { content: format!("new {names}"), ..self::image(names) }, 1));
                    names += 1;
                }
                Event::Relabel => world.fingerprint += 1,
                Event::Rerun => {}
                Event::Reparse => prop_assert!(world.reparse() > 0),
                Event::Compact => {
                    compact(&world.out(), &WriteOptions { part_rows: 100, ..WriteOptions::default() }, Arc::new(RealFs)).unwrap();
                }
            }
            if !is_reparse {
                world.run();
            }
            for (template, text) in TEMPLATES.iter().enumerate() {
                world.export(text, Overwrite::Edited);
                for (image, _) in &world.files {
                    if let Some(expected) = expected.get(&(image.content.clone(), template)) {
                        let said = kept(&world.read(&image.path), template);
                        prop_assert_eq!(&said, expected, "{} as {}", &image.path, text);
                    }
                }
            }
        }
    }
}
