//! Names for the positional widget values of a UI graph's node: from the node itself where its
//! front end was new enough to list them, else from the order that core nodes are known to have,
//! else `widget_0`, `widget_1` …

use crate::metadata::json::{Arena, Value};

/// Widgets of core nodes, in their order. After a seed the front end adds a hidden
/// `control_after_generate`, which is not listed here.
const LAYOUTS: &[(&str, &[&str])] = &[
    (
        "KSampler",
        &["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"],
    ),
    (
        "KSampler (Efficient)",
        &["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"],
    ),
    (
        "KSamplerAdvanced",
        &[
            "add_noise",
            "noise_seed",
            "steps",
            "cfg",
            "sampler_name",
            "scheduler",
            "start_at_step",
            "end_at_step",
            "return_with_leftover_noise",
        ],
    ),
    ("SamplerCustom", &["add_noise", "noise_seed", "cfg"]),
    ("RandomNoise", &["noise_seed"]),
    ("KSamplerSelect", &["sampler_name"]),
    ("BasicScheduler", &["scheduler", "steps", "denoise"]),
    ("CFGGuider", &["cfg"]),
    ("DualCFGGuider", &["cfg_conds", "cfg_cond2_negative"]),
    ("FluxGuidance", &["guidance"]),
    ("CLIPTextEncode", &["text"]),
    (
        "CLIPTextEncodeSDXL",
        &[
            "width",
            "height",
            "crop_w",
            "crop_h",
            "target_width",
            "target_height",
            "text_g",
            "text_l",
        ],
    ),
    ("CLIPTextEncodeSDXLRefiner", &["ascore", "width", "height", "text"]),
    ("CLIPTextEncodeFlux", &["clip_l", "t5xxl", "guidance"]),
    ("CLIPTextEncodeSD3", &["clip_l", "clip_g", "t5xxl", "empty_padding"]),
    ("TextEncodeQwenImageEdit", &["prompt"]),
    ("TextEncodeQwenImageEditPlus", &["prompt"]),
    ("GLIGENTextBoxApply", &["text", "width", "height", "x", "y"]),
    ("CheckpointLoaderSimple", &["ckpt_name"]),
    ("CheckpointLoader", &["config_name", "ckpt_name"]),
    ("unCLIPCheckpointLoader", &["ckpt_name"]),
    ("ImageOnlyCheckpointLoader", &["ckpt_name"]),
    ("UNETLoader", &["unet_name", "weight_dtype"]),
    ("UnetLoaderGGUF", &["unet_name"]),
    ("VAELoader", &["vae_name"]),
    ("LoraLoader", &["lora_name", "strength_model", "strength_clip"]),
    ("LoraLoaderModelOnly", &["lora_name", "strength_model"]),
    ("CLIPSetLastLayer", &["stop_at_clip_layer"]),
    ("EmptyLatentImage", &["width", "height", "batch_size"]),
    ("EmptySD3LatentImage", &["width", "height", "batch_size"]),
    ("LatentUpscale", &["upscale_method", "width", "height", "crop"]),
    ("ImageScale", &["upscale_method", "width", "height", "crop"]),
    ("PrimitiveString", &["value"]),
    ("PrimitiveStringMultiline", &["value"]),
    ("PrimitiveInt", &["value"]),
    ("PrimitiveFloat", &["value"]),
    ("PrimitiveBoolean", &["value"]),
    ("StringConcatenate", &["string_a", "string_b", "delimiter"]),
    ("StringReplace", &["string", "find", "replace"]),
    ("StringTrim", &["string", "mode"]),
    (
        "ImpactWildcardProcessor",
        &["wildcard_text", "populated_text", "mode", "seed"],
    ),
    ("SaveImage", &["filename_prefix"]),
    // Node packs that many workflows use.
    (
        "Efficient Loader",
        &[
            "ckpt_name",
            "vae_name",
            "clip_skip",
            "lora_name",
            "lora_model_strength",
            "lora_clip_strength",
            "positive",
            "negative",
            "token_normalization",
            "weight_interpretation",
            "empty_latent_width",
            "empty_latent_height",
            "batch_size",
        ],
    ),
    (
        "ImpactWildcardEncode",
        &["wildcard_text", "populated_text", "mode", "lora", "wildcard", "seed"],
    ),
    ("WanVideoTextEncode", &["positive_prompt", "negative_prompt"]),
    ("CLIPTextEncodeLumina2", &["system_prompt", "user_prompt"]),
    (
        "BNK_CLIPTextEncodeAdvanced",
        &["text", "token_normalization", "weight_interpretation"],
    ),
    ("smZ CLIPTextEncode", &["text", "parser"]),
    ("Power Prompt (rgthree)", &["prompt"]),
    ("SDXLPromptStyler", &["text_positive", "text_negative", "style"]),
    ("ShowText|pysssss", &["text_0"]),
    ("String Literal", &["string"]),
    ("Text Multiline", &["text"]),
    ("CR Prompt Text", &["prompt"]),
    ("CR Seed", &["seed"]),
    ("easy seed", &["seed"]),
    ("Seed (rgthree)", &["seed"]),
];

