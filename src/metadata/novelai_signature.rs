//! NovelAI's signature: ed25519 over the red, green and blue bytes of the picture followed by the
//! settings in `Comment`, written as Python's `json.dumps` writes them, without the signature.
//! Key and layout are those of NovelAI's published verifier (novelai-image-metadata, nai_sig.py).

mod python_json;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::record::{Picture, RawMetadata};

/// NovelAI's verifying key in base64, as published.
const VERIFYING_KEY: &str = "Y2JcQAOhLwzwSDUJPNgL04nS0Tbqm7cSRc4xk0vRMic=";

/// The field that holds the signature.
const SIGNATURE_FIELD: &str = "signed_hash";

/// Looks for NovelAI's signed settings among the entries of `raw` and checks them against the
/// stored pixels. None where there is no signature.
pub fn check_entries(picture: &Picture, raw: &RawMetadata) -> Option<bool> {
    let signed = raw.entries.iter().filter(|entry| entry.text.contains(SIGNATURE_FIELD));
    signed
        .into_iter()
        .find_map(|entry| novelai_signature_valid(picture, &entry.text))
}

/// Checks the signature in `comment_json` (the text of `Comment`) over the pixels as stored,
/// before any orientation. `None` where there is no signature, or none that can be checked.
///
/// Costs one hash of all pixels twice over; ask only for pictures that say they are NovelAI's.
pub fn novelai_signature_valid(picture: &Picture, comment_json: &str) -> Option<bool> {
    let key = STANDARD.decode(VERIFYING_KEY).expect("the key above is valid base64");
    let key: [u8; 32] = key.try_into().expect("an ed25519 key has 32 bytes");
    let key = VerifyingKey::from_bytes(&key).expect("the published key is a point of the curve");
    is_signed_by(&key, picture, comment_json)
}

fn is_signed_by(key: &VerifyingKey, picture: &Picture, comment_json: &str) -> Option<bool> {
    let comment: serde_json::Value = serde_json::from_str(comment_json).ok()?;
    // Some files wrap the settings once more.
    if let Some(inner) = comment.get("Comment").and_then(serde_json::Value::as_str) {
        return check(key, picture, inner, &serde_json::from_str(inner).ok()?);
    }
    check(key, picture, comment_json, &comment)
}

fn check(key: &VerifyingKey, picture: &Picture, settings_json: &str, settings: &serde_json::Value) -> Option<bool> {
    let encoded = settings.get(SIGNATURE_FIELD)?.as_str()?;
    let signature: Option<[u8; 64]> = STANDARD.decode(encoded).ok().and_then(|bytes| bytes.try_into().ok());
    // A field that is no signature was not made by NovelAI.
    let Some(signature) = signature else { return Some(false) };
    let mut message = rgb_bytes(picture)?;
    message.extend_from_slice(python_json::dumps_without(settings_json, SIGNATURE_FIELD)?.as_bytes());
    Some(key.verify_strict(&message, &Signature::from_bytes(&signature)).is_ok())
}

/// Red, green and blue of every pixel, row by row.
fn rgb_bytes(picture: &Picture) -> Option<Vec<u8>> {
    let pixels = u64::from(picture.width) * u64::from(picture.height);
    let is_whole = pixels.checked_mul(u64::from(picture.channels)) == Some(picture.data.len() as u64);
    match picture.channels {
        3 if is_whole => Some(picture.data.clone()),
        4 if is_whole => Some(
            picture
                .data
                .chunks_exact(4)
                .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
                .collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    /// Settings signed together with the picture's colours by a key of the test's own.
    fn signed(picture: &Picture) -> (VerifyingKey, String) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let message = [
            &rgb_bytes(picture).unwrap()[..],
            br#"{"prompt": "\u732b", "scale": 5.0}"#,
        ]
        .concat();
        let signature = STANDARD.encode(key.sign(&message).to_bytes());
        (
            key.verifying_key(),
            format!(r#"{{"prompt":"猫","signed_hash":"{signature}","scale":5.00}}"#),
        )
    }

    #[test]
    fn a_signature_holds_for_its_pixels_and_settings_only() {
        let picture = Picture {
            width: 2,
            height: 1,
            channels: 4,
            data: vec![1, 2, 3, 0, 5, 6, 7, 255],
        };
        let (key, comment) = signed(&picture);
        assert_eq!(is_signed_by(&key, &picture, &comment), Some(true));
        let wrapped = serde_json::json!({ "Comment": comment }).to_string();
        assert_eq!(is_signed_by(&key, &picture, &wrapped), Some(true));
        // Alpha is not signed: it holds the hidden copy of the settings.
        let opaque = Picture {
            data: vec![1, 2, 3, 255, 5, 6, 7, 255],
            ..picture.clone()
        };
        assert_eq!(is_signed_by(&key, &opaque, &comment), Some(true));
        let touched = Picture {
            data: vec![1, 2, 3, 0, 5, 6, 8, 255],
            ..picture.clone()
        };
        assert_eq!(is_signed_by(&key, &touched, &comment), Some(false));
        assert_eq!(
            is_signed_by(&key, &picture, &comment.replace("5.00", "6.0")),
            Some(false)
        );
        assert_eq!(novelai_signature_valid(&picture, &comment), Some(false));
    }

    #[test]
    fn what_is_not_signed_cannot_be_checked() {
        let picture = Picture {
            width: 1,
            height: 1,
            channels: 3,
            data: vec![0; 3],
        };
        for comment in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"signed_hash": 1}"#,
            r#"{"Comment": "no JSON"}"#,
        ] {
            assert_eq!(novelai_signature_valid(&picture, comment), None, "{comment}");
        }
        assert_eq!(
            novelai_signature_valid(&picture, r#"{"signed_hash": "no base64!"}"#),
            Some(false)
        );
        let gray = Picture {
            width: 1,
            height: 1,
            channels: 1,
            data: vec![0],
        };
        assert_eq!(novelai_signature_valid(&gray, &signed(&picture).1), None);
    }
}
