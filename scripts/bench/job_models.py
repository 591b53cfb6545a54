"""The two taggers of scripts/bench/job, made on the spot: exact shapes, random weights.

`light`: four strided convolutions at 224 pixels, so that decoding is the work. `vit-b-32`: ViT-B/32 at 224 pixels
(patch 32, 12 layers of width 768, 12 heads; Dosovitskiy et al. 2021), so that the model is.
Needs onnx==1.23.2 and numpy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, TAGS = 224, 1000
MANIFEST = """name = "{name}"
kind = "tagger"
description = "Random weights, for benchmarks"
licence = "MIT OR Apache-2.0"
origin = "scripts/bench/job_models.py"

[image]
file = "model.onnx"
input = "pixels"
output = "scores"
size = 224
layout = "nchw"
channels = "rgb"
scale = "0..1"
mean = [0.48145466, 0.4578275, 0.40821073]
std = [0.26862954, 0.26130258, 0.27577711]
geometry = "crop"
filter = "bicubic"
alpha = "over"

[output]
activation = "sigmoid"
labels = "tags.txt"
label_format = "lines"
floor = 0.5
"""


class Builder:
    """Collects nodes and seeded weights."""

    def __init__(self) -> None:
        self.nodes, self.weights, self.generator = [], [], np.random.default_rng(3)

    def weight(self, *shape: int, scale: float | None = None) -> str:
        scale = scale if scale is not None else 1 / np.sqrt(np.prod(shape[1:]) if len(shape) == 4 else shape[0])
        name = f"w{len(self.weights)}"
        values = (self.generator.standard_normal(shape) * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(self, values, dtype=np.int64) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def linear(self, x: str, inner: int, outer: int) -> str:
        return self.node("Add", self.node("MatMul", x, self.weight(inner, outer)), self.weight(outer, scale=0.02))

    def norm(self, x: str, width: int) -> str:
        ones, zeros = self.constant(np.ones(width), np.float32), self.constant(np.zeros(width), np.float32)
        return self.node("LayerNormalization", x, ones, zeros, axis=-1, epsilon=1e-5)

    def gelu(self, x: str) -> str:
        half = self.node("Mul", x, self.constant(0.5, np.float32))
        erf = self.node("Erf", self.node("Div", x, self.constant(np.sqrt(2), np.float32)))
        return self.node("Mul", half, self.node("Add", erf, self.constant(1, np.float32)))


def light(b: Builder) -> str:
    x, channels = "pixels", 3
    for outer, stride in ((16, 4), (32, 2), (64, 2), (64, 2)):
        weight = b.weight(outer, channels, 5 if stride == 4 else 3, 5 if stride == 4 else 3)
        pads = [2 if stride == 4 else 1] * 4
        x, channels = b.node("Relu", b.node("Conv", x, weight, strides=[stride] * 2, pads=pads)), outer
    return b.linear(b.node("Flatten", b.node("GlobalAveragePool", x)), channels, TAGS)


def vit_b_32(b: Builder) -> str:
    width, heads, layers, patch = 768, 12, 12, 32
    places = (SIZE // patch) ** 2
    x = b.node("Conv", "pixels", b.weight(width, 3, patch, patch), strides=[patch] * 2)
    x = b.node("Transpose", b.node("Reshape", x, b.constant([0, width, places])), perm=[0, 2, 1])
    x = b.node("Add", x, b.weight(1, places, width, scale=0.02))
    for _ in range(layers):
        h = b.norm(x, width)
        split = [
            b.node("Transpose", b.node("Reshape", b.linear(h, width, width), b.constant([0, places, heads, -1])), perm=perm)
            for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        ]
        scores = b.node("Mul", b.node("MatMul", split[0], split[1]), b.constant((width // heads) ** -0.5, np.float32))
        mixed = b.node("MatMul", b.node("Softmax", scores, axis=-1), split[2])
        mixed = b.node("Reshape", b.node("Transpose", mixed, perm=[0, 2, 1, 3]), b.constant([0, places, width]))
        x = b.node("Add", x, b.linear(mixed, width, width))
        h = b.gelu(b.linear(b.norm(x, width), width, 4 * width))
        x = b.node("Add", x, b.linear(h, 4 * width, width))
    return b.linear(b.node("ReduceMean", b.norm(x, width), axes=[1], keepdims=0), width, TAGS)


def make(name: str, folder: Path) -> Path:
    """A model folder that labelmill and the Python peers read."""
    folder = folder / name
    if (folder / "model.toml").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    builder = Builder()
    last = {"light": light, "vit-b-32": vit_b_32}[name](builder)
    builder.nodes.append(helper.make_node("Identity", [last], ["scores"]))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", TAGS])
    graph = helper.make_graph(builder.nodes, name, [pixels], [scores], builder.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, folder / "model.onnx")
    (folder / "tags.txt").write_text("".join(f"tag_{index}\n" for index in range(TAGS)))
    (folder / "model.toml").write_text(MANIFEST.format(name=f"bench-{name}"))
    return folder
