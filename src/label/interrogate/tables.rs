//! Term tables: lists of words that a picture is compared with. clip-interrogator's own come from
//! the data folder of its package, a user's from text files, a small one of ours is compiled in.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::model::store::hex;

/// A list of terms under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermTable {
    /// The name users say, which is also that of its cache.
    pub name: String,
    /// The terms, in the table's order.
    pub terms: Vec<String>,
}

/// Why a table cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its file cannot be read.
    #[error("the term table `{name}` cannot be read from {}{hint}", path.display())]
    Read {
        /// The table.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// It has nothing in it.
    #[error("the term table `{name}` holds no terms")]
    Empty {
        /// The table.
        name: String,
    },
    /// Nobody knows it.
    #[error("no term table is called `{name}` (known: {known}); `[[interrogate.table]]` with `file` adds one")]
    Unknown {
        /// As it was written.
        name: String,
        /// Those that there are.
        known: String,
    },
}

/// Largest table file that is read, in bytes; flavors.txt has 1.8 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// clip-interrogator's tables, in the order in which it merges them; the last one serves negative
/// prompts alone.
pub const PEER_TABLES: [&str; 6] = ["artists", "flavors", "mediums", "movements", "trendings", "negative"];

/// Our own tables, compiled in.
const OWN_TABLES: [(&str, &str); 4] = [
    ("demo-subjects", include_str!("own/subjects.txt")),
    ("demo-styles", include_str!("own/styles.txt")),
    ("demo-colours", include_str!("own/colours.txt")),
    ("demo-moods", include_str!("own/moods.txt")),
];

/// The sites whose trends clip-interrogator 0.6.0 knows, as its published wheel spells them.
const SITES: [&str; 18] = [
    "Artstation",
    "behance",
    "cg society",
    "cgsociety",
    "deviantart",
    "dribble",
    "flickr",
    "instagram",
    "pexels",
    "pinterest",
    "pixabay",
    "pixiv",
    "polycount",
    "reddit",
    "shutterstock",
    "tumblr",
    "unsplash",
    "zbrush central",
];

impl TermTable {
    /// One of clip-interrogator's tables from the `data` folder of its package, or one of ours.
    pub fn named(name: &str, peer_data: &Path) -> Result<Self, TableError> {
        if let Some((_, text)) = OWN_TABLES.iter().find(|(own, _)| *own == name) {
            return Self::new(name, user_lines(text));
        }
        let lines =
            || read_lines(name, &peer_data.join(format!("{name}.txt")), PEER_HINT).map(|text| peer_lines(&text));
        let terms = match name {
            "trendings" => trendings(&SITES),
            "artists" => artists(&lines()?),
            _ if PEER_TABLES.contains(&name) => lines()?,
            _ => {
                let known = PEER_TABLES.into_iter().chain(OWN_TABLES.map(|(own, _)| own));
                return Err(TableError::Unknown {
                    name: name.to_owned(),
                    known: known.collect::<Vec<_>>().join(", "),
                });
            }
        };
        Self::new(name, terms)
    }

    /// A table of the user's: a term a line; blank lines, repeated terms and lines that begin with
    /// `#` are passed over.
    pub fn from_file(name: &str, path: &Path) -> Result<Self, TableError> {
        Self::new(name, user_lines(&read_lines(name, path, "")?))
    }

    fn new(name: &str, terms: Vec<String>) -> Result<Self, TableError> {
        let name = name.to_owned();
        if terms.is_empty() {
            return Err(TableError::Empty { name });
        }
        Ok(Self { name, terms })
    }

    /// What caches of its embeddings are known by: the SHA-256 of its terms joined by commas, as
    /// clip-interrogator makes it.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                hasher.update(b",");
            }
            hasher.update(term.as_bytes());
        }
        hex(&hasher.finalize())
    }
}

const PEER_HINT: &str = "; `scripts/fetch-terms` gets clip-interrogator's tables";

fn read_lines(name: &str, path: &Path, hint: &'static str) -> Result<String, TableError> {
    let refuse = |source| TableError::Read {
        name: name.to_owned(),
        path: path.to_path_buf(),
        hint,
        source,
    };
    let size = std::fs::metadata(path).map_err(refuse)?.len();
    if size > MAX_FILE_BYTES {
        let message = format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(refuse(std::io::Error::other(message)));
    }
    let bytes = std::fs::read(path).map_err(refuse)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines as clip-interrogator reads them: stripped; blank and repeated ones stay, since the hash
/// and the rows of public caches count them.
fn peer_lines(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let whole = text.strip_suffix('\n').unwrap_or(&text);
    whole.split('\n').map(|line| strip(line).to_owned()).collect()
}

fn user_lines(text: &str) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let lines = text.trim_start_matches('\u{feff}').lines().map(strip);
    let terms = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    terms
        .filter(|line| seen.insert(line.to_lowercase()))
        .map(str::to_owned)
        .collect()
}

