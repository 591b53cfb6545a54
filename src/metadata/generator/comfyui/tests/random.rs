//! Thousands of random graphs, each built backwards from its truth: texts, settings and LoRAs are
//! chosen first, then some of the many ways in which ComfyUI can wire them, then nodes that have
//! nothing to do with the picture. What is read must be what was chosen.

use super::super::*;
use crate::metadata::json;
use crate::record::Lora;

/// A small deterministic generator (xorshift64*), so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len() as u64) as usize]
    }

    fn text(&mut self) -> String {
        const WORDS: &[&str] = &[
            "cat",
            "(sky:1.2)",
            "masterpiece",
            "BREAK",
            "[a:b:0.5]",
            "Steps: 20, Sampler: x, Seed: 5",
            "\"quoted\"",
            "テスト",
            "😀",
            "{a|b}",
            "NaN",
            "a\nb",
            "back\\slash",
            "Negative prompt: no",
            "__wild__",
            "café",
            "]",
            "[\"4\", 0]",
        ];
        let count = 1 + self.below(5);
        // The number keeps texts apart: equal parts of a prompt are given once.
        let words: Vec<&str> = (0..count).map(|_| self.pick(WORDS)).collect();
        format!("{} {}", words.join(", "), self.below(1 << 40))
    }
}

/// A graph under construction and what it must give.
struct Builder {
    random: Random,
    nodes: Vec<(String, String)>,
    next_id: u64,
    prefix: &'static str,
}

