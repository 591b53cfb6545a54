#!/usr/bin/env python3
"""Exports a CLIP or SigLIP as a labelmill model: image tower, text tower, tokenizer, manifest.

    pip install torch==2.9.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6 pillow==13.0.0 \
        open_clip_torch==3.3.0 transformers==5.24.0 tokenizers==0.23.3
    python3 scripts/export_clip.py ViT-L-14-336/openai --to DIR             # open_clip architecture/weights
    python3 scripts/export_clip.py ViT-g-14 --checkpoint FILE --to DIR      # open_clip architecture, own weights
    python3 scripts/export_clip.py hf:openai/clip-vit-base-patch32 --to DIR # transformers name or local folder

DIR/NAME/ then holds image.onnx (`pixel_values` to `image_embeds`), text.onnx (`input_ids` to `text_embeds`,
dynamic batch; dynamic sequence where the tower is causal), text_steps.onnx (the same tower for prompts that grow, see
export_clip_chain.py; not with `--no-chain`), tokenizer.json and model.toml; embeddings are not normalised in the graph. `--random-weights` makes the exact architecture without weights, for tests and
benchmarks; `--tiny WIDTH,LAYERS,HEADS` cuts both towers (and CLIP's vocabulary) down.
"""

import argparse
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import export_common as common
from export_clip_chain import export_chain
import export_tokenizer as tokenizers
from export_towers import HfImage, HfText, ImageTower, TextTower, use_plain_attention

LICENCES = {
    "openai": "MIT", "laion": "MIT", "datacomp": "MIT", "commonpool": "MIT", "webli": "Apache-2.0", "dfn": "Apple sample code licence",
}  # fmt: skip


