//! Fuzz targets of the metadata stage, on stable Rust: seeds that the tests' own builders make are
//! mutated with a seeded generator. Compiled into the library's unit tests by `src/metadata.rs`,
//! ignored there, and run by `scripts/fuzz`; every crash that was found lies in `crashes/` and is
//! tried again in every test run.

mod containers;
mod mutate;

/// A target: takes bytes, and says by numbers which ways it went with them.
type Target = fn(&[u8]) -> Vec<u64>;

/// Every target by the name that its kept crashes begin with.
const TARGETS: [(&str, Target); 9] = [
    ("png", containers::file),
    ("jpeg", containers::file),
    ("webp", containers::file),
    ("bmff", containers::file),
    ("other", containers::file),
    ("exif", containers::exif),
    ("xmp", containers::xmp),
    ("c2pa", containers::c2pa),
    ("stealth", containers::stealth),
];

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
