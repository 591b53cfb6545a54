//! LoRAs as prompts and infotext settings name them: `<lora:name:0.8>` in the text, weights and
//! hashes in settings.

use super::fields::decimal;
use crate::metadata::json::{self, Arena};
use crate::record::Lora;

/// The LoRAs called in a prompt, in its order, each name once.
pub fn in_prompt(prompt: &str) -> Vec<Lora> {
    let mut loras: Vec<Lora> = Vec::new();
    for at in memchr::memchr_iter(b'<', prompt.as_bytes()) {
        let rest = &prompt[at..];
        let Some(call) = rest.strip_prefix("<lora:").or_else(|| rest.strip_prefix("<lyco:")) else {
            continue;
        };
        let Some((call, _)) = call.split_once('>') else { break };
        if call.contains(['<', '\n']) {
            continue;
        }
        let mut parts = call.split(':');
        let name = parts.next().unwrap_or_default().trim();
        if name.is_empty() || loras.iter().any(|lora| lora.name == name) {
            continue;
        }
        loras.push(Lora {
            name: name.to_owned(),
            weight: parts.next().and_then(decimal),
            hash: None,
        });
    }
    loras
}

/// Adds hashes: `Lora hashes` is `name: hash, name: hash`.
pub fn add_hash_list(loras: &mut Vec<Lora>, list: &str) {
    for (name, hash) in list.split(',').filter_map(|entry| entry.rsplit_once(':')) {
        add_hash(loras, name.trim(), hash.trim());
    }
}

/// Adds weights: Fooocus' `Lora weights` is `name: weight, name: weight`.
pub fn add_weight_list(loras: &mut Vec<Lora>, list: &str) {
    for (name, weight) in list.split(',').filter_map(|entry| entry.rsplit_once(':')) {
        let (name, weight) = (name.trim(), decimal(weight));
        match loras.iter_mut().find(|lora| lora.name == name) {
            Some(lora) => lora.weight = lora.weight.or(weight),
            None if name.is_empty() => {}
            None => loras.push(Lora {
                name: name.to_owned(),
                weight,
                hash: None,
            }),
        }
    }
}

/// Adds hashes: `Hashes` is a JSON object with keys `lora:name` among others.
pub fn add_hash_object(loras: &mut Vec<Lora>, object: &str) {
    let arena = Arena::new();
    let Some(document) = json::parse(object, &arena) else {
        return;
    };
    for (key, hash) in document.value.entries() {
        let name = key.strip_prefix("lora:").or_else(|| key.strip_prefix("LORA:"));
        if let (Some(name), Some(hash)) = (name, hash.as_str()) {
            add_hash(loras, name, hash);
        }
    }
}

fn add_hash(loras: &mut Vec<Lora>, name: &str, hash: &str) {
    if name.is_empty() || hash.is_empty() {
        return;
    }
    match loras.iter_mut().find(|lora| lora.name == name) {
        Some(lora) => {
            lora.hash.get_or_insert_with(|| hash.to_owned());
        }
        None => loras.push(Lora {
            name: name.to_owned(),
            weight: None,
            hash: Some(hash.to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_prompts() {
        let loras = in_prompt("a <lora:foo:0.8> b <lora:bar:1:lbw=1,0> <lyco:baz> <lora:foo:1> <lora:open:1");
        let seen: Vec<_> = loras.iter().map(|lora| (lora.name.as_str(), lora.weight)).collect();
        assert_eq!(seen, [("foo", Some(0.8)), ("bar", Some(1.0)), ("baz", None)]);
    }

    #[test]
    fn hashes_join_their_names() {
        let mut loras = in_prompt("<lora:foo:0.8>");
        add_hash_list(&mut loras, "foo: 0123, other: 45");
        add_hash_object(&mut loras, r#"{"model": "x", "lora:third": "67", "lora:foo": "no"}"#);
        add_weight_list(&mut loras, "foo: 2, other: 0.25, fourth: , : 1");
        let seen: Vec<_> = loras
            .iter()
            .map(|lora| (lora.name.as_str(), lora.weight, lora.hash.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                ("foo", Some(0.8), Some("0123")),
                ("other", Some(0.25), Some("45")),
                ("third", None, Some("67")),
                ("fourth", None, None)
            ]
        );
    }
}
