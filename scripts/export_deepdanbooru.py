#!/usr/bin/env python3
"""Exports DeepDanbooru v3 (the TorchDeepDanbooru checkpoint of the web UI) as a labelmill model.

    pip install torch==2.9.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6 pillow==13.0.0
    python3 scripts/export_deepdanbooru.py model-resnet_custom_v3.pt --to DIR
    python3 scripts/export_deepdanbooru.py --random-weights --to DIR

DIR/deepdanbooru-v3/ then holds model.onnx (`input` [batch, 512, 512, 3] RGB 0..1 to `output`, probabilities),
tags.txt out of the checkpoint, and model.toml.
"""

import argparse
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import export_common as common

STAGES = [(256, 3), (512, 8), (1024, 20), (1024, 20), (2048, 3), (4096, 3)]
"""Channels and blocks of each stage; a block works in a quarter of its channels. All but the first halve the sides."""

TAGS = 9176
TINY_STAGES = [(16, 1), (32, 2), (32, 1)]


def same(x, kernel: int, stride: int, value=0.0):
    """TensorFlow's "SAME" padding of an even side: what is odd goes to the right and below."""
    total = kernel - stride
    before = total // 2
    return F.pad(x, [before, total - before, before, total - before], value=value)


class Block(nn.Module):
    """A bottleneck: 1x1, 3x3, 1x1, beside them the input or its projection."""

    def __init__(self, given: int, made: int, stride: int, projects: bool):
        super().__init__()
        inner = made // 4
        self.stride = stride
        self.project = nn.Conv2d(given, made, 1, stride) if projects else None
        self.narrow = nn.Conv2d(given, inner, 1)
        self.look = nn.Conv2d(inner, inner, 3, stride)
        self.widen = nn.Conv2d(inner, made, 1)

    def forward(self, x):
        beside = x if self.project is None else self.project(x)
        y = F.relu(self.narrow(x))
        y = F.relu(self.look(same(y, 3, self.stride)))
        return F.relu(self.widen(y) + beside)


class DeepDanbooru(nn.Module):
    """ResNet-custom-v3: NHWC in, batch norms folded into the convolutions, probabilities out."""

    def __init__(self, stages=STAGES, tags=TAGS):
        super().__init__()
        width = stages[0][0] // 4
        self.stem = nn.Conv2d(3, width, 7, 2)
        blocks = []
        for index, (channels, count) in enumerate(stages):
            for number in range(count):
                first = number == 0
                blocks.append(Block(width, channels, 2 if first and index > 0 else 1, first))
                width = channels
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(width, tags, 1, bias=False)

    def features(self, x):
        x = F.relu(self.stem(same(x.permute(0, 3, 1, 2), 7, 2)))
        # Never negative behind a ReLU, so padding with zeros is padding with nothing.
        x = F.max_pool2d(same(x, 3, 2), 3, 2)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x):
        return self.head(self.features(x)).mean((2, 3)).sigmoid()

    def numbered(self):
        """The convolutions in the checkpoint's order: a block's projection stands before its other
        three, but for the one stage that keeps its channels, where it stands after them."""
        yield self.stem
        for block in self.blocks:
            inner = [block.narrow, block.look, block.widen]
            if block.project is None:
                yield from inner
            elif block.project.in_channels == block.project.out_channels:
                yield from [*inner, block.project]
            else:
                yield from [block.project, *inner]
        yield self.head

    def load(self, checkpoint: dict):
        """Takes the weights `n_Conv_0` to `n_Conv_178`; every one must be there and fit."""
        convolutions = list(self.numbered())
        for number, convolution in enumerate(convolutions):
            weights = {key: checkpoint[f"n_Conv_{number}.{key}"] for key in dict(convolution.named_parameters())}
            convolution.load_state_dict(weights)
        known = {f"n_Conv_{number}" for number in range(len(convolutions))}
        left = {key.split(".")[0] for key in checkpoint if key != "tags"} - known
        if left:
            raise SystemExit(f"the checkpoint has weights of no known layer: {sorted(left)}")


@torch.no_grad()
def liven(model: DeepDanbooru, pictures):
    """Random weights that see: a stable depth, and scores that differ by what pictures differ in."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for block in model.blocks:
        block.widen.weight *= 0.25
    batches = (torch.from_numpy(pictures).float() / 255).split(1)
    seen = torch.cat([model.features(batch).mean((2, 3)) for batch in batches])
    mean = seen.mean(0)
    head = model.head.weight[:, :, 0, 0]
    # What all pictures share would be most of every score: it is taken out of the head.
    head -= torch.outer(head @ mean, mean) / mean.dot(mean)
    # Half a logit of spread: a random network of this depth makes much of a level more or less.
    head *= 0.5 / (seen @ head.T).std(0).clamp(min=1e-6)[:, None]


def build(arguments):
    """The model and its tags."""
    stages, tags = (TINY_STAGES, 64) if arguments.tiny else (STAGES, TAGS)
    torch.manual_seed(arguments.seed)
    model = DeepDanbooru(stages, tags)
    if not arguments.random_weights:
        checkpoint = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
        model.load(checkpoint)
        return model.eval(), list(checkpoint["tags"])
    liven(model, common.read_pictures(arguments.pictures, arguments.size))
    names = [f"tag_{number:04}" for number in range(tags - 3)]
    return model.eval(), [*names, "rating:safe", "rating:questionable", "rating:explicit"]


def export(model, tags, arguments):
    name = arguments.name or "deepdanbooru-v3"
    folder = arguments.to / name
    size = arguments.size
    example = (torch.rand(2, size, size, 3),)
    files = common.export_graph(
        model, example, folder / "model.onnx", (["input"], ["output"]), [{0: "batch"}], arguments.precision, arguments.check
    )  # fmt: skip
    (folder / "tags.txt").write_text("\n".join(tags) + "\n", encoding="utf-8")
    made_of = f"random weights, seed {arguments.seed}" if arguments.random_weights else "KichangKim/DeepDanbooru's v3"
    common.write_manifest(folder, {
        "name": name, "kind": "tagger", "demo": True if arguments.random_weights else None,
        "description": f"DeepDanbooru v3 with {made_of}, {arguments.precision}",
        "licence": "MIT OR Apache-2.0" if arguments.random_weights else "MIT",
        "origin": f"scripts/export_deepdanbooru.py: {made_of}",
        "image": {
            "file": files[0], "sha256": common.sha256(folder / files[0]), "input": "input", "output": "output",
            "size": size, "layout": "nhwc", "channels": "rgb", "scale": "0..1",
            "geometry": "edge", "filter": "lanczos", "alpha": "over", "background": [255, 255, 255],
        },
        "output": {"activation": "none", "labels": "tags.txt", "label_format": "lines", "floor": arguments.floor},
        "thresholds": {"general": 0.5},
    }, [*files[1:], "tags.txt"])  # fmt: skip
    return folder


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=pathlib.Path, nargs="?")
    common.add_arguments(parser)
    parser.add_argument("--tiny", action="store_true", help="with --random-weights: a cut-down model for tests")
    parser.add_argument("--size", type=int, default=512, help="with --tiny: side of the picture in pixels, a multiple of 32")
    arguments = parser.parse_args(given)
    if (arguments.checkpoint is None) != arguments.random_weights:
        parser.error("a checkpoint or --random-weights is wanted")
    return arguments


def main(given=None):
    arguments = parse_arguments(given)
    torch.set_grad_enabled(False)
    model, tags = build(arguments)
    common.list_files(export(model, tags, arguments))


if __name__ == "__main__":
    main()
