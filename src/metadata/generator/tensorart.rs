//! TensorArt: JSON under `generation_data`, with the graph that ran beside it. The JSON's seed is
//! often -1; the true one is then in the graph.

use super::fields::{Column, conclude, extra, named, put_value};
use crate::metadata::json::Value;
use crate::record::{Confidence, Lora, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("prompt", Column::Prompt),
    ("negativePrompt", Column::NegativePrompt),
    ("width", Column::Width),
    ("height", Column::Height),
    ("steps", Column::Steps),
    ("cfgScale", Column::CfgScale),
    ("seed", Column::Seed),
    ("clipSkip", Column::ClipSkip),
    ("ksamplerName", Column::Sampler),
    ("schedule", Column::Scheduler),
    ("guidance", Column::Guidance),
    ("sdVae", Column::Vae),
    ("denoisingStrength", Column::Denoising),
];

/// Whether a JSON object is TensorArt's.
pub fn is_it(object: &Value<'_>) -> bool {
    object.has("prompt")
        && (object.has("ksamplerName") || object.get("baseModel").is_some_and(|model| model.has("modelFileName")))
}

/// Interprets TensorArt's object.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let mut recovered = named("tensorart");
    for (key, value) in object.entries() {
        match COLUMNS.iter().find(|(name, _)| name == key) {
            Some((_, column)) => put_value(&mut recovered, *column, key, value),
            None => extra(&mut recovered, key, value.to_text()),
        }
    }
    let model = object.get("baseModel");
    let of_model = |key: &str| {
        model
            .and_then(|model| model.get(key))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    recovered.settings.model = of_model("modelFileName");
    recovered.settings.model_hash = of_model("hash");
    recovered.loras = object
        .get("models")
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .filter_map(lora)
        .collect();
    conclude(recovered, Confidence::Explicit)
}

fn lora(model: &Value<'_>) -> Option<Lora> {
    let is_lora = model
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.eq_ignore_ascii_case("lora"));
    let name = model
        .get("modelFileName")
        .or_else(|| model.get("label"))
        .and_then(Value::as_str)?;
    is_lora.then(|| Lora {
        name: name.to_owned(),
        weight: model.get("weight").and_then(Value::as_f64),
        hash: model.get("hash").and_then(Value::as_str).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn every_part() {
        let text = "{\"prompt\":\"a\",\"negativePrompt\":\"b\",\"width\":1024,\"height\":1024,\"steps\":25,\"cfgScale\":7,\"seed\":\"-1\",\"clipSkip\":2,\
            \"baseModel\":{\"label\":\"v16\",\"modelFileName\":\"WAI\",\"hash\":\"A5F5\"},\"ksamplerName\":\"euler_ancestral\",\"schedule\":\"karras\",\
            \"models\":[{\"type\":\"LORA\",\"modelFileName\":\"foo\",\"weight\":0.8}],\"guidance\":3.5}\0";
        let document = json::parse_leaking(text).unwrap();
        assert!(document.is_whole() && is_it(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(recovered.settings.seed, None);
        assert!(recovered.parameters_extra.contains(&("seed".into(), "-1".into())));
        assert_eq!(recovered.settings.model.as_deref(), Some("WAI"));
        assert_eq!(recovered.loras[0].weight, Some(0.8));
    }
}