impl Builder {
    fn add(&mut self, class: &str, inputs: &str) -> String {
        self.next_id += 1 + self.random.below(3);
        let id = format!("{}{}", self.prefix, self.next_id);
        self.nodes.push((
            id.clone(),
            format!(r#"{{"inputs": {{{inputs}}}, "class_type": "{class}", "_meta": {{"title": "x"}}}}"#),
        ));
        id
    }

    fn link(id: &str, slot: u64) -> String {
        format!(r#"["{id}", {slot}]"#)
    }

    /// A string input that comes to `text`: typed, or made by string nodes.
    fn string(&mut self, text: &str, depth: u64) -> String {
        let quoted = quote(text);
        if depth > 3 || text.is_empty() {
            return quoted;
        }
        match self.random.below(9) {
            0 => {
                let id = self.add("PrimitiveStringMultiline", &format!(r#""value": {quoted}"#));
                Self::link(&id, 0)
            }
            1 => {
                let at = split_point(text, &mut self.random);
                let (a, b) = (self.string(&text[..at], depth + 1), self.string(&text[at..], depth + 1));
                let id = self.add(
                    "StringConcatenate",
                    &format!(r#""string_a": {a}, "string_b": {b}, "delimiter": """#),
                );
                Self::link(&id, 0)
            }
            2 => {
                let id = self.add(
                    "ImpactWildcardProcessor",
                    &format!(
                        r#""wildcard_text": "a __x__", "populated_text": {quoted}, "mode": "populate", "seed": 3"#
                    ),
                );
                Self::link(&id, 0)
            }
            3 => {
                let (chosen, other) = (self.string(text, depth + 1), quote("the other side"));
                let truth = self.random.chance(50);
                let (on_true, on_false) = if truth { (&chosen, &other) } else { (&other, &chosen) };
                let id = self.add(
                    "ComfySwitchNode",
                    &format!(r#""switch": {truth}, "on_true": {on_true}, "on_false": {on_false}"#),
                );
                Self::link(&id, 0)
            }
            4 => {
                let inner = self.string(text, depth + 1);
                let id = self.add("PreviewAny", &format!(r#""source": {inner}"#));
                Self::link(&id, 0)
            }
            5 => {
                let id = self.add(
                    "ShowText|pysssss",
                    &format!(r#""text": "before the run", "text_0": {quoted}"#),
                );
                Self::link(&id, 0)
            }
            _ => quoted,
        }
    }

    /// An encoder of `text`, plain or of a family with several texts.
    fn encoder(&mut self, text: &str, clip: &str) -> String {
        match self.random.below(6) {
            0 => {
                let (g, l) = (self.string(text, 1), quote(""));
                let inputs = format!(
                    r#""width": 1024, "height": 1024, "crop_w": 0, "text_g": {g}, "text_l": {l}, "clip": {clip}"#
                );
                let id = self.add("CLIPTextEncodeSDXL", &inputs);
                Self::link(&id, 0)
            }
            1 => {
                let text = self.string(text, 1);
                let inputs = format!(r#""clip_l": {text}, "t5xxl": {text}, "guidance": 3.5, "clip": {clip}"#);
                let id = self.add("CLIPTextEncodeFlux", &inputs);
                Self::link(&id, 0)
            }
            2 => {
                let text = self.string(text, 1);
                let id = self.add(
                    "TextEncodeQwenImageEdit",
                    &format!(r#""prompt": {text}, "clip": {clip}"#),
                );
                Self::link(&id, 0)
            }
            _ => {
                let text = self.string(text, 0);
                let id = self.add("CLIPTextEncode", &format!(r#""text": {text}, "clip": {clip}"#));
                Self::link(&id, 0)
            }
        }
    }

    /// Conditioning that comes to `texts` in order, through combining and one-sided nodes.
    fn conditioning(&mut self, texts: &[String], clip: &str) -> String {
        let mut link = if let [only] = texts {
            self.encoder(only, clip)
        } else {
            let at = 1 + self.random.below(texts.len() as u64 - 1) as usize;
            let (a, b) = (
                self.conditioning(&texts[..at], clip),
                self.conditioning(&texts[at..], clip),
            );
            let (class, inputs) = if self.random.chance(50) {
                (
                    "ConditioningCombine",
                    format!(r#""conditioning_1": {a}, "conditioning_2": {b}"#),
                )
            } else {
                (
                    "ConditioningConcat",
                    format!(r#""conditioning_to": {a}, "conditioning_from": {b}"#),
                )
            };
            let id = self.add(class, &inputs);
            Self::link(&id, 0)
        };
        while self.random.chance(30) {
            let id = match self.random.below(4) {
                0 => self.add("Reroute", &format!(r#""": {link}"#)),
                1 => self.add(
                    "ConditioningSetArea",
                    &format!(r#""conditioning": {link}, "width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0"#),
                ),
                2 => self.add(
                    "ConditioningSetTimestepRange",
                    &format!(r#""conditioning": {link}, "start": 0.0, "end": 1.0"#),
                ),
                _ => self.add(
                    "ControlNetApply",
                    &format!(r#""conditioning": {link}, "control_net": "x", "image": ["gone", 0], "strength": 1.0"#),
                ),
            };
            link = Self::link(&id, 0);
        }
        link
    }

    /// Both sides through a node with two outputs, or not.
    fn two_sided(&mut self, positive: String, negative: String) -> (String, String) {
        if !self.random.chance(40) {
            return (positive, negative);
        }
        let class = self.random.pick(&[
            "ControlNetApplyAdvanced",
            "InpaintModelConditioning",
            "LTXVConditioning",
            "WanImageToVideo",
        ]);
        let id = self.add(
            class,
            &format!(r#""positive": {positive}, "negative": {negative}, "strength": 0.8"#),
        );
        let sides = (Self::link(&id, 0), Self::link(&id, 1));
        self.two_sided(sides.0, sides.1)
    }

    /// A checkpoint and the LoRAs after it: model and CLIP links.
    fn model(&mut self, truth: &Truth) -> (String, String) {
        let name = quote(&truth.model);
        let id = match self.random.below(2) {
            0 => self.add("CheckpointLoaderSimple", &format!(r#""ckpt_name": {name}"#)),
            _ => self.add(
                "UNETLoader",
                &format!(r#""unet_name": {name}, "weight_dtype": "default""#),
            ),
        };
        let (mut model, mut clip) = (Self::link(&id, 0), Self::link(&id, 1));
        for lora in &truth.loras {
            let (name, weight) = (quote(&lora.name), lora.weight.expect("set above"));
            let id = if self.random.chance(50) {
                self.add("LoraLoader", &format!(r#""lora_name": {name}, "strength_model": {weight}, "strength_clip": 1.0, "model": {model}, "clip": {clip}"#))
            } else {
                self.add("Power Lora Loader (rgthree)", &format!(r#""lora_1": {{"on": true, "lora": {name}, "strength": {weight}}}, "lora_2": {{"on": false, "lora": "off", "strength": 1}}, "model": {model}, "clip": {clip}"#))
            };
            (model, clip) = (Self::link(&id, 0), Self::link(&id, 1));
            if self.random.chance(30) {
                let id = self.add("ModelSamplingSD3", &format!(r#""model": {model}, "shift": 3.0"#));
                model = Self::link(&id, 0);
            }
        }
        (model, clip)
    }

    /// A number input, typed or from a value node.
    fn number(&mut self, text: &str) -> String {
        if self.random.chance(25) {
            let id = self.add("PrimitiveInt", &format!(r#""value": {text}"#));
            return Self::link(&id, 0);
        }
        text.to_owned()
    }

    /// A sampler of some family with the truth's settings.
    fn sampler(&mut self, truth: &Truth, model: &str, positive: &str, negative: &str, latent: &str) -> String {
        let (seed, steps) = (
            self.number(&truth.seed.to_string()),
            self.number(&truth.steps.to_string()),
        );
        let (cfg, sampler, scheduler) = (truth.cfg, &truth.sampler, &truth.scheduler);
        let names = format!(r#""sampler_name": "{sampler}", "scheduler": "{scheduler}""#);
        let sides = format!(r#""positive": {positive}, "negative": {negative}, "latent_image": {latent}"#);
        match self.random.below(5) {
            0 => self.add("KSampler", &format!(r#""seed": {seed}, "steps": {steps}, "cfg": {cfg}, {names}, "denoise": 1.0, "model": {model}, {sides}"#)),
            1 => self.add("KSamplerAdvanced", &format!(r#""add_noise": "enable", "noise_seed": {seed}, "steps": {steps}, "cfg": {cfg}, {names}, "start_at_step": 0, "model": {model}, {sides}"#)),
            2 => self.add("LookAlikeSampler", &format!(r#""seed": {seed}, "steps": {steps}, "cfg": {cfg}, {names}, "model": {model}, {sides}"#)),
            family => {
                let noise = self.add("RandomNoise", &format!(r#""noise_seed": {seed}"#));
                let select = self.add("KSamplerSelect", &format!(r#""sampler_name": "{sampler}""#));
                let sigmas = self.add("BasicScheduler", &format!(r#""scheduler": "{scheduler}", "steps": {steps}, "denoise": 1.0, "model": {model}"#));
                let common = format!(r#""sampler": ["{select}", 0], "sigmas": ["{sigmas}", 0]"#);
                if family == 3 {
                    let inputs = format!(r#""add_noise": true, "noise_seed": {seed}, "cfg": {cfg}, "model": {model}, {sides}, {common}"#);
                    return self.add("SamplerCustom", &inputs);
                }
                let guider = self.add("CFGGuider", &format!(r#""cfg": {cfg}, "model": {model}, "positive": {positive}, "negative": {negative}"#));
                self.add("SamplerCustomAdvanced", &format!(r#""noise": ["{noise}", 0], "guider": ["{guider}", 0], "latent_image": {latent}, {common}"#))
            }
        }
    }

    /// Nodes that do not reach the picture: other texts, a whole other sampler that nothing saves.
    fn distract(&mut self, clip: &str) {
        for _ in 0..self.random.below(4) {
            let text = quote(&self.random.text());
            match self.random.below(3) {
                0 => self.add("CLIPTextEncode", &format!(r#""text": {text}, "clip": {clip}"#)),
                1 => self.add("Note", &format!(r#""text": {text}"#)),
                _ => {
                    let stray = self.add("CLIPTextEncode", &format!(r#""text": {text}, "clip": {clip}"#));
                    self.add(
                        "KSampler",
                        &format!(
                            r#""seed": 1, "steps": 1, "cfg": 1, "positive": ["{stray}", 0], "negative": ["{stray}", 0]"#
                        ),
                    )
                }
            };
        }
    }

    /// The picture's way to the file, perhaps through a hires pass.
    fn save(&mut self, truth: &Truth, sampler: &str, model: &str, sides: (&str, &str)) {
        let mut latent = Self::link(sampler, 0);
        if truth.hires {
            let up = self.add(
                "LatentUpscale",
                &format!(r#""samples": {latent}, "upscale_method": "nearest", "width": 2048, "height": 2048"#),
            );
            let (positive, negative) = sides;
            let second = self.add(
                "KSampler",
                &format!(r#""seed": 99, "steps": 7, "cfg": 2, "sampler_name": "lcm", "scheduler": "simple", "denoise": 0.4, "model": {model}, "positive": {positive}, "negative": {negative}, "latent_image": ["{up}", 0]"#),
            );
            latent = Self::link(&second, 0);
        }
        let decoded = self.add("VAEDecode", &format!(r#""samples": {latent}, "vae": ["gone", 0]"#));
        let class = self
            .random
            .pick(&["SaveImage", "SaveAnimatedWEBP", "Image Saver", "PreviewImage"]);
        self.add(class, &format!(r#""images": ["{decoded}", 0], "filename_prefix": "x""#));
    }

    /// The nodes in random order: links may point forward and back.
    fn finish(mut self) -> String {
        for at in (1..self.nodes.len()).rev() {
            let other = self.random.below(at as u64 + 1) as usize;
            self.nodes.swap(at, other);
        }
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|(id, node)| format!("{}: {node}", quote(id)))
            .collect();
        format!("{{{}}}", nodes.join(", "))
    }
}

/// What a graph is built from.
struct Truth {
    positive: Vec<String>,
    negative: Vec<String>,
    zeroed: bool,
    seed: u64,
    steps: u32,
    cfg: f64,
    sampler: String,
    scheduler: String,
    model: String,
    loras: Vec<Lora>,
    size: (u32, u32),
    hires: bool,
}

impl Truth {
    fn new(random: &mut Random) -> Self {
        let texts = |random: &mut Random, most: u64| (0..=random.below(most)).map(|_| random.text()).collect();
        let lora = |random: &mut Random| Lora {
            name: format!("lora{}.safetensors", random.below(1000)),
            weight: Some(random.below(20) as f64 / 8.0),
            hash: None,
        };
        Self {
            positive: texts(random, 3),
            negative: texts(random, 2),
            zeroed: random.chance(15),
            seed: if random.chance(20) {
                u64::MAX - random.below(3)
            } else {
                random.next()
            },
            steps: 1 + random.below(150) as u32,
            cfg: random.below(80) as f64 / 4.0,
            sampler: random.pick(&["euler", "dpmpp_2m", "uni_pc"]).to_owned(),
            scheduler: random.pick(&["normal", "karras", "beta"]).to_owned(),
            model: format!("model{}.safetensors", random.below(1000)),
            loras: (0..random.below(4)).map(|_| lora(random)).collect(),
            size: (64 * (1 + random.below(32) as u32), 64 * (1 + random.below(32) as u32)),
            hires: random.chance(25),
        }
    }
}

fn quote(text: &str) -> String {
    let mut out = String::new();
    json::write_string(text, &mut out);
    out
}

/// Some character boundary inside `text`.
fn split_point(text: &str, random: &mut Random) -> usize {
    let at = random.below(text.len() as u64 + 1) as usize;
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn build(truth: &Truth, random: Random) -> String {
    let mut builder = Builder {
        random,
        nodes: Vec::new(),
        next_id: 0,
        prefix: "",
    };
    builder.prefix = builder.random.pick(&["", "37:", "a:1:", "Node_"]);
    let (model, clip) = builder.model(truth);
    let positive = builder.conditioning(&truth.positive, &clip);
    let negative = if truth.zeroed {
        let id = builder.add("ConditioningZeroOut", &format!(r#""conditioning": {positive}"#));
        Builder::link(&id, 0)
    } else {
        builder.conditioning(&truth.negative, &clip)
    };
    let (positive, negative) = builder.two_sided(positive, negative);
    let (width, height) = truth.size;
    let latent = builder.add(
        "EmptyLatentImage",
        &format!(r#""width": {width}, "height": {height}, "batch_size": 1"#),
    );
    let sampler = builder.sampler(truth, &model, &positive, &negative, &Builder::link(&latent, 0));
    builder.save(truth, &sampler, &model, (&positive, &negative));
    builder.distract(&clip);
    builder.finish()
}

#[test]
fn graphs_give_back_the_truth_they_were_built_from() {
    const GRAPHS: u64 = 5_000;
    for seed in 1..=GRAPHS {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let truth = Truth::new(&mut random);
        let text = build(&truth, random);
        let document = json::parse_leaking(&text).unwrap_or_else(|| panic!("seed {seed}: {text}"));
        let recovered = interpret_api(&document.value, None, &Arena::new()).unwrap_or_else(|| panic!("seed {seed}"));
        let context = format!("seed {seed}, hires {}: {text}", truth.hires);
        assert_eq!(
            recovered.prompt.as_deref(),
            Some(truth.positive.join("\n").as_str()),
            "{context}"
        );
        let negative = if truth.zeroed {
            String::new()
        } else {
            truth.negative.join("\n")
        };
        assert_eq!(
            recovered.negative_prompt.as_deref(),
            Some(negative.as_str()),
            "{context}"
        );
        let settings = &recovered.settings;
        assert_eq!(
            (settings.seed, settings.steps, settings.cfg_scale),
            (Some(truth.seed), Some(truth.steps), Some(truth.cfg)),
            "{context}"
        );
        assert_eq!(settings.sampler.as_deref(), Some(truth.sampler.as_str()), "{context}");
        assert_eq!(
            settings.scheduler.as_deref(),
            Some(truth.scheduler.as_str()),
            "{context}"
        );
        assert_eq!(settings.model.as_deref(), Some(truth.model.as_str()), "{context}");
        assert_eq!(
            (settings.width, settings.height),
            (Some(truth.size.0), Some(truth.size.1)),
            "{context}"
        );
        assert_eq!(recovered.loras, truth.loras, "{context}");
        assert_eq!(
            recovered.notes.iter().any(|note| note.starts_with("ambiguous")),
            truth.hires,
            "{context}"
        );
    }
}
