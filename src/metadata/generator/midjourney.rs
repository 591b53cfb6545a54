//! Midjourney: a description of prompt, `--flags` and job id.

use super::fields::{Column, conclude, extra, named, put};
use crate::record::{Confidence, Recovered};

const JOB_MARK: &str = "Job ID: ";
/// Length of a UUID with its dashes.
const UUID_LENGTH: usize = 36;

/// Interprets a description; `None` where neither a job id nor Midjourney's flags are in it.
pub fn interpret(text: &str) -> Option<Recovered> {
    let (body, job) = match text.rfind(JOB_MARK) {
        Some(at) => (
            &text[..at],
            text[at + JOB_MARK.len()..]
                .split_whitespace()
                .next()
                .filter(|job| is_uuid(job)),
        ),
        None => (text, None),
    };
    let body = if job.is_some() { body } else { text };
    let (prompt, flags) = split_flags(body);
    let is_own = |name: &str| {
        matches!(
            name,
            "v" | "ar" | "niji" | "stylize" | "chaos" | "sref" | "cref" | "oref" | "version" | "iw" | "style"
        )
    };
    if job.is_none() && flags.iter().filter(|(name, _)| is_own(name)).count() < 1 {
        return None;
    }
    let mut recovered = named("midjourney");
    recovered.prompt = Some(prompt.to_owned());
    for (name, value) in flags {
        match name {
            "no" if recovered.negative_prompt.is_none() => recovered.negative_prompt = Some(value.to_owned()),
            "seed" => put(&mut recovered, Column::Seed, "--seed", value),
            "v" | "version" if recovered.generator_version.is_none() => {
                recovered.generator_version = Some(value.to_owned());
            }
            _ => extra(&mut recovered, &format!("--{name}"), value),
        }
    }
    if let Some(job) = job {
        extra(&mut recovered, "Job ID", job);
    }
    Some(conclude(recovered, Confidence::Explicit))
}

/// Whether `text` is a UUID.
pub fn is_uuid(text: &str) -> bool {
    text.len() == UUID_LENGTH
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The prompt, and the flags after it: ` --name value`.
fn split_flags(text: &str) -> (&str, Vec<(&str, &str)>) {
    let starts: Vec<usize> = text
        .match_indices("--")
        .map(|(at, _)| at)
        .filter(|&at| at == 0 || text[..at].ends_with(char::is_whitespace))
        .filter(|&at| text[at + 2..].starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect();
    let Some(&first) = starts.first() else {
        return (text.trim(), Vec::new());
    };
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let flag = |(start, end): (&usize, usize)| {
        let flag = text[start + 2..end].trim();
        flag.split_once(char::is_whitespace)
            .map_or((flag, ""), |(name, value)| (name, value.trim()))
    };
    (text[..first].trim(), starts.iter().zip(ends).map(flag).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_job() {
        let text = "https://x.y/z.png a panel, danh võ --ar 4:3 --v 5.2 --no text, hats --seed 77 --raw Job ID: 2b6e053b-9a65-4ca9-9e13-b6f4465164d4";
        let recovered = interpret(text).unwrap();
        assert_eq!(recovered.prompt.as_deref(), Some("https://x.y/z.png a panel, danh võ"));
        assert_eq!(recovered.negative_prompt.as_deref(), Some("text, hats"));
        assert_eq!(recovered.generator_version.as_deref(), Some("5.2"));
        assert_eq!(recovered.settings.seed, Some(77));
        let keys: Vec<_> = recovered.parameters_extra.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["--ar", "--raw", "Job ID"]);
    }

    #[test]
    fn other_descriptions_are_not_midjourney() {
        for text in ["a photo -- of a cat", "Job ID: 7", "left--right --what", ""] {
            assert!(interpret(text).is_none(), "{text}");
        }
        assert!(interpret("a cat Job ID: 2b6e053b-9a65-4ca9-9e13-b6f4465164d4").is_some());
    }
}