/// A widget's name and value.
type Widget<'a> = (&'a str, &'a Value<'a>);

/// The widget values of a node under their names, which are made in `arena` where the file has none.
pub fn named_widgets<'a>(node: &Value<'a>, arena: &'a Arena) -> Vec<Widget<'a>> {
    let Some(widgets) = node.get("widgets_values") else {
        return Vec::new();
    };
    if let Value::Object(entries) = widgets {
        return entries.iter().map(|(name, value)| (*name, value)).collect();
    }
    let values = widgets.items();
    let class = node.get("type").and_then(Value::as_str).unwrap_or_default();
    if let Some((_, names)) = LAYOUTS.iter().find(|(name, _)| *name == class) {
        return align(names, values, false).unwrap_or_default();
    }
    let listed: Vec<&str> = node
        .get("inputs")
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|input| input.get("widget")?.get("name")?.as_str())
        .collect();
    align(&listed, values, true)
        .or_else(|| sampler_like(values))
        .unwrap_or_else(|| numbered(values, arena))
}

/// Names in order, skipping the control after a seed. With `exact`, nothing may be left over.
fn align<'a>(names: &[&'a str], values: &'a [Value<'a>], exact: bool) -> Option<Vec<Widget<'a>>> {
    let mut rest = values.iter().peekable();
    let mut named = Vec::with_capacity(names.len());
    for name in names {
        let Some(value) = rest.next() else { break };
        named.push((*name, value));
        if name.ends_with("seed") && rest.peek().is_some_and(|next| is_control(next)) {
            rest.next();
        }
    }
    (!exact || (rest.next().is_none() && named.len() == names.len() && !names.is_empty())).then_some(named)
}

/// Whether a value is the front end's choice of what happens to a seed after a run.
fn is_control(value: &Value<'_>) -> bool {
    // Efficiency's sampler hides it and leaves nothing in its place.
    *value == Value::Null || matches!(value.as_str(), Some("fixed" | "increment" | "decrement" | "randomize"))
}

/// The order that samplers have by custom: seed, control, steps, cfg, sampler, scheduler.
fn sampler_like<'a>(values: &'a [Value<'a>]) -> Option<Vec<Widget<'a>>> {
    const NAMES: &[&str] = &["seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"];
    let [
        Value::Number(_),
        control,
        Value::Number(_),
        Value::Number(_),
        Value::String(_),
        Value::String(_),
        ..,
    ] = values
    else {
        return None;
    };
    is_control(control).then(|| align(NAMES, values, false)).flatten()
}

fn numbered<'a>(values: &'a [Value<'a>], arena: &'a Arena) -> Vec<Widget<'a>> {
    values
        .iter()
        .enumerate()
        .map(|(at, value)| (&*arena.alloc_str(&format!("widget_{at}")), value))
        .collect()
}
