//! Fuzz targets of the metadata stage, on stable Rust: seeds that the tests' own builders make are
//! mutated with a seeded generator. Compiled into the library's unit tests by `src/metadata.rs`,
//! ignored there, and run by `scripts/fuzz`; every crash that was found lies in `crashes/` and is
//! tried again in every test run.

mod containers;
mod interpretation;
mod mutate;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A target: takes bytes, and says by numbers which ways it went with them.
type Target = fn(&[u8]) -> Vec<u64>;

/// Every target by the name that its kept crashes begin with.
const TARGETS: [(&str, Target); 12] = [
    ("png", containers::file),
    ("jpeg", containers::file),
    ("webp", containers::file),
    ("bmff", containers::file),
    ("other", containers::file),
    ("exif", containers::exif),
    ("xmp", containers::xmp),
    ("c2pa", containers::c2pa),
    ("stealth", containers::stealth),
    ("interpret", interpretation::entries),
    ("graph", interpretation::graph),
    ("infotext", interpretation::infotext),
];

/// A number for each two of `parts`: what goes together tells more than what there is.
fn pairs(parts: &BTreeSet<String>) -> Vec<u64> {
    let hashed = |pair: (&String, &String)| {
        let mut hasher = DefaultHasher::new();
        pair.hash(&mut hasher);
        hasher.finish()
    };
    parts
        .iter()
        .flat_map(|one| parts.iter().map(move |other| hashed((one, other))))
        .collect()
}

#[test]
fn kept_crashes_are_harmless() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/crashes");
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (_, target) in TARGETS
            .iter()
            .filter(|(target, _)| name.split('-').next() == Some(target))
        {
            target(&std::fs::read(&path).unwrap());
        }
    }
}
