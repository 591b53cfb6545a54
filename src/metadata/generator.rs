//! One file a generator (or a family of them): each turns the texts of its format into typed
//! fields. Nothing here knows of containers; `interpret` decides which of them is asked.

pub mod civitai;
pub mod comfyui;
pub mod draw_things;
pub mod easy_diffusion;
pub mod fields;
pub mod fooocus;
pub mod hf_space;
pub mod infotext;
pub mod infotext_family;
pub mod infotext_settings;
pub mod invokeai;
pub mod loras;
pub mod midjourney;
pub mod novelai;
pub mod provenance;
pub mod ruined_fooocus;
pub mod stability_matrix;
pub mod swarmui;
pub mod tensorart;
