//! What the parts say of how their metadata columns were made: the two hand-raised versions and the
//! choices of the configuration. `run` compares it, `reparse` renews the half that it made anew.

use anyhow::Context;

use crate::config::MetadataConfig;
use crate::metadata::{READING_VERSION, interpret};
use crate::write::{Making, PromptPolicy};

/// What begins, at the end of the fingerprint, the choice of where prompts come from, as JSON.
const PROMPTS: &str = " prompt=";

/// The fingerprint of the metadata group: `v{reading}.{interpretation} {choices}`. Another policy
/// of prompts reads the metadata again and runs no model.
pub fn of_metadata(config: &MetadataConfig, prompts: &PromptPolicy) -> String {
    let mut fingerprint = format!(
        "v{READING_VERSION}.{} sidecars={} stealth={:?} raw={}",
        interpret::VERSION,
        config.sidecars,
        config.stealth,
        config.keep_raw
    );
    if !prompts.is_plain() {
        fingerprint.push_str(PROMPTS);
        fingerprint.push_str(&serde_json::to_string(prompts).expect("names and numbers are JSON"));
    }
    fingerprint
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
    let prompts = match choices.split_once(PROMPTS) {
        Some((_, policy)) => serde_json::from_str(policy).with_context(|| {
            format!("the dataset says {policy:?} of where its prompts come from, which this labelmill does not know; `labelmill run` renews it")
        })?,
        None => PromptPolicy::default(),
    };
    Ok(Some(Making {
        fingerprint: format!("{reading}.{} {choices}", interpret::VERSION),
        prompts,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{PromptRoute, PromptSource};

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
        let current = of_metadata(&MetadataConfig::default(), &PromptPolicy::default());
        assert_eq!(renewed(&current), Some(current.clone()));
        assert_eq!(renewed("v1.1 sidecars=true raw=false"), None);
        assert!(reinterpreted(&format!("v1.{} raw=true", now + 1)).is_err());
        assert!(reinterpreted("v1.x raw=true").is_err());
    }

    #[test]
    fn where_prompts_come_from_is_read_back() {
        let policy = PromptPolicy {
            order: vec![
                PromptSource::Tags {
                    prefix: "wd ".into(),
                    threshold: 0.3,
                },
                PromptSource::Interrogated { column: "a=b".into() },
                PromptSource::Metadata,
            ],
            routes: vec![PromptRoute {
                column: "style".into(),
                styles: vec!["anime prompt=".into()],
                instead: PromptSource::Metadata,
            }],
        };
        for policy in [policy, PromptPolicy::default()] {
            let fingerprint = of_metadata(&MetadataConfig::default(), &policy);
            let making = reinterpreted(&fingerprint).unwrap().unwrap();
            assert_eq!((making.fingerprint, making.prompts), (fingerprint, policy));
        }
        assert!(reinterpreted("v1.1 raw=true prompt=PromptPolicy { order: [Metadata] }").is_err());
    }
}
