//! Marks that say "made by AI" without saying how: C2PA claims, IPTC digital source types, China's
//! TC260 label, Grok's signature. Read, never verified. A program that only edits (or a camera
//! that only signs) is not a generator; what it says is kept all the same.

use super::midjourney::is_uuid;
use crate::metadata::json::{self, Arena};
use crate::record::{AiProvenance, RawEntry};

/// What an entry's provenance amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// The marks, where there are any.
    pub provenance: Option<AiProvenance>,
    /// Whether they say that AI made the picture, or part of it.
    pub is_ai: bool,
}

/// Names by which vendors sign, lower case, and what they are called here. The second half only
/// counts with a digital source type that says AI: the same names sign photographs.
const VENDORS: &[(&str, &str, Signs)] = &[
    ("openai", "openai", Signs::OnlyGenerated),
    ("chatgpt", "openai", Signs::OnlyGenerated),
    ("dall·e", "openai", Signs::OnlyGenerated),
    ("dall-e", "openai", Signs::OnlyGenerated),
    ("adobe firefly", "adobe-firefly", Signs::OnlyGenerated),
    ("adobe_firefly", "adobe-firefly", Signs::OnlyGenerated),
    ("black forest labs", "black-forest-labs", Signs::OnlyGenerated),
    ("blackforestlabs", "black-forest-labs", Signs::OnlyGenerated),
    ("black-forest-labs", "black-forest-labs", Signs::OnlyGenerated),
    ("stability ai", "stability-ai", Signs::OnlyGenerated),
    ("stability.ai", "stability-ai", Signs::OnlyGenerated),
    ("ideogram", "ideogram", Signs::OnlyGenerated),
    ("midjourney", "midjourney", Signs::OnlyGenerated),
    ("bing image creator", "microsoft", Signs::OnlyGenerated),
    ("responsible ai", "microsoft", Signs::OnlyGenerated),
    ("titan image", "amazon", Signs::OnlyGenerated),
    ("made with google ai", "google", Signs::OnlyGenerated),
    ("imagen", "google", Signs::OnlyGenerated),
    ("gemini", "google", Signs::OnlyGenerated),
    ("jimeng", "jimeng", Signs::OnlyGenerated),
    ("即梦", "jimeng", Signs::OnlyGenerated),
    ("dreamina", "jimeng", Signs::OnlyGenerated),
    ("doubao", "doubao", Signs::OnlyGenerated),
    ("豆包", "doubao", Signs::OnlyGenerated),
    ("grok", "xai-grok", Signs::OnlyGenerated),
    ("leonardo.ai", "leonardo", Signs::OnlyGenerated),
    ("google", "google", Signs::PhotographsToo),
    ("samsung", "samsung", Signs::PhotographsToo),
    ("microsoft", "microsoft", Signs::PhotographsToo),
    ("amazon", "amazon", Signs::PhotographsToo),
    ("firefly", "adobe-firefly", Signs::PhotographsToo),
];

/// What a vendor puts its name to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signs {
    OnlyGenerated,
    PhotographsToo,
}

/// Producers in TC260 labels by the social credit code in `ContentProducer`.
const TC260_PRODUCERS: &[(&str, &str)] = &[("91110102MACQD9K64", "doubao")];

/// Digital source types (the last part of their URI) that mean AI, whole or in part.
const AI_SOURCE_TYPES: &[&str] = &[
    "trainedAlgorithmicMedia",
    "compositeWithTrainedAlgorithmicMedia",
    "compositeSynthetic",
];

