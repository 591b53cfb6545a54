//! Stability Matrix: `parameters-json` beside infotext, `smproj` and the graph that ran. Its
//! `Width` and `Height` are those after upscaling; the graph has what was generated.

use super::fields::{Column, conclude, fill, named};
use crate::metadata::json::Value;
use crate::record::{Confidence, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("PositivePrompt", Column::Prompt),
    ("NegativePrompt", Column::NegativePrompt),
    ("Steps", Column::Steps),
    ("Sampler", Column::Sampler),
    ("CfgScale", Column::CfgScale),
    ("Seed", Column::Seed),
    ("Width", Column::Width),
    ("Height", Column::Height),
    ("ModelHash", Column::ModelHash),
    ("ModelName", Column::Model),
];

/// Whether a JSON object is Stability Matrix' parameters.
pub fn is_it(object: &Value<'_>) -> bool {
    object.has("PositivePrompt") && object.has("CfgScale")
}

/// Interprets the parameters.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let mut recovered = named("stability-matrix");
    fill(&mut recovered, object, COLUMNS);
    conclude(recovered, Confidence::Explicit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn every_part() {
        let text = r#"{"PositivePrompt":"a\r\nb","NegativePrompt":"c","Steps":20,"Sampler":"Euler Ancestral Karras","CfgScale":5,"Seed":7,
            "Height":1536,"Width":1536,"ModelHash":"A5","ModelName":"m.safetensors","FrameCount":0}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value));
        let alone = interpret(&document.value);
        assert_eq!(alone.prompt.as_deref(), Some("a\r\nb"));
        assert_eq!(
            (alone.settings.sampler.as_deref(), alone.settings.width),
            (Some("Euler Ancestral Karras"), Some(1536))
        );
    }
}
