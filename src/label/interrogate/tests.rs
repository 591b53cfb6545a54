//! The interrogator on the demo models: what holds for every mode.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float32Type;

use super::*;
use crate::label::BatchId;
use crate::model::testing::runtime;
use crate::model::{Device, ModelStore};

fn options() -> LabelerOptions {
    LabelerOptions {
        device: Device::Cpu,
        batch: 4,
        threads: 1,
        ..LabelerOptions::default()
    }
}

fn demo() -> Model {
    ModelStore::default().resolve("demo-clip").unwrap()
}

fn tables(names: &[&str]) -> Vec<TermTable> {
    let named = names.iter().map(|name| TermTable::named(name, Path::new("nowhere")));
    named.collect::<Result<_, _>>().unwrap()
}

/// Our own tables under the names of the classic ones.
fn classic_tables() -> Vec<TermTable> {
    let roles = [
        ("demo-styles", "mediums"),
        ("demo-moods", "artists"),
        ("demo-colours", "trendings"),
        ("demo-moods", "movements"),
        ("demo-subjects", "flavors"),
        ("demo-colours", "negative"),
    ];
    let renamed = roles.map(|(own, name)| TermTable {
        name: name.to_owned(),
        ..tables(&[own]).remove(0)
    });
    renamed.to_vec()
}

fn ready(interrogate: InterrogateOptions) -> Option<InterrogatorLabeler> {
    let (runtime, model) = (runtime()?, demo());
    let mut labeler =
        InterrogatorLabeler::open(&model, runtime, &options(), interrogate, None, &mut Towers::default()).unwrap();
    labeler.make_ready(&model, runtime, &options(), &Unwatched).unwrap();
    Some(labeler)
}

/// Squares of one colour with a lighter stripe.
fn squares(count: usize) -> Vec<Vec<u8>> {
    let pixel = |picture: usize, at: usize| {
        let colour = [
            (picture * 53 % 256) as u8,
            (picture * 97 % 256) as u8,
            (picture * 191 % 256) as u8,
        ];
        if at / 64 % 16 < 4 { [240; 3] } else { colour }
    };
    (0..count)
        .map(|picture| (0..64 * 64).flat_map(|at| pixel(picture, at)).collect())
        .collect()
}

