"""The generation data that the sample pictures carry, written as each generator writes it.

Prompts, hashes and names are made up for the pictures; the layouts follow the generators' own files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass
class Generation:
    """What was typed, and what labelmill should recover of it."""

    generator: str
    prompt: str
    negative_prompt: str
    settings: dict = field(default_factory=dict)
    loras: list[dict] = field(default_factory=list)


def infotext(generation: Generation, size: tuple[int, int], version: str, **extra: str) -> str:
    """Returns the three parts that the A1111 family writes: prompt, negative prompt, settings line."""
    s = generation.settings
    line = {"Steps": s["steps"], "Sampler": s["sampler"], "Schedule type": s.get("scheduler")}
    line |= {"CFG scale": s["cfg_scale"], "Seed": s["seed"], "Size": f"{size[0]}x{size[1]}"}
    line |= {"Model hash": s.get("model_hash"), "Model": s.get("model"), "VAE": s.get("vae")}
    line |= {"Clip skip": s.get("clip_skip")} | {key.replace("_", " "): value for key, value in extra.items()}
    if generation.loras:
        hashes = ", ".join(f"{lora['name']}: {lora['hash']}" for lora in generation.loras)
        line["Lora hashes"] = json.dumps(hashes)
    line["Version"] = version
    text = ", ".join(f"{key}: {value}" for key, value in line.items() if value is not None)
    return f"{generation.prompt}\nNegative prompt: {generation.negative_prompt}\n{text}"


FOX = Generation(
    "a1111",
    "masterpiece, best quality, fox, no humans, animal focus, orange fur, snow, winter, looking at viewer, flat color, "
    "<lora:emoji_sticker_v2:0.8>",
    "lowres, bad anatomy, worst quality, low quality, jpeg artifacts, signature, watermark",
    {"steps": 28, "sampler": "DPM++ 2M", "scheduler": "Karras", "cfg_scale": 7, "seed": 2718281828,
     "model": "v1-5-pruned-emaonly", "model_hash": "6ce0161689", "vae": "vae-ft-mse-840000-ema-pruned.safetensors",
     "clip_skip": 2},
    [{"name": "emoji_sticker_v2", "weight": 0.8, "hash": "3f6a0c91d2be"}],
)  # fmt: skip
HOT_BEVERAGE = Generation(
    "a1111",
    "a cup of café au lait on a pastel tablecloth, 朝の光, children's book illustration, thick outlines,\n"
    "soft shadows, cosy morning",
    "photo, blurry, text, naïve collage",
    {"steps": 30, "sampler": "Euler a", "scheduler": "Automatic", "cfg_scale": 6.5, "seed": 31415926,
     "model": "dreamshaper_8", "model_hash": "879db523c3"},
)  # fmt: skip
ROCKET = Generation(
    "a1111",
    "a rocket lifting off over a teal sky, vector art, simple shapes, (sticker:1.2), trending on dribbble",
    "realistic, 3d render, people",
    # Before version 1.9 the sampler's name held the schedule.
    {"steps": 20, "sampler": "DPM++ 2M Karras", "cfg_scale": 9.5, "seed": 4294967295, "model": "sd_xl_base_1.0",
     "model_hash": "31e35c80fc"},
)  # fmt: skip
DRAGON = Generation(
    "a1111",
    "dragon, no humans, green scales, open mouth, wings, tail, solo, full body, fantasy, chibi, "
    "<lora:tiny_dragons:0.65> <lora:thick_outline:1>",
    "human, 1girl, 1boy, bad anatomy, extra limbs, (worst quality:1.4)",
    {"steps": 24, "sampler": "DPM++ SDE", "scheduler": "Karras", "cfg_scale": 5, "seed": 1618033988,
     "model": "anything-v5", "model_hash": "7f96a1a9ca", "clip_skip": 2},
    [{"name": "tiny_dragons", "weight": 0.65, "hash": "b1a7e5c0ffee"},
     {"name": "thick_outline", "weight": 1.0, "hash": "0ddba11ad0be"}],
)  # fmt: skip
UNICORN = Generation(
    "a1111",
    "unicorn head in profile, pastel mane, rainbow sparkles, kawaii, sticker, white outline",
    "horse without horn, dark, gore",
    {"steps": 32, "sampler": "UniPC", "scheduler": "SGM Uniform", "cfg_scale": 7.5, "seed": 1123581321,
     "model": "toonyou_beta6", "model_hash": "e8d456c42e"},
)  # fmt: skip
TIGER = Generation(
    "forge",
    "tiger face, front view, orange fur, black stripes, symmetrical, flat vector illustration",
    "photo, noise, blurry",
    {"steps": 25, "sampler": "Euler", "scheduler": "Simple", "cfg_scale": 4.5, "seed": 997755331,
     "model": "sd_xl_base_1.0", "model_hash": "31e35c80fc"},
)  # fmt: skip
LEMON = Generation(
    "a1111",
    "a single lemon with a leaf, yellow, flat illustration, plain background",
    "shadow, table, knife",
    {"steps": 20, "sampler": "Euler a", "scheduler": "Automatic", "cfg_scale": 7, "seed": 55555,
     "model": "v1-5-pruned-emaonly", "model_hash": "6ce0161689"},
)  # fmt: skip
OWL = Generation(
    "comfyui",
    "a sleepy owl at night, eyes closed, storybook illustration, limited palette",
    "photograph, watermark, text",
    {"steps": 24, "sampler": "dpmpp_2m", "scheduler": "karras", "cfg_scale": 6.5, "seed": 15112218709551099113,
     "model": "sd_xl_base_1.0.safetensors"},
    [{"name": "storybook_xl.safetensors", "weight": 0.75}],
)  # fmt: skip
CAT = Generation(
    "novelai",
    "no humans, cat, {orange fur}, close-up, whiskers, sticker, very aesthetic, masterpiece, no text",
    "lowres, artistic error, film grain, worst quality, bad quality, jpeg artifacts, multiple views, logo",
    {"steps": 28, "sampler": "k_euler_ancestral", "scheduler": "karras", "cfg_scale": 5, "seed": 949223552},
)
MUSHROOM = Generation(
    "swarmui",
    "a red mushroom with white dots in the forest, cosy storybook style",
    "rotten, dark, horror",
    {"steps": 20, "sampler": "euler_ancestral", "scheduler": "karras", "cfg_scale": 7, "seed": 830680752,
     "model": "OfficialStableDiffusion/sd_xl_base_1.0"},
    [{"name": "cosy_storybook", "weight": 0.7}],
)  # fmt: skip
PENGUIN = Generation(
    "invokeai",
    "a small penguin on an ice floe, gouache, soft light",
    "text, frame, polar bear",
    {"steps": 30, "cfg_scale": 6, "seed": 1860920704, "model": "juggernautXL"},
)


def comfyui_graphs(size: tuple[int, int]) -> tuple[str, str]:
    """Returns the executed graph (`prompt`) and the editor's (`workflow`) of the owl."""
    s = OWL.settings
    nodes = {
        "3": ("KSampler", {"seed": s["seed"], "steps": s["steps"], "cfg": s["cfg_scale"], "sampler_name": s["sampler"],
                           "scheduler": s["scheduler"], "denoise": 1, "model": ["10", 0], "positive": ["6", 0],
                           "negative": ["7", 0], "latent_image": ["5", 0]}),
        "4": ("CheckpointLoaderSimple", {"ckpt_name": s["model"]}),
        "5": ("EmptyLatentImage", {"width": size[0], "height": size[1], "batch_size": 1}),
        "6": ("CLIPTextEncode", {"text": OWL.prompt, "clip": ["10", 1]}),
        "7": ("CLIPTextEncode", {"text": OWL.negative_prompt, "clip": ["10", 1]}),
        "8": ("VAEDecode", {"samples": ["3", 0], "vae": ["4", 2]}),
        "9": ("SaveImage", {"filename_prefix": "owl", "images": ["8", 0]}),
        "10": ("LoraLoader", {"lora_name": OWL.loras[0]["name"], "strength_model": OWL.loras[0]["weight"],
                              "strength_clip": 1, "model": ["4", 0], "clip": ["4", 1]}),
    }  # fmt: skip
    prompt = {key: {"inputs": inputs, "class_type": kind} for key, (kind, inputs) in nodes.items()}
    links, drawn = [], []
    for key, (kind, inputs) in nodes.items():
        widgets = [value for value in inputs.values() if not isinstance(value, list)]
        if kind == "KSampler":
            widgets.insert(1, "randomize")
        drawn.append({"id": int(key), "type": kind, "pos": [0, 0], "mode": 0, "widgets_values": widgets})
        for slot, value in enumerate(value for value in inputs.values() if isinstance(value, list)):
            links.append([len(links) + 1, int(value[0]), value[1], int(key), slot, "*"])
    workflow = {"last_node_id": 10, "last_link_id": len(links), "nodes": drawn, "links": links, "version": 0.4}
    return json.dumps(prompt), json.dumps(workflow)


