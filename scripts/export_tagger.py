#!/usr/bin/env python3
"""Exports a timm image classifier as a labelmill tagger: WD v3 weights, JoyTag-like ViTs, one's own.

    pip install torch==2.9.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6 pillow==13.0.0 \
        timm==1.0.31
    python3 scripts/export_tagger.py hf-hub:SmilingWolf/wd-vit-tagger-v3 --contract wd --labels selected_tags.csv --to DIR
    python3 scripts/export_tagger.py local-dir:FOLDER --contract plain --labels tags.txt --to DIR
    python3 scripts/export_tagger.py vit_base_patch16_224 --model-args img_size=448,class_token=False,global_pool=avg \
        --classes 10861 --contract wd --random-weights --to DIR

Contract `wd`: [batch, size, size, 3] BGR 0..255 in, probabilities out, as SmilingWolf's own files. Contract
`plain`: [batch, 3, size, size] RGB normalised in, logits out, as JoyTag's. Both pad with white, bicubic.
"""

import argparse
import ast
import pathlib
import shutil
import sys

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import export_common as common

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Wd(nn.Module):
    """The contract of WD taggers round a network that was trained on BGR in -1..1."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.permute(0, 3, 1, 2) / 127.5 - 1.0).sigmoid()


class Plain(nn.Module):
    """The network as it is."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


def prepared(pictures, contract: str) -> torch.Tensor:
    """uint8 RGB NHWC to what the exported graph takes."""
    if contract == "wd":
        return torch.from_numpy(pictures[..., ::-1].copy()).float()
    return common.prepared(pictures, CLIP_MEAN, CLIP_STD)


@torch.no_grad()
def liven(network, module, pictures, contract: str):
    """Random weights that see: sharp attention, scores that differ by what pictures differ in."""
    common.sharpen(network)
    head = network.get_classifier()
    seen = []
    hook = head.register_forward_pre_hook(lambda _module, given: seen.append(given[0].float().flatten(0, -2)))
    for picture in prepared(pictures, contract).split(1):
        module(picture)
    hook.remove()
    seen = torch.cat(seen)
    mean = seen.mean(0)
    nn.init.normal_(head.weight)
    head.weight *= 2.0 / ((seen - mean) @ head.weight.T).std(0).clamp(min=1e-6)[:, None]
    head.bias.copy_(-(head.weight @ mean) - 1.0)


def build(arguments):
    """The module with the contract's inputs and outputs, and the side of its pictures."""
    import timm

    torch.manual_seed(arguments.seed)
    options = {"num_classes": arguments.classes} if arguments.classes else {}
    network = timm.create_model(arguments.source, pretrained=not arguments.random_weights, **options, **arguments.model_args)
    network = network.eval()
    size = arguments.model_args.get("img_size") or network.pretrained_cfg["input_size"][-1]
    module = (Wd if arguments.contract == "wd" else Plain)(network)
    if arguments.random_weights:
        liven(network, module, common.read_pictures(arguments.pictures, size), arguments.contract)
    return module.eval(), size


def write_labels(folder: pathlib.Path, arguments, classes: int) -> str:
    """The label file beside the graph; its name."""
    if arguments.labels:
        shutil.copy(arguments.labels, folder / arguments.labels.name)
        return arguments.labels.name
    if arguments.contract == "plain":
        (folder / "top_tags.txt").write_text("".join(f"tag_{number:05}\n" for number in range(classes)))
        return "top_tags.txt"
    ratings = ["general", "sensitive", "questionable", "explicit"]
    rows = [f"{number},{name},9,0" for number, name in enumerate(ratings)]
    rows += [f"{number},tag_{number:05},{4 if number > classes * 3 // 4 else 0},0" for number in range(4, classes)]
    (folder / "selected_tags.csv").write_text("tag_id,name,category,count\n" + "\n".join(rows) + "\n")
    return "selected_tags.csv"


def export(module, size: int, arguments):
    name = arguments.name or common.slug(arguments.source.split("/")[-1].split(":")[-1])
    folder = arguments.to / name
    is_wd = arguments.contract == "wd"
    example = (torch.rand(2, size, size, 3) * 255,) if is_wd else (torch.rand(2, 3, size, size),)
    files = common.export_graph(
        module, example, folder / "model.onnx", (["input"], ["output"]), [{0: "batch"}], arguments.precision, arguments.check
    )  # fmt: skip
    classes = module.network.get_classifier().out_features
    labels = write_labels(folder, arguments, classes)
    made_of = f"random weights, seed {arguments.seed}" if arguments.random_weights else "its own weights"
    range_of_pixels = {"layout": "nhwc", "channels": "bgr", "scale": "0..255"} if is_wd else {
        "layout": "nchw", "channels": "rgb", "scale": "0..1", "mean": list(CLIP_MEAN), "std": list(CLIP_STD),
    }  # fmt: skip
    common.write_manifest(folder, {
        "name": name, "kind": "tagger", "demo": True if arguments.random_weights else None,
        "description": f"{arguments.source} with {made_of}, exported by scripts/export_tagger.py, {arguments.precision}",
        "licence": arguments.licence or ("MIT OR Apache-2.0" if arguments.random_weights else "see origin"),
        "origin": f"scripts/export_tagger.py: {arguments.source} with {made_of}",
        "image": {
            "file": files[0], "sha256": common.sha256(folder / files[0]), "input": "input", "output": "output",
            "size": size, **range_of_pixels,
            "geometry": "pad", "filter": "bicubic", "alpha": "over", "background": [255, 255, 255],
        },
        "output": {
            "activation": "none" if is_wd else "sigmoid", "labels": labels,
            "label_format": "wd-csv" if labels.endswith(".csv") else "lines", "floor": arguments.floor,
        },
        "thresholds": {"general": 0.35, "character": 0.85} if is_wd else {"general": 0.4},
    }, [*files[1:], labels])  # fmt: skip
    return folder


def model_args(text: str) -> dict:
    pairs = (pair.split("=", 1) for pair in text.split(",") if pair)

    def value(word):
        try:
            return ast.literal_eval(word)
        except (ValueError, SyntaxError):
            return word

    return {key: value(word) for key, word in pairs}


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", help="timm's name of a model: hf-hub:OWNER/REPO, local-dir:FOLDER or an architecture")
    common.add_arguments(parser)
    parser.add_argument("--contract", choices=["wd", "plain"], required=True)
    parser.add_argument("--labels", type=pathlib.Path, help="label file; with --random-weights one can be made up")
    parser.add_argument("--classes", type=int, help="outputs, where the source does not say")
    parser.add_argument("--model-args", type=model_args, default={}, help="KEY=VALUE,… for timm")
    parser.add_argument("--licence", help="licence of the weights, for the manifest")
    arguments = parser.parse_args(given)
    if not arguments.labels and not arguments.random_weights:
        parser.error("--labels is wanted")
    return arguments


def main(given=None):
    arguments = parse_arguments(given)
    torch.set_grad_enabled(False)
    module, size = build(arguments)
    common.list_files(export(module, size, arguments))


if __name__ == "__main__":
    main()
