//! Hugging Face Spaces of the animagine kind: JSON with `resolution` and `num_inference_steps`.

use super::fields::{Column, conclude, fill, named};
use crate::metadata::json::Value;
use crate::record::{Confidence, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("prompt", Column::Prompt),
    ("negative_prompt", Column::NegativePrompt),
    ("resolution", Column::Size),
    ("guidance_scale", Column::CfgScale),
    ("num_inference_steps", Column::Steps),
    ("seed", Column::Seed),
    ("sampler", Column::Sampler),
    ("Model", Column::Model),
    ("Model hash", Column::ModelHash),
];

/// Whether a JSON object is such a Space's. Easy Diffusion shares some keys, not these.
pub fn is_it(object: &Value<'_>) -> bool {
    let size_and_steps = object.has("resolution") && object.has("num_inference_steps");
    object.has("prompt")
        && size_and_steps
        && (object.has("Model") || object.has("use_upscaler") || object.has("sampler"))
}

/// Interprets a Space's object.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let mut recovered = named("hf-space");
    fill(&mut recovered, object, COLUMNS);
    conclude(recovered, Confidence::Explicit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn every_part() {
        let text = r#"{"prompt": "a", "negative_prompt": "b", "resolution": "832 x 1216", "guidance_scale": 5.5, "num_inference_steps": 20,
            "seed": 5, "sampler": "DPM++ 2M Karras", "Model": "WAI", "Model hash": "BDB5", "use_upscaler": {"upscale_by": 1.5}}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(
            (recovered.settings.width, recovered.settings.height),
            (Some(832), Some(1216))
        );
        assert_eq!(recovered.settings.sampler.as_deref(), Some("DPM++ 2M Karras"));
        assert_eq!(recovered.settings.scheduler, None);
        assert_eq!(recovered.parameters_extra.len(), 1);
    }
}