fn prompts(labels: &Labels) -> Vec<Option<String>> {
    let texts = labels.columns[0].as_string::<i32>();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

#[test]
fn every_mode_says_the_same_of_a_picture_alone_and_among_others() {
    let squares = squares(6);
    let all: Vec<Option<&[u8]>> = squares.iter().map(|square| Some(square.as_slice())).collect();
    for mode in Mode::ALL.into_iter().filter(|mode| *mode != Mode::Caption) {
        let interrogate = InterrogateOptions {
            mode,
            tables: classic_tables(),
            max_terms: 6,
            min_terms: 2,
            ..InterrogateOptions::default()
        };
        let Some(mut labeler) = ready(interrogate) else { return };
        let together = labeler.label(&Pictures::of(&all)).unwrap();
        for (row, square) in all.iter().enumerate() {
            let alone = labeler.label(&Pictures::of(&[*square])).unwrap();
            for (alone, together) in alone.columns.iter().zip(&together.columns) {
                assert_eq!(
                    alone.as_ref(),
                    together.slice(row, 1).as_ref(),
                    "{} row {row}",
                    mode.as_str()
                );
            }
        }
        let said = prompts(&together);
        {
            assert!(
                said.iter().flatten().any(|prompt| *prompt != said[0].clone().unwrap()),
                "{said:?}"
            );
        }
    }
}

#[test]
fn terms_fall_by_score_and_name_their_tables() {
    let interrogate = InterrogateOptions {
        tables: tables(&["demo-subjects", "demo-colours"]),
        terms_per_table: 3,
        ..InterrogateOptions::default()
    };
    let Some(mut labeler) = ready(interrogate) else { return };
    let squares = squares(2);
    let labels = labeler
        .label(&Pictures::of(&[Some(&squares[0]), None, Some(&squares[1])]))
        .unwrap();
    for (column, field) in labels.columns.iter().zip(labeler.fields()) {
        assert_eq!(column.data_type(), field.data_type(), "{field}");
        assert!(column.is_null(1) && column.is_valid(0) && column.is_valid(2));
    }
    let lists: Vec<_> = labels.columns[1..]
        .iter()
        .map(|column| column.as_list::<i32>().value(2))
        .collect();
    let scores = lists[2].as_primitive::<Float32Type>().values();
    assert!(
        scores.len() == 6 && scores.is_sorted_by(|left, right| left >= right),
        "{scores:?}"
    );
    let tables: Vec<&str> = lists[1].as_string::<i32>().iter().flatten().collect();
    assert_eq!(tables.iter().filter(|table| **table == "demo-colours").count(), 3);
    assert_eq!(lists[0].len(), 6);
}

#[test]
fn only_pictures_without_a_prompt_are_asked_about_where_that_is_the_plan() {
    let squares = squares(2);
    let pictures = || {
        let squares = squares.iter().map(|square| Some(square.as_slice())).collect();
        Pictures::new(BatchId::next(), vec![squares], vec![true, false])
    };
    for (scope, wanted) in [(Scope::Missing, [true, false]), (Scope::All, [false, false])] {
        let interrogate = InterrogateOptions {
            scope,
            tables: tables(&["demo-subjects"]),
            ..InterrogateOptions::default()
        };
        let Some(mut labeler) = ready(interrogate) else { return };
        let labels = labeler.label(&pictures()).unwrap();
        assert_eq!([labels.columns[0].is_null(0), labels.columns[0].is_null(1)], wanted);
    }
}

#[test]
fn fingerprints_change_with_tables_and_modes_and_not_with_batches() {
    let Some(runtime) = runtime() else { return };
    let print = |labeler: &LabelerOptions, interrogate: InterrogateOptions| {
        let opened =
            InterrogatorLabeler::open(&demo(), runtime, labeler, interrogate, None, &mut Towers::default()).unwrap();
        opened.fingerprint().to_owned()
    };
    let plain = || InterrogateOptions {
        tables: tables(&["demo-subjects"]),
        ..InterrogateOptions::default()
    };
    let first = print(&options(), plain());
    assert!(first.starts_with("interrogate:1:"), "{first}");
    let other_batch = LabelerOptions { batch: 9, ..options() };
    assert_eq!(first, print(&other_batch, plain()));
    let changes: [fn(&mut InterrogateOptions); 4] = [
        |options| options.mode = Mode::Webui,
        |options| options.tables[0].terms.truncate(20),
        |options| options.max_terms = 7,
        |options| options.scope = Scope::All,
    ];
    for change in changes {
        let mut changed = plain();
        change(&mut changed);
        assert_ne!(first, print(&options(), changed));
    }
}

#[test]
fn what_a_mode_lacks_is_said_at_once() {
    let Some(runtime) = runtime() else { return };
    let refused = |interrogate: InterrogateOptions| {
        let opened = InterrogatorLabeler::open(&demo(), runtime, &options(), interrogate, None, &mut Towers::default());
        opened.err().unwrap().to_string()
    };
    let classic = InterrogateOptions {
        mode: Mode::Classic,
        tables: tables(&["demo-subjects"]),
        ..InterrogateOptions::default()
    };
    assert!(refused(classic).contains("mediums, artists"));
    assert!(refused(InterrogateOptions::default()).contains("needs a term table"));
    let twice = InterrogateOptions {
        tables: tables(&["demo-subjects", "demo-subjects"]),
        ..InterrogateOptions::default()
    };
    assert!(refused(twice).contains("two term tables"));
}

#[test]
fn a_tower_in_steps_says_what_the_whole_tower_says() {
    let Some(runtime) = runtime() else { return };
    let in_steps = crate::model::testing::model("tiny-chain-clip");
    assert!(in_steps.manifest.text.as_ref().is_some_and(|text| text.chain.is_some()));
    let mut whole = in_steps.clone();
    whole.manifest.text.as_mut().unwrap().chain = None;
    let squares: Vec<Vec<u8>> = (0..3_u8)
        .map(|picture| {
            (0..32 * 32 * 3)
                .map(|at| (at * (7 + usize::from(picture)) % 251) as u8)
                .collect()
        })
        .collect();
    let pictures: Vec<Option<&[u8]>> = squares.iter().map(|square| Some(square.as_slice())).collect();
    for mode in [Mode::Best, Mode::Negative] {
        let said = [&in_steps, &whole].map(|model| {
            let interrogate = InterrogateOptions {
                mode,
                tables: classic_tables(),
                // More than the context of 77 takes, so that chains end at a full prompt.
                max_terms: 40,
                min_terms: 40,
                ..InterrogateOptions::default()
            };
            let towers = &mut Towers::default();
            let mut labeler = InterrogatorLabeler::open(model, runtime, &options(), interrogate, None, towers).unwrap();
            labeler.make_ready(model, runtime, &options(), &Unwatched).unwrap();
            let together = prompts(&labeler.label(&Pictures::of(&pictures)).unwrap());
            let alone = pictures
                .iter()
                .map(|picture| labeler.label(&Pictures::of(&[*picture])).unwrap());
            let alone: Vec<Option<String>> = alone.flat_map(|labels| prompts(&labels)).collect();
            assert_eq!(together, alone, "{}", mode.as_str());
            together
        });
        assert_eq!(said[0], said[1], "{}", mode.as_str());
        assert!(
            said[0].iter().flatten().any(|prompt| prompt.split(", ").count() > 1),
            "{said:?}"
        );
    }
}
