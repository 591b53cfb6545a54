//! Builds that end early, wherever that may be: nothing finished is done twice, and no cache
//! appears that is not whole.

use std::cell::Cell;

use super::*;

const WIDTH: usize = 4;

/// Embeds a text by its length and its first letter; fails at the text of a given number.
struct Counting {
    embedded: usize,
    fails_at: usize,
}

impl EmbedTexts for Counting {
    fn length(&self, text: &str) -> Result<usize, LabelError> {
        Ok(text.len())
    }

    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, LabelError> {
        if self.embedded + texts.len() > self.fails_at {
            return Err(LabelError::Option {
                model: "counting".into(),
                message: "it broke".into(),
            });
        }
        self.embedded += texts.len();
        Ok(texts.iter().map(|text| row_of(text)).collect())
    }
}

fn row_of(text: &str) -> Vec<f32> {
    let mut row = vec![
        text.len() as f32,
        f32::from(text.as_bytes()[0]),
        text.bytes().map(f32::from).sum(),
        1.0,
    ];
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in &mut row {
        *value /= length;
    }
    row
}

fn table() -> TermTable {
    let terms = (0..2500)
        .map(|index: usize| format!("{}{}", "x".repeat(index * 7 % 13), index))
        .collect();
    TermTable {
        name: "numbers".into(),
        terms,
    }
}

fn key(table: &TermTable) -> CacheKey {
    CacheKey {
        table_hash: table.hash(),
        terms: table.terms.len(),
        width: WIDTH,
        tower: "tower".into(),
    }
}

fn wanted(table: &TermTable) -> Vec<f16> {
    table
        .terms
        .iter()
        .flat_map(|term| row_of(term))
        .map(f16::from_f32)
        .collect()
}

fn sound() -> Counting {
    Counting {
        embedded: 0,
        fails_at: usize::MAX,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what `embeddings` takes")]
fn place(folder: &Path) -> Option<CachePlace<'_>> {
    Some(CachePlace { folder, model: "A/b" })
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Ends the build at the call of a given number.
struct EndsAt(Cell<usize>);

impl Watch for EndsAt {
    fn advanced(&self, _table: &str, _done: usize, _total: usize) -> ControlFlow<()> {
        match self.0.get() {
            0 => ControlFlow::Break(()),
            left => {
                self.0.set(left - 1);
                ControlFlow::Continue(())
            }
        }
    }
}

#[test]
fn a_build_is_kept_and_not_made_twice() {
    let (folder, table) = (tempfile::tempdir().unwrap(), table());
    let mut tower = sound();
    let rows = embeddings(&table, &key(&table), place(folder.path()), &mut tower, &Unwatched).unwrap();
    assert_eq!((rows, tower.embedded), (wanted(&table), 2500));
    assert_eq!(files(folder.path()), ["A_b_numbers.safetensors"]);
    let again = embeddings(&table, &key(&table), place(folder.path()), &mut tower, &Unwatched).unwrap();
    assert_eq!((again, tower.embedded), (wanted(&table), 2500));
    assert_eq!(
        embeddings(&table, &key(&table), None, &mut sound(), &Unwatched).unwrap(),
        wanted(&table)
    );
}

#[test]
fn a_model_that_fails_loses_nothing_finished() {
    for fails_at in [0, 1, 511, 512, 1024, 1600, 2499] {
        let (folder, table) = (tempfile::tempdir().unwrap(), table());
        let mut tower = Counting { embedded: 0, fails_at };
        embeddings(&table, &key(&table), place(folder.path()), &mut tower, &Unwatched).unwrap_err();
        assert_eq!(files(folder.path()), [".A_b_numbers.safetensors.building"]);
        let finished = tower.embedded;
        assert_eq!(finished, fails_at / PIECE_TERMS * PIECE_TERMS);
        let mut tower = sound();
        let rows = embeddings(&table, &key(&table), place(folder.path()), &mut tower, &Unwatched).unwrap();
        assert_eq!((rows, tower.embedded), (wanted(&table), 2500 - finished));
        assert_eq!(files(folder.path()), ["A_b_numbers.safetensors"]);
    }
}

#[test]
fn an_interrupted_build_says_so_and_goes_on_later() {
    let (folder, table) = (tempfile::tempdir().unwrap(), table());
    let mut tower = sound();
    let ends = EndsAt(Cell::new(3));
    let error = embeddings(&table, &key(&table), place(folder.path()), &mut tower, &ends).unwrap_err();
    assert!(matches!(error, LabelError::Ended(_)), "{error}");
    assert_eq!(tower.embedded, 3 * PIECE_TERMS);
    let rows = embeddings(&table, &key(&table), place(folder.path()), &mut tower, &Unwatched).unwrap();
    assert_eq!((rows, tower.embedded), (wanted(&table), 2500));
}

#[test]
fn a_journal_that_is_torn_or_changed_anywhere_never_gives_other_rows() {
    let (folder, table) = (tempfile::tempdir().unwrap(), table());
    let mut tower = Counting {
        embedded: 0,
        fails_at: 1600,
    };
    embeddings(&table, &key(&table), place(folder.path()), &mut tower, &Unwatched).unwrap_err();
    let journal = folder.path().join(".A_b_numbers.safetensors.building");
    let whole = std::fs::read(&journal).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 61) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x40;
        for damaged in [whole[..at].to_vec(), flipped, [&whole[..], &[7; 5]].concat()] {
            std::fs::write(&journal, damaged).unwrap();
            let rows = embeddings(&table, &key(&table), place(folder.path()), &mut sound(), &Unwatched).unwrap();
            assert_eq!(rows, wanted(&table), "damaged at {at}");
            std::fs::remove_file(folder.path().join("A_b_numbers.safetensors")).unwrap();
        }
    }
}

#[test]
fn a_public_cache_is_taken_where_it_is_of_this_model() {
    let (folder, table) = (tempfile::tempdir().unwrap(), table());
    let path = folder.path().join("A_b_numbers.safetensors");
    let publish = |rows: &[f16]| {
        cache::write(&path, &key(&table), rows).unwrap();
        // As the package writes it: without a word on who made it.
        let bytes = std::fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
        let blank = header.replace("text_tower", "elsewhere!");
        std::fs::write(&path, [&bytes[..8], blank.as_bytes(), &bytes[8 + length..]].concat()).unwrap();
    };
    publish(&wanted(&table));
    let mut tower = sound();
    let rows = embeddings(&table, &key(&table), place(folder.path()), &mut tower, &Unwatched).unwrap();
    assert_eq!((rows, tower.embedded), (wanted(&table), COMPARED_TERMS));
    // Unit vectors of another model.
    let other: Vec<f16> = (0..2500 * WIDTH)
        .map(|index| f16::from_f32((index % WIDTH / (WIDTH - 1)) as f32))
        .collect();
    publish(&other);
    let rows = embeddings(&table, &key(&table), place(folder.path()), &mut sound(), &Unwatched).unwrap();
    assert_eq!(rows, wanted(&table));
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_the_cache() {
    let (folder, table) = (tempfile::tempdir().unwrap(), table());
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let rows = embeddings(&table, &key(&table), place(&file.join("in")), &mut sound(), &Unwatched).unwrap();
    assert_eq!(rows, wanted(&table));
}
