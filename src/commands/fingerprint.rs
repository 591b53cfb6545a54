//! What the parts say of how their metadata columns were made: the two hand-raised versions and the
//! choices of the configuration. `run` compares it, `reparse` renews the half that it made anew.

use crate::config::MetadataConfig;
use crate::metadata::{READING_VERSION, interpret};
use crate::write::Making;

/// The fingerprint of the metadata group: `v{reading}.{interpretation} {choices}`.
pub fn of_metadata(config: &MetadataConfig) -> String {
    let choices = format!(
        "sidecars={} stealth={:?} raw={}",
        config.sidecars, config.stealth, config.keep_raw
    );
    format!("v{READING_VERSION}.{} {choices}", interpret::VERSION)
}

/// The making after the present interpretation; none where the rows keep no raw entries.
pub fn reinterpreted(fingerprint: &str) -> anyhow::Result<Option<Making>> {
    let (versions, choices) = fingerprint.split_once(' ').unwrap_or((fingerprint, ""));
    // The first datasets gave one version for both.
    let (reading, interpretation) = versions.split_once('.').unwrap_or((versions, "1"));
    let Ok(interpretation) = interpretation.parse::<u32>() else {
        anyhow::bail!("the metadata columns say {fingerprint:?} of their making, which this labelmill does not know");
    };
    if interpretation > interpret::VERSION {
        anyhow::bail!(
            "a newer labelmill interpreted this dataset (version {interpretation}, this one has {})",
            interpret::VERSION
        );
    }
    if choices.split(' ').any(|choice| choice == "raw=false") {
        return Ok(None);
    }
    // Where prompts come from stands at the end, if not from the metadata alone.
    let order = choices.split_once("order: [").map_or("Metadata", |(_, order)| order);
    Ok(Some(Making {
        fingerprint: format!("{reading}.{} {choices}", interpret::VERSION),
        metadata_first: order.starts_with("Metadata"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_of_the_interpretation_is_renewed() {
        let now = interpret::VERSION;
        let renewed = |old: &str| reinterpreted(old).unwrap().map(|making| making.fingerprint);
        assert_eq!(
            renewed("v1 sidecars=true stealth=Auto raw=true"),
            Some(format!("v1.{now} sidecars=true stealth=Auto raw=true"))
        );
        assert_eq!(
            renewed("v7.1 stealth=Off raw=true"),
            Some(format!("v7.{now} stealth=Off raw=true"))
        );
        let current = of_metadata(&MetadataConfig::default());
        assert_eq!(renewed(&current), Some(current.clone()));
        assert_eq!(renewed("v1.1 sidecars=true raw=false"), None);
        assert!(reinterpreted(&format!("v1.{} raw=true", now + 1)).is_err());
        assert!(reinterpreted("v1.x raw=true").is_err());
        let first = |choices: &str| {
            reinterpreted(&format!("v1.1 raw=true{choices}"))
                .unwrap()
                .unwrap()
                .metadata_first
        };
        assert!(first("") && first(" prompt=PromptPolicy { order: [Metadata, Tags { threshold: 0.3 }], routes: [] }"));
        assert!(!first(
            " prompt=PromptPolicy { order: [Interrogated { column: \"x\" }, Metadata], routes: [] }"
        ));
    }
}
