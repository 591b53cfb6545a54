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
