//! Which format a JSON object is, told by its keys and their shapes, most specific first.

use crate::metadata::generator::{
    civitai, comfyui, draw_things, easy_diffusion, fooocus, hf_space, invokeai, novelai, ruined_fooocus,
    stability_matrix, swarmui, tensorart,
};
use crate::metadata::json::{self, Arena, Document, Value};

/// The formats, in the order of their rank: the earlier, the more specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// InvokeAI 3 and later.
    InvokeAi,
    /// InvokeAI 2.
    InvokeAiSdMetadata,
    /// InvokeAI 1, a command line.
    InvokeAiDream,
    /// TensorArt.
    TensorArt,
    /// Stability Matrix.
    StabilityMatrix,
    /// NovelAI, comment or wrapper.
    NovelAi,
    /// RuinedFooocus.
    RuinedFooocus,
    /// Fooocus.
    Fooocus,
    /// Fooocus MRE.
    FooocusMre,
    /// SwarmUI.
    SwarmUi,
    /// Hugging Face Spaces.
    HfSpace,
    /// Civitai's graph.
    CivitaiGraph,
    /// Draw Things.
    DrawThings,
    /// Infotext (no JSON).
    Infotext,
    /// ComfyUI's executed graph.
    ApiGraph,
    /// ComfyUI's workflow as drawn.
    UiGraph,
    /// Easy Diffusion, JSON or one text a field.
    EasyDiffusion,
    /// Midjourney's description (no JSON).
    Midjourney,
    /// A1111's upscaler settings (no JSON).
    Extras,
}

/// Tells the format of a whole object; `None` where no key is known.
pub fn of_object(object: &Value<'_>) -> Option<Format> {
    type Test = fn(&Value<'_>) -> bool;
    const TESTS: &[(Test, Format)] = &[
        (swarmui::is_it, Format::SwarmUi),
        (stability_matrix::is_it, Format::StabilityMatrix),
        (invokeai::is_it, Format::InvokeAi),
        (invokeai::is_sd_metadata, Format::InvokeAiSdMetadata),
        (tensorart::is_it, Format::TensorArt),
        (ruined_fooocus::is_it, Format::RuinedFooocus),
        (fooocus::is_mre, Format::FooocusMre),
        (fooocus::is_it, Format::Fooocus),
        (draw_things::is_it, Format::DrawThings),
        (novelai::is_comment, Format::NovelAi),
        (novelai::is_wrapper, Format::NovelAi),
        (hf_space::is_it, Format::HfSpace),
        (easy_diffusion::is_it, Format::EasyDiffusion),
        (civitai::is_graph, Format::CivitaiGraph),
        (comfyui::graph::is_api_graph, Format::ApiGraph),
        (comfyui::workflow::is_ui_graph, Format::UiGraph),
    ];
    TESTS.iter().find(|(test, _)| test(object)).map(|(_, format)| *format)
}

/// A text that may be a JSON object, and the name that stood before it (`prompt:{…}` in EXIF).
pub struct JsonText<'t> {
    /// The word before the object; empty where there is none.
    pub label: &'t str,
    /// The object.
    pub document: Document<'t>,
}

/// Reads `text` as a JSON object into `arena`, with or without a label; `None` where it is other text, a prompt
/// that only starts like JSON for instance. Text after the object makes it other text.
pub fn json_text<'t>(text: &'t str, arena: &'t Arena) -> Option<JsonText<'t>> {
    const MAX_LABEL: usize = 48;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    let brace = text.find('{').filter(|at| *at <= MAX_LABEL)?;
    let label = text[..brace].trim();
    let label = match label.strip_suffix(':') {
        Some(label)
            if label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) =>
        {
            label
        }
        None if label.is_empty() => label,
        _ => return None,
    };
    let document = json::parse(&text[brace..], arena)?;
    document.trailing.is_empty().then_some(JsonText { label, document })
}