/// Without white space at both ends, which for Python includes the separators 0x1c to 0x1f.
fn strip(line: &str) -> &str {
    line.trim_matches(|letter: char| letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter))
}

fn artists(names: &[String]) -> Vec<String> {
    let by = names.iter().map(|name| format!("by {name}"));
    by.chain(names.iter().map(|name| format!("inspired by {name}")))
        .collect()
}

fn trendings(sites: &[&str]) -> Vec<String> {
    let plain = sites.iter().map(|site| (*site).to_owned());
    let on = |how: &'static str| sites.iter().map(move |site| format!("{how} on {site}"));
    let winner = sites.iter().map(|site| format!("{site} contest winner"));
    plain
        .chain(on("trending"))
        .chain(on("featured"))
        .chain(winner)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trendings_have_the_hash_of_both_spellings() {
        let hash = |sites: &[&str]| TermTable::new("trendings", trendings(sites)).unwrap().hash();
        assert!(hash(&SITES).starts_with("7e8797d7"));
        let corrected = SITES.map(|site| if site == "dribble" { "dribbble" } else { site });
        assert_eq!(
            hash(&corrected),
            "3aad0205a44297a34e91204252121fd399570eee5627a630f55956afa338ceac"
        );
    }

    #[test]
    fn the_packages_tables_have_the_hashes_of_its_public_caches() {
        let wanted = [
            (
                "artists",
                10_530,
                "d27dcd8c970debac6b1afcea9081ad0e933c687bf3f533de5c043c79113ffdae",
            ),
            (
                "flavors",
                100_970,
                "bb633ab8d979278bd66fa93c1c668a230f180e299723f4d602a206926d4f87ca",
            ),
            (
                "mediums",
                95,
                "7fff3ab0b0cf6b850156558b461aace10ffe8df724c9c69cda7960f8478bf74e",
            ),
            (
                "movements",
                200,
                "c1a02df83850cf77f19d60223fdd32cb01f3ce1d1e815528a3e7aed7087625a4",
            ),
            (
                "negative",
                41,
                "7a92a1eb0c25f06c9ceefec560b9ec68f778aadc5c4831afa98aa5b9eba6afa8",
            ),
        ];
        let folder = super::super::peer_data_folder();
        if !folder.join("flavors.txt").is_file() {
            println!("skipped: clip-interrogator's tables are not here (scripts/fetch-terms gets them)");
            return;
        }
        for (name, count, hash) in wanted {
            let table = TermTable::named(name, &folder).unwrap();
            assert_eq!((table.terms.len(), table.hash().as_str()), (count, hash), "{name}");
        }
    }

    #[test]
    fn lines_of_the_package_keep_blanks_and_repeats() {
        assert_eq!(peer_lines(" a \n\nb\r\na\rc"), ["a", "", "b", "a", "c"]);
        assert_eq!(peer_lines("a\n"), ["a"]);
        assert_eq!(
            artists(&["X".into(), "Y".into()]),
            ["by X", "by Y", "inspired by X", "inspired by Y"]
        );
    }

    #[test]
    fn lines_of_users_are_cleaned_up() {
        assert_eq!(
            user_lines("\u{feff}# mine\n\n soft light \nSoft Light\r\nmist\n"),
            ["soft light", "mist"]
        );
    }

    #[test]
    fn our_own_tables_are_whole_and_an_unknown_one_is_named() {
        for (name, _) in OWN_TABLES {
            assert!(
                TermTable::named(name, Path::new("nowhere")).unwrap().terms.len() >= 10,
                "{name}"
            );
        }
        let unknown = TermTable::named("flavours", Path::new("nowhere"))
            .unwrap_err()
            .to_string();
        assert!(
            unknown.contains("flavors") && unknown.contains("[[interrogate.table]]"),
            "{unknown}"
        );
        let missing = TermTable::named("flavors", Path::new("nowhere"))
            .unwrap_err()
            .to_string();
        assert!(missing.contains("scripts/fetch-terms"), "{missing}");
    }
}
