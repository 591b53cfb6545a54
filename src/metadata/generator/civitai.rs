//! Civitai's own generator: infotext with `Civitai resources` and `Civitai metadata`, or a ComfyUI
//! graph with top-level `extraMetadata` (JSON inside a string) and `extra`.

use super::comfyui;
use super::fields::{Column, conclude, extra, put_value};
use crate::metadata::json::{self, Arena, Value};
use crate::record::{Confidence, Lora, Recovered};

/// Keys of `extraMetadata`.
const COLUMNS: &[(&str, Column)] = &[
    ("prompt", Column::Prompt),
    ("negativePrompt", Column::NegativePrompt),
    ("steps", Column::Steps),
    ("cfgScale", Column::CfgScale),
    ("sampler", Column::Sampler),
    ("scheduler", Column::Scheduler),
    ("seed", Column::Seed),
    ("clipSkip", Column::ClipSkip),
    ("denoise", Column::Denoising),
    ("width", Column::Width),
    ("height", Column::Height),
];

/// Whether a JSON object is Civitai's graph.
pub fn is_graph(object: &Value<'_>) -> bool {
    object.has("extraMetadata") || (object.has("resource-stack") && object.has("extra"))
}

/// Interprets Civitai's graph: the text of `extraMetadata`, and from the graph what it leaves open.
pub fn interpret_graph(object: &Value<'_>, arena: &Arena) -> Option<Recovered> {
    let mut graph = comfyui::interpret_api(object, None, arena)?;
    graph.generator = Some("civitai".to_owned());
    let inner = object
        .get("extraMetadata")
        .and_then(Value::as_str)
        .and_then(|text| json::parse(text, arena));
    let Some(inner) = inner else { return Some(graph) };
    let mut recovered = super::fields::named("civitai");
    for (key, value) in inner.value.entries() {
        match COLUMNS.iter().find(|(name, _)| name == key) {
            Some((_, column)) => put_value(&mut recovered, *column, key, value),
            None if *key == "resources" => {
                add_loras(&mut recovered, value);
                extra(&mut recovered, key, value.to_text());
            }
            None => extra(&mut recovered, key, value.to_text()),
        }
    }
    comfyui::complete_from_graph(&mut recovered, graph);
    if let Some(airs) = object.get("extra") {
        extra(&mut recovered, "extra", airs.to_text());
    }
    Some(conclude(recovered, Confidence::Explicit))
}

/// The infotext's setting that lists models.
pub const RESOURCES_KEY: &str = "Civitai resources";

/// Model and LoRAs of the infotext's `Civitai resources`; the list itself stays among the extras.
pub fn add_resources(recovered: &mut Recovered, resources: &str) {
    let arena = Arena::new();
    let Some(document) = json::parse(resources, &arena) else {
        return;
    };
    for resource in document.value.items() {
        let kind = resource.get("type").and_then(Value::as_str).unwrap_or_default();
        let name = resource.get("modelName").and_then(Value::as_str);
        if kind == "checkpoint" && recovered.settings.model.is_none() {
            recovered.settings.model = name.map(str::to_owned);
        }
    }
    add_loras(recovered, &document.value);
}

/// The LoRAs of a list of resources; one without a name is named by its version on Civitai.
fn add_loras(recovered: &mut Recovered, resources: &Value<'_>) {
    for resource in resources.items() {
        let kind = resource.get("type").and_then(Value::as_str).unwrap_or_default();
        if !matches!(kind, "lora" | "lycoris" | "dora" | "locon") {
            continue;
        }
        let weight = resource
            .get("weight")
            .or_else(|| resource.get("strength"))
            .and_then(Value::as_f64);
        let name = match (
            resource.get("modelName").and_then(Value::as_str),
            resource.get("modelVersionId"),
        ) {
            (Some(name), _) => name.to_owned(),
            (None, Some(version)) => format!("modelVersionId:{}", version.to_text()),
            (None, None) => continue,
        };
        if !recovered.loras.iter().any(|lora| lora.name == name) {
            recovered.loras.push(Lora {
                name,
                weight,
                hash: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::infotext_family::{Origin, interpret};
    use super::*;

    #[test]
    fn infotext_with_resources() {
        let text = r#"p
Negative prompt: n
Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Created Date: 2025-01-02T03:04:05.678Z, Civitai resources: [{"type":"checkpoint","modelVersionId":128713,"modelName":"Big, Model"},{"type":"lora","weight":0.5,"modelVersionId":210873}], Civitai metadata: {"remixOfId":5}"#;
        let recovered = interpret(text, Origin::SharedSlot).unwrap();
        assert_eq!(recovered.generator.as_deref(), Some("civitai"));
        assert_eq!(recovered.settings.model.as_deref(), Some("Big, Model"));
        assert_eq!(recovered.loras[0].name, "modelVersionId:210873");
        assert_eq!(recovered.loras[0].weight, Some(0.5));
        assert!(
            recovered
                .parameters_extra
                .iter()
                .any(|(key, value)| key == "Civitai metadata" && value == "{\"remixOfId\":5}")
        );
    }

    #[test]
    fn graph_with_extra_metadata() {
        let text = r#"{"resource-stack":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"urn:air:x"}},
            "6":{"class_type":"smZ CLIPTextEncode","inputs":{"text":"graph text","clip":["resource-stack",1]}},
            "11":{"class_type":"KSampler","inputs":{"sampler_name":"euler_ancestral","scheduler":"normal","seed":5,"steps":25,"cfg":5,"model":["resource-stack",0],"positive":["6",0],"negative":["6",0],"latent_image":["6",0]}},
            "12":{"class_type":"SaveImage","inputs":{"images":["11",0]}},
            "extra":{"airs":[]},
            "extraMetadata":"{\"prompt\":\"typed\",\"negativePrompt\":\"bad\",\"steps\":25,\"sampler\":\"euler_ancestral\",\"seed\":1311178179,\"workflowId\":\"x\"}"}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_graph(&document.value));
        let recovered = interpret_graph(&document.value, &Arena::new()).unwrap();
        assert_eq!(recovered.generator.as_deref(), Some("civitai"));
        assert_eq!(recovered.prompt.as_deref(), Some("typed"));
        assert_eq!(recovered.settings.seed, Some(1_311_178_179));
        assert_eq!(recovered.settings.scheduler.as_deref(), Some("normal"));
        assert_eq!(recovered.settings.model.as_deref(), Some("urn:air:x"));
        assert!(recovered.parameters_extra.contains(&("workflowId".into(), "x".into())));
    }
}
