//! Lists `models/*/` for `src/model/embedded.rs`: every manifest, and the small files beside it, are
//! compiled into the program, so that a new model is a folder and no Rust.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Largest file that is compiled in, in bytes: weights that somebody put beside a manifest stay
/// outside the program.
const MAX_EMBEDDED: u64 = 8 << 20;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=models");
    println!("cargo::rerun-if-changed=build.rs");
    let repository = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts"));
    let generated = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let mut list = String::from("&[\n");
    for folder in sorted(&repository.join("models"))? {
        if folder.join("model.toml").is_file() {
            add(&mut list, &folder)?;
        }
    }
    list.push_str("]\n");
    fs::write(generated.join("embedded_models.rs"), list)
}

/// One entry of the list: the folder's name, its manifest, its small files.
fn add(list: &mut String, folder: &Path) -> io::Result<()> {
    let mut files = String::new();
    for path in sorted(folder)? {
        let is_text_about_it = path.extension().is_some_and(|extension| extension == "md");
        let name = name_of(&path);
        if name == "model.toml" || name.starts_with('.') || is_text_about_it || !path.is_file() {
            continue;
        }
        if fs::metadata(&path)?.len() > MAX_EMBEDDED {
            println!("cargo::warning={} is large and is not compiled in", path.display());
            continue;
        }
        let _ = write!(
            files,
            "({name:?}, include_bytes!({:?}).as_slice()), ",
            path.display().to_string()
        );
    }
    let _ = writeln!(
        list,
        "    EmbeddedModel {{ name: {:?}, manifest: include_str!({:?}), files: &[{files}] }},",
        name_of(folder),
        folder.join("model.toml").display().to_string(),
    );
    Ok(())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
