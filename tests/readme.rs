//! What the README promises and the program keeps.

use labelmill::exit::ExitStatus;

use crate::support::repository;

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).expect("README.md")
}

#[test]
fn the_table_of_exit_statuses_is_the_programs() {
    let readme = readme();
    for (status, meaning) in ExitStatus::TABLE {
        let row = format!("| {} | {meaning} |", status.code());
        assert!(readme.contains(&row), "README.md lacks the row {row}");
    }
}

#[test]
fn every_preset_is_named() {
    let readme = readme();
    for (name, ..) in labelmill::config::PRESETS {
        assert!(
            readme.contains(&format!("`{name}`")),
            "README.md does not name the preset {name}"
        );
    }
}

#[test]
fn every_block_says_its_language_so_that_it_is_run_or_says_why_not() {
    let readme = readme();
    let mut inside = false;
    for (number, line) in readme.lines().enumerate() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        assert!(
            inside || !language.trim().is_empty(),
            "README.md:{}: the block has no language, so tests/python/check_readme.py cannot run it",
            number + 1
        );
        inside = !inside;
    }
}

#[test]
fn every_command_is_in_the_table() {
    use clap::CommandFactory;
    let readme = readme();
    for command in labelmill::cli::Cli::command().get_subcommands() {
        let name = format!("`labelmill {}", command.get_name());
        assert!(readme.contains(&name), "README.md does not name {name}`");
    }
}
