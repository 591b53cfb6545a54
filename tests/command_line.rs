//! Help, completions, usage errors, exit statuses.

use crate::support::{labelmill, labelmill_in};

#[test]
fn help_names_every_command_and_completions_are_written() {
    let help = labelmill(&["--help"]).must_succeed().stdout();
    for command in [
        "run",
        "plan",
        "inspect",
        "doctor",
        "models",
        "verify",
        "compact",
        "report",
        "completions",
        "man",
    ] {
        assert!(help.contains(&format!("  {command}")), "--help does not name {command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = labelmill(&["completions", shell]).must_succeed().stdout();
        assert!(script.contains("preset"), "{shell}");
    }
    labelmill(&["man"]).must_succeed().must_say(".TH labelmill");
}

#[test]
fn a_wrong_command_line_exits_with_2_and_says_what_to_do() {
    labelmill(&["run"]).must_exit(2).must_say("PATH");
    labelmill(&["run", "tests", "--preset", "dmeo"])
        .must_exit(2)
        .must_say("did you mean `demo`?");
    labelmill(&["run", "src", "tests"]).must_exit(2).must_say("--out");
    labelmill(&["run", "src", "--config", "missing.toml", "--out", "x"])
        .must_exit(2)
        .must_say("missing.toml");
    labelmill(&["inspect", "missing.png"])
        .must_exit(2)
        .must_say("no such file");
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    let dir = tempfile::tempdir().expect("tempdir");
    std::fs::write(dir.path().join("c.toml"), "[output]\nembeding = \"f32\"\n").expect("written");
    labelmill_in(dir.path(), &["plan", ".", "--config", "c.toml"])
        .must_exit(2)
        .must_say("c.toml:2")
        .must_say("did you mean `embedding`?");
}