def novelai_texts(size: tuple[int, int]) -> dict[str, str]:
    """Returns the text chunks of the cat."""
    s = CAT.settings
    captions = {
        "v4_prompt": {"caption": {"base_caption": CAT.prompt, "char_captions": []}, "use_coords": False},
        "v4_negative_prompt": {"caption": {"base_caption": CAT.negative_prompt, "char_captions": []}},
    }
    comment = {"prompt": CAT.prompt, "steps": s["steps"], "height": size[1], "width": size[0], "scale": s["cfg_scale"],
               "uncond_scale": 0.0, "cfg_rescale": 0.0, "seed": s["seed"], "n_samples": 1, "sampler": s["sampler"],
               "noise_schedule": s["scheduler"], **captions, "uc": CAT.negative_prompt,
               "request_type": "PromptGenerateRequest"}  # fmt: skip
    return {"Title": "NovelAI generated image", "Description": CAT.prompt, "Software": "NovelAI",
            "Source": "NovelAI Diffusion V4.5 4BDE2A90", "Generation time": "2.95",
            "Comment": json.dumps(comment)}  # fmt: skip


def swarmui_parameters(size: tuple[int, int]) -> str:
    """Returns the JSON of the mushroom."""
    s, lora = MUSHROOM.settings, MUSHROOM.loras[0]
    parameters = {"prompt": MUSHROOM.prompt, "negativeprompt": MUSHROOM.negative_prompt, "model": s["model"],
                  "seed": s["seed"], "steps": s["steps"], "cfgscale": s["cfg_scale"], "aspectratio": "Custom",
                  "width": size[0], "height": size[1], "sampler": s["sampler"], "scheduler": s["scheduler"],
                  "loras": [lora["name"]], "loraweights": [str(lora["weight"])],
                  "swarm_version": "0.9.7.0"}  # fmt: skip
    extra = {"date": "2026-05-18", "prep_time": "0.01 sec", "generation_time": "4.20 sec"}
    return json.dumps({"sui_image_params": parameters, "sui_extra_data": extra}, indent=2)


def invokeai_metadata(size: tuple[int, int]) -> str:
    """Returns the JSON of the penguin."""
    s = PENGUIN.settings
    return json.dumps(
        {"generation_mode": "sdxl_txt2img", "positive_prompt": PENGUIN.prompt,
         "negative_prompt": PENGUIN.negative_prompt, "width": size[0], "height": size[1], "seed": s["seed"],
         "rand_device": "cpu", "cfg_scale": s["cfg_scale"], "steps": s["steps"], "scheduler": "euler_a",
         "model": {"key": "179d02bf-f5e5-4b5b-a4df-f386f3e70e93", "hash": "blake3:7c1631b481e15664", "base": "sdxl",
                   "name": s["model"], "type": "main"}, "app_version": "5.6.0"}
    )  # fmt: skip