/// Reads the marks of all entries.
pub fn read(entries: &[RawEntry]) -> Marks {
    let mut reader = Reader::default();
    for entry in entries {
        reader.entry(entry);
    }
    if is_grok(entries) {
        reader.vendor("xai-grok", true, "exif:IFD0:ImageDescription".to_owned());
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    provenance: AiProvenance,
    is_ai: bool,
    /// A vendor that signs photographs too, kept until the source type is known.
    possible: Option<(&'static str, String)>,
}

impl Reader {
    fn entry(&mut self, entry: &RawEntry) {
        let evidence = || slot_name(entry);
        match (entry.slot.as_str(), entry.key.as_str()) {
            ("c2pa", "claim_generator" | "claim_generator_info") => {
                if self.provenance.claim_generator.is_none() {
                    self.provenance.claim_generator = Some(entry.text.clone());
                }
                self.named(&entry.text, evidence());
            }
            ("c2pa", "software_agent") => self.named(&entry.text, evidence()),
            (_, key) if key.ends_with("digital_source_type") || key.ends_with("DigitalSourceType") => {
                self.source_type(&entry.text, evidence());
            }
            (_, "TC260:AIGC" | "AIGC") => self.tc260(&entry.text, evidence()),
            (
                _,
                "photoshop:Credit"
                | "Credit"
                | "Iptc4xmpExt:AISystemUsed"
                | "AISystemUsed"
                | "xmp:CreatorTool"
                | "Software"
                | "Make",
            ) => {
                if let Some((vendor, Signs::OnlyGenerated)) = vendor_of(&entry.text) {
                    self.vendor(vendor, true, evidence());
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, name: &str, evidence: String) {
        match vendor_of(name) {
            Some((vendor, Signs::OnlyGenerated)) => self.vendor(vendor, true, evidence),
            Some((vendor, Signs::PhotographsToo)) if self.possible.is_none() => {
                self.possible = Some((vendor, evidence));
            }
            _ => {
                self.provenance.evidence.get_or_insert(evidence);
            }
        }
    }

    fn vendor(&mut self, vendor: &str, is_ai: bool, evidence: String) {
        self.is_ai |= is_ai;
        if self.provenance.vendor.is_none() {
            self.provenance.vendor = Some(vendor.to_owned());
            self.provenance.evidence = Some(evidence);
        }
    }

    /// The strongest source type wins: one edit by AI makes the picture partly AI's.
    fn source_type(&mut self, uri: &str, evidence: String) {
        let name = uri.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(uri);
        let is_ai = AI_SOURCE_TYPES.contains(&name);
        if self.provenance.digital_source_type.is_none() || (is_ai && !self.is_ai_type()) {
            self.provenance.digital_source_type = Some(name.to_owned());
        }
        self.is_ai |= is_ai;
        self.provenance.evidence.get_or_insert(evidence);
    }

    fn is_ai_type(&self) -> bool {
        self.provenance
            .digital_source_type
            .as_deref()
            .is_some_and(|name| AI_SOURCE_TYPES.contains(&name))
    }

    fn tc260(&mut self, text: &str, evidence: String) {
        let arena = Arena::new();
        let Some(document) = json::parse(text, &arena) else {
            return;
        };
        let field = |key: &str| document.value.get(key).map(|value| value.to_text()).unwrap_or_default();
        let (label, producer) = (field("Label"), field("ContentProducer"));
        if label.is_empty() && producer.is_empty() {
            return;
        }
        // 1: generated, 2: possibly, 3: suspected.
        self.is_ai |= label != "0";
        let by_code = TC260_PRODUCERS
            .iter()
            .find(|(code, _)| producer.contains(code))
            .map(|(_, vendor)| *vendor);
        match by_code.or_else(|| vendor_of(&producer).map(|(vendor, _)| vendor)) {
            Some(vendor) => self.vendor(vendor, true, evidence),
            None => {
                self.provenance.evidence.get_or_insert(evidence);
            }
        }
    }

    fn finish(mut self) -> Marks {
        if let Some((vendor, evidence)) = self.possible.take() {
            if self.is_ai {
                self.vendor(vendor, true, evidence);
            } else {
                self.provenance.evidence.get_or_insert(evidence);
            }
        }
        let provenance = (self.provenance != AiProvenance::default()).then_some(self.provenance);
        Marks {
            provenance,
            is_ai: self.is_ai,
        }
    }
}

fn vendor_of(name: &str) -> Option<(&'static str, Signs)> {
    let lower = name.to_lowercase();
    VENDORS
        .iter()
        .find(|(part, ..)| lower.contains(part))
        .map(|(_, vendor, signs)| (*vendor, *signs))
}

/// Grok signs its JPEGs in EXIF: a base64 signature, and a UUID for an artist.
fn is_grok(entries: &[RawEntry]) -> bool {
    const MIN_SIGNATURE: usize = 40;
    let signed = entries.iter().any(|entry| {
        let signature = entry.text.strip_prefix("Signature: ").map(str::trim);
        signature.is_some_and(|text| {
            text.len() >= MIN_SIGNATURE
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
        })
    });
    signed
        && entries
            .iter()
            .any(|entry| entry.key == "Artist" && is_uuid(entry.text.trim()))
}

/// `slot:key`, or the slot alone where it has no keys.
pub fn slot_name(entry: &RawEntry) -> String {
    if entry.key.is_empty() {
        entry.slot.clone()
    } else {
        [&entry.slot, ":", &entry.key].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(slot: &str, key: &str, text: &str) -> RawEntry {
        RawEntry {
            slot: slot.into(),
            key: key.into(),
            text: text.into(),
        }
    }

    fn vendor(entries: &[RawEntry]) -> (Option<String>, bool) {
        let marks = read(entries);
        (marks.provenance.and_then(|provenance| provenance.vendor), marks.is_ai)
    }

    #[test]
    fn c2pa_vendors() {
        let source = entry(
            "c2pa",
            "digital_source_type",
            "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        );
        let google = entry("c2pa", "claim_generator", "Google C2PA Core Generator Library");
        assert_eq!(vendor(&[google.clone(), source]), (Some("google".into()), true));
        let camera = entry(
            "c2pa",
            "digital_source_type",
            "http://cv.iptc.org/newscodes/digitalsourcetype/computationalCapture",
        );
        assert_eq!(
            vendor(&[google, camera]),
            (None, false),
            "a telephone signs its photographs"
        );
        assert_eq!(
            vendor(&[entry("c2pa", "claim_generator", "OpenAI Media Service API")]),
            (Some("openai".into()), true)
        );
        let marks = read(&[entry("c2pa", "claim_generator", "Adobe Photoshop 26.0")]);
        assert!(!marks.is_ai);
        assert_eq!(
            marks.provenance.unwrap().claim_generator.as_deref(),
            Some("Adobe Photoshop 26.0")
        );
    }

    #[test]
    fn xmp_and_labels() {
        assert_eq!(
            vendor(&[entry("xmp", "photoshop:Credit", "Made with Google AI")]),
            (Some("google".into()), true)
        );
        let marks = read(&[entry(
            "xmp",
            "Iptc4xmpExt:DigitalSourceType",
            "http://x/compositeWithTrainedAlgorithmicMedia",
        )]);
        assert!(marks.is_ai);
        assert_eq!(
            marks.provenance.unwrap().evidence.as_deref(),
            Some("xmp:Iptc4xmpExt:DigitalSourceType")
        );
        let algorithmic = read(&[entry(
            "xmp",
            "Iptc4xmpExt:DigitalSourceType",
            "http://x/algorithmicMedia",
        )]);
        assert!(!algorithmic.is_ai, "procedural is not AI");
        let label = r#"{"Label":"1","ContentProducer":"001191110102MACQD9K64010000","ProduceID":"x"}"#;
        assert_eq!(
            vendor(&[entry("xmp", "TC260:AIGC", label)]),
            (Some("doubao".into()), true)
        );
        assert_eq!(
            vendor(&[entry(
                "png:tEXt",
                "AIGC",
                r#"{"Label":"1","ContentProducer":"unknown"}"#
            )]),
            (None, true)
        );
    }

    #[test]
    fn grok_needs_signature_and_artist() {
        let signature = entry(
            "exif:IFD0",
            "ImageDescription",
            &format!("Signature: {}", "Ab+/".repeat(20)),
        );
        let artist = entry("exif:IFD0", "Artist", "4800156b-8880-4786-9056-7ca3da449d8c");
        assert_eq!(vendor(&[signature.clone(), artist]), (Some("xai-grok".into()), true));
        assert_eq!(vendor(&[signature]), (None, false));
    }

    #[test]
    fn photographs_have_none() {
        let marks = read(&[
            entry("exif:IFD0", "Make", "Canon"),
            entry("exif:IFD0", "Software", "GIMP 3.0.6"),
        ]);
        assert_eq!(marks, Marks::default());
    }
}
