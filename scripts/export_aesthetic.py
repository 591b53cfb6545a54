#!/usr/bin/env python3
"""Exports LAION's aesthetic predictor (an MLP over unit CLIP ViT-L/14 embeddings) as the head of a labelmill score.

    pip install torch==2.9.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6 pillow==13.0.0
    python3 scripts/export_aesthetic.py "sac+logos+ava1-l14-linearMSE.pth" --to DIR
    python3 scripts/export_aesthetic.py --random-weights --to DIR

Writes DIR/aesthetic-laion/head.onnx (`embedding` [batch, 768] to `score` [batch, 1]). Put it beside models/aesthetic-laion's
manifest and the image tower that the manifest names.
"""

import argparse
import pathlib
import sys

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import export_common as common

WIDTHS = [768, 1024, 128, 64, 16, 1]
LINEAR_INDICES = [0, 2, 4, 6, 7]
"""Places of the linear layers among the checkpoint's `layers`; dropouts, which do nothing here, stand between them."""


def build(checkpoint, width: int):
    """Five linear layers; nothing between them, as the predictor was trained."""
    widths = [width, *WIDTHS[1:]]
    layers = [nn.Linear(given, made) for given, made in zip(widths, widths[1:])]
    if checkpoint is not None:
        weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
        for layer, index in zip(layers, LINEAR_INDICES):
            layer.load_state_dict({key: weights[f"layers.{index}.{key}"] for key in ("weight", "bias")})
    return nn.Sequential(*layers).eval()


def main(given=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=pathlib.Path, nargs="?")
    parser.add_argument("--width", type=int, default=768, help="values an embedding")
    common.add_arguments(parser)
    arguments = parser.parse_args(given)
    if (arguments.checkpoint is None) != arguments.random_weights:
        parser.error("a checkpoint or --random-weights is wanted")
    torch.set_grad_enabled(False)
    torch.manual_seed(arguments.seed)
    head = build(arguments.checkpoint, arguments.width)
    folder = arguments.to / (arguments.name or "aesthetic-laion")
    example = (nn.functional.normalize(torch.randn(2, arguments.width), dim=-1),)
    common.export_graph(
        head, example, folder / "head.onnx", (["embedding"], ["score"]), [{0: "batch"}], arguments.precision, arguments.check
    )  # fmt: skip
    common.list_files(folder)


if __name__ == "__main__":
    main()