def cut_down(architecture: str, arguments):
    """What --tiny changes of an architecture's configuration."""
    import open_clip

    width, layers, heads = arguments.tiny
    config = open_clip.get_model_config(architecture)
    vision = dict(config["vision_cfg"])
    vision["image_size"] = arguments.size or vision.get("image_size", 224)
    if "timm_model_name" not in vision:
        vision |= dict(layers=layers, width=width, head_width=width // heads)
    text = dict(config["text_cfg"], width=width, layers=layers, heads=heads, vocab_size=tokenizers.TINY_WORDS)
    return dict(embed_dim=width, vision_cfg=vision, text_cfg=text)


def cut_down_trunk(visual, arguments):
    """The same for an image tower that timm makes, whose configuration has no such keys."""
    import timm

    width, layers, heads = arguments.tiny
    name = visual.trunk.default_cfg["architecture"]
    visual.trunk = timm.create_model(
        name, num_classes=0, global_pool="map", img_size=visual.image_size, embed_dim=width, depth=layers, num_heads=heads
    )


def random_open_clip(architecture: str, weights: str, quick: bool, arguments):
    """The architecture with random weights and the preprocessing that the named weights want."""
    import open_clip

    overrides = cut_down(architecture, arguments) if arguments.tiny else {}
    torch.manual_seed(arguments.seed)
    model = open_clip.create_model(
        architecture, load_weights=False, force_quick_gelu=quick, pretrained_text=False, **overrides
    )
    if arguments.tiny and hasattr(model.visual, "trunk"):
        cut_down_trunk(model.visual, arguments)
    if tag := open_clip.get_pretrained_cfg(architecture, weights):
        wanted = {key: tag[key] for key in ("mean", "std", "interpolation", "resize_mode") if tag.get(key) is not None}
        model.visual.preprocess_cfg = {**model.visual.preprocess_cfg, **wanted}
    return model


def architecture_and_weights(arguments):
    architecture, _, weights = arguments.model.partition("/")
    return architecture, str(arguments.checkpoint) if arguments.checkpoint else weights


def load_open_clip(arguments):
    """The model and its preprocessing."""
    import open_clip

    architecture, weights = architecture_and_weights(arguments)
    if not weights and not arguments.random_weights:
        raise SystemExit(f"{arguments.model} names no weights: write ARCHITECTURE/WEIGHTS, --checkpoint or --random-weights")
    quick = weights == "openai" or arguments.quickgelu
    if arguments.random_weights:
        model = random_open_clip(architecture, weights, quick, arguments)
    else:
        model = open_clip.create_model(architecture, pretrained=weights, force_quick_gelu=quick)
    preprocess = dict(open_clip.get_model_preprocess_cfg(model))
    if not isinstance(preprocess["size"], int):
        if len(set(preprocess["size"])) > 1:
            raise SystemExit(f"{architecture} takes pictures of {preprocess['size']}, which are no squares")
        preprocess["size"] = preprocess["size"][0]
    model = model.eval().requires_grad_(False)
    if arguments.random_weights:
        liven(model, preprocess, common.read_pictures(arguments.pictures, preprocess["size"]))
    return model, preprocess


@torch.no_grad()
def liven(model, preprocess, pictures):
    """Random weights that see: sharp attention, embeddings centred over some pictures."""
    common.sharpen(model)
    batches = common.prepared(pictures, preprocess["mean"], preprocess["std"]).split(1)
    visual = model.visual
    if hasattr(visual, "ln_post"):
        common.centre(visual.ln_post, visual.ln_post, visual, batches)
    elif getattr(visual.trunk, "attn_pool", None) is not None:
        # SigLIP's pooling ends in `x + mlp(norm(x))`, so the last linear's bias moves its result.
        common.centre(visual.trunk.attn_pool, visual.trunk.attn_pool.mlp.fc2, visual, batches)
    else:
        common.centre(visual.trunk.norm, visual.trunk.norm, visual, batches)


def write_tokenizer(arguments, model_config, path: pathlib.Path):
    """tokenizer.json of the model, by its kind; returns the id that pads."""
    name = (model_config or {}).get("text_cfg", {}).get("hf_tokenizer_name")
    if not name:
        tokenizers.write_clip_tokenizer(path, tokenizers.TINY_MERGES if arguments.tiny else None)
        return 0
    if arguments.random_weights:
        tokenizers.write_stand_in_tokenizer(path, "<pad>", "<eos>")
        return 0
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    tokenizer.backend_tokenizer.save(str(path))
    return tokenizer.pad_token_id or 0


def image_section(preprocess, files, folder):
    geometry = {"shortest": "crop", "squash": "squash"}.get(preprocess["resize_mode"])
    if geometry is None:
        raise SystemExit(f"resize mode {preprocess['resize_mode']} has no geometry in manifests")
    filters = {"bicubic": "bicubic", "bilinear": "bilinear", "random": "bicubic"}
    return {
        "file": files[0], "sha256": common.sha256(folder / files[0]), "input": "pixel_values", "output": "image_embeds",
        "size": preprocess["size"], "layout": "nchw", "channels": "rgb", "scale": "0..1",
        "mean": list(preprocess["mean"]), "std": list(preprocess["std"]),
        "geometry": geometry, "filter": filters[preprocess["interpolation"]], "alpha": "drop",
    }  # fmt: skip


def text_section(model, tower, files, folder, pad):
    section = {
        "file": files[0], "sha256": common.sha256(folder / files[0]), "input": "input_ids", "output": "text_embeds",
        "tokenizer": "tokenizer.json", "context": tower.context, "pad_id": pad,
        "logit_scale": round(float(model.logit_scale.exp()), 6),
    }  # fmt: skip
    if getattr(model, "logit_bias", None) is not None:
        section |= {"logit_bias": round(float(model.logit_bias), 6), "activation": "sigmoid", "clean": "canonicalize"}
    return section


def export_image(model, preprocess, folder, arguments):
    size = preprocess["size"]
    example = (torch.rand(2, 3, size, size),)
    return common.export_graph(
        ImageTower(model.visual), example, folder / "image.onnx", (["pixel_values"], ["image_embeds"]),
        [{0: "batch"}], arguments.precision, arguments.check,
    )  # fmt: skip


def export_text(model, folder, arguments):
    """The text tower; its files."""
    tower = TextTower(model)
    length = 9 if tower.causal else tower.context
    dynamic = {0: "batch", 1: ("sequence", 2, tower.context)} if tower.causal else {0: "batch"}
    example = (torch.ones(2, length, dtype=torch.int64),)
    files = common.export_graph(
        tower, example, folder / "text.onnx", (["input_ids"], ["text_embeds"]), [dynamic], arguments.precision, arguments.check
    )
    return tower, files


def licence_of(tag: str, arguments) -> str:
    if arguments.licence or arguments.random_weights:
        return arguments.licence or "MIT OR Apache-2.0"
    return next((licence for key, licence in LICENCES.items() if key in tag), "see origin")


def export_open_clip(arguments):
    model, preprocess = load_open_clip(arguments)
    return export_loaded(model, preprocess, arguments)


def export_loaded(model, preprocess, arguments):
    """Writes a loaded model's folder; the model's attention is exchanged on the way."""
    import open_clip

    architecture, tag = architecture_and_weights(arguments)
    tag = pathlib.Path(tag).stem if arguments.checkpoint else tag
    name = arguments.name or common.slug(architecture if tag == "openai" else f"{architecture}-{tag.split('_')[0]}".strip("-"))
    folder = arguments.to / name
    folder.mkdir(parents=True, exist_ok=True)
    use_plain_attention(model)
    made_of = f"random weights, seed {arguments.seed}" if arguments.random_weights else f"open_clip's weights {tag}"
    manifest = {
        "name": name, "kind": "clip", "demo": True if arguments.random_weights else None,
        "description": f"{architecture} with {made_of}, exported by scripts/export_clip.py, {arguments.precision}",
        "licence": licence_of(tag, arguments),
        "origin": f"scripts/export_clip.py: {made_of}",
        "aliases": None if arguments.random_weights else [f"{architecture}/{tag}"],
    }  # fmt: skip
    extra = []
    if arguments.tower != "text":
        files = export_image(model, preprocess, folder, arguments)
        manifest["image"] = image_section(preprocess, files, folder)
        extra += files[1:]
    if arguments.tower != "image":
        tower, files = export_text(model, folder, arguments)
        pad = write_tokenizer(arguments, open_clip.get_model_config(architecture), folder / "tokenizer.json")
        manifest["text"] = text_section(model, tower, files, folder, pad)
        extra += files[1:]
        if arguments.chain and (steps := export_chain(tower, folder, arguments.precision, arguments.check)):
            manifest["text"]["chain"] = steps[0]
            extra += steps
    common.write_manifest(folder, manifest, [*extra, *(["tokenizer.json"] if "text" in manifest else [])])
    return folder


def hf_preprocess(source, size):
    """open_clip's words for what a transformers image processor does."""
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(source)
    filters = {2: "bilinear", 3: "bicubic"}
    squash = not getattr(processor, "do_center_crop", False)
    return {
        "size": size, "mean": processor.image_mean, "std": processor.image_std,
        "interpolation": filters[int(processor.resample)], "resize_mode": "squash" if squash else "shortest",
    }  # fmt: skip


def export_transformers(arguments):
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    source = arguments.model.removeprefix("hf:")
    torch.manual_seed(arguments.seed)
    if arguments.random_weights:
        model = AutoModel.from_config(AutoConfig.from_pretrained(source), attn_implementation="eager")
    else:
        model = AutoModel.from_pretrained(source, attn_implementation="eager")
    model = model.eval().requires_grad_(False)
    size = model.config.vision_config.image_size
    causal = model.config.model_type == "clip"
    preprocess = hf_preprocess(source, size)
    name = arguments.name or common.slug(source.split("/")[-1])
    folder = arguments.to / name
    folder.mkdir(parents=True, exist_ok=True)
    image = common.export_graph(
        HfImage(model), (torch.rand(2, 3, size, size),), folder / "image.onnx",
        (["pixel_values"], ["image_embeds"]), [{0: "batch"}], arguments.precision, arguments.check,
    )  # fmt: skip
    context = model.config.text_config.max_position_embeddings
    ids = torch.ones(2, context, dtype=torch.int64)
    text = common.export_graph(
        HfText(model), (ids,), folder / "text.onnx", (["input_ids"], ["text_embeds"]), [{0: "batch"}], arguments.precision, arguments.check
    )
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    section = {
        "file": text[0], "sha256": common.sha256(folder / text[0]), "input": "input_ids", "output": "text_embeds",
        "tokenizer": "tokenizer.json", "context": context, "pad_id": tokenizer.pad_token_id or 0,
        "logit_scale": round(float(model.logit_scale.exp()), 6),
    }  # fmt: skip
    if not causal and getattr(model, "logit_bias", None) is not None:
        section |= {"logit_bias": round(float(model.logit_bias), 6), "activation": "sigmoid"}
    manifest = {
        "name": name, "kind": "clip", "description": f"{source}, exported by scripts/export_clip.py, {arguments.precision}",
        "licence": arguments.licence or "see origin", "origin": f"scripts/export_clip.py: transformers {source}",
        "image": image_section(preprocess, image, folder), "text": section,
    }  # fmt: skip
    common.write_manifest(folder, manifest, [*image[1:], *text[1:], "tokenizer.json"])
    return folder


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="ARCHITECTURE/WEIGHTS of open_clip, or hf:NAME-OR-FOLDER of transformers")
    parser.add_argument("--to", type=pathlib.Path, required=True, help="folder that takes the model's folder")
    parser.add_argument("--name", help="name in the manifest")
    parser.add_argument("--checkpoint", type=pathlib.Path, help="weights of an open_clip architecture")
    parser.add_argument("--licence", help="licence of the weights, for the manifest")
    parser.add_argument("--precision", choices=common.PRECISIONS, default="fp32")
    parser.add_argument("--tower", choices=["image", "text", "both"], default="both")
    parser.add_argument("--no-chain", dest="chain", action="store_false", help="without the text tower in steps")
    parser.add_argument("--quickgelu", action="store_true", help="OpenAI's activation, for own checkpoints trained with it")
    parser.add_argument("--random-weights", action="store_true")
    parser.add_argument("--pictures", type=pathlib.Path, help="with --random-weights: centre embeddings on these pictures")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tiny", type=lambda text: [int(part) for part in text.split(",")], help="WIDTH,LAYERS,HEADS")
    parser.add_argument("--size", type=int, help="with --tiny: side of the picture in pixels")
    parser.add_argument("--no-check", dest="check", action="store_false", help="do not run the written graphs beside torch")
    arguments = parser.parse_args(given)
    if arguments.tiny and not arguments.random_weights:
        parser.error("--tiny goes with --random-weights")
    return arguments


def main(given=None):
    arguments = parse_arguments(given)
    torch.set_grad_enabled(False)
    folder = export_transformers(arguments) if arguments.model.startswith("hf:") else export_open_clip(arguments)
    common.list_files(folder)
    return folder


if __name__ == "__main__":
    main()
