#!/usr/bin/env python3
"""Exports a BLIP captioner of transformers to the three ONNX graphs that labelmill's captioners have.

    python scripts/export_blip.py Salesforce/blip-image-captioning-base --out models/blip-base
    python scripts/export_blip.py FOLDER --out OUT --name my-blip
    python scripts/export_blip.py --random-weights --override text_config.num_hidden_layers=2 --out OUT

The graphs are written node by node, not traced, so that nothing in them depends on a shape that is worked out while
they run (such nodes would leave the GPU):

vision.onnx  pixel_values [B,3,S,S] to cross_key.N [B,heads,width,tokens] and cross_value.N [B,heads,tokens,width]:
             the keys and values of every decoder layer's cross-attention, made once a picture and not once a token;
             the keys lie as the products of a step want them.
step.onnx    one more token for every caption: input_ids [B,beams], position [1], past_key.N and past_value.N
             [B',beams',heads,past,width], source [B,beams,2] (which picture and beam of the past each caption goes
             on from: beams are reordered and finished pictures dropped in the same step), cross_key.N, cross_value.N
             to logits [B,beams,V], key.N and value.N [B,beams,heads,past+1,width]. The beams of a picture share its
             cross keys and values.
select.onnx  the chosen rows of one tensor: drops finished pictures from the cross keys and values.

The script checks the files against transformers before it ends. Weights are float32; --half stores the large ones as
float16 with a cast at load.

requirements (Python 3.11):
    torch==2.9.1 numpy==2.4.6 pillow==13.0.0 onnx==1.23.2 onnxruntime==1.32.0 transformers==5.24.0 safetensors==0.8.0
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import AutoTokenizer, BlipConfig, BlipForConditionalGeneration

Stem = Callable[["Writer", BlipConfig], str]

OPSET, IR_VERSION = 20, 9  # Gelu came with opset 20
LARGE = 512  # values from which on --half halves a weight
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


# ---------------------------------------------------------------- writing graphs


class Writer:
    """A graph in the making: weights by their names in the checkpoint, nodes in order."""

    def __init__(self, state: dict[str, np.ndarray], half: bool):
        self.state, self.half = state, half
        self.nodes, self.initializers, self.known, self.count = [], [], set(), 0

    def op(self, kind: str, *inputs: str, to: str | None = None, **attributes) -> str:
        """Adds a node of one output and returns the output's name."""
        self.count += 1
        to = to or f"{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [to], name=f"{kind}_{self.count}", **attributes))
        return to

    def constant(self, name: str, values: np.ndarray, exact: bool = False) -> str:
        """A weight or a small constant, stored once; never halved where it is `exact`."""
        if name in self.known:
            return name
        self.known.add(name)
        if self.half and not exact and values.dtype == np.float32 and values.size > LARGE:
            self.initializers.append(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            self.nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
        else:
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def cast_to_float(self, x: str) -> str:
        self.count += 1
        self.nodes.append(helper.make_node("Cast", [x], [f"cast_{self.count}"], to=TensorProto.FLOAT))
        return f"cast_{self.count}"

    def ints(self, *values: int) -> str:
        return self.constant("ints_" + "_".join(str(v).replace("-", "m") for v in values), np.array(values, np.int64))

    def number(self, value: float) -> str:
        return self.constant(f"number_{value!r}", np.array(value, np.float32))

    def weight(self, name: str) -> str:
        return self.constant(name, self.state[name])

    def linear(self, x: str, name: str) -> str:
        """x W + b, with W as the product wants it."""
        weight = self.constant(f"{name}.weight", self.state[f"{name}.weight"].T)
        return self.op("Add", self.op("MatMul", x, weight), self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str, epsilon: float) -> str:
        weights = (self.weight(f"{name}.weight"), self.weight(f"{name}.bias"))
        return self.op("LayerNormalization", x, *weights, axis=-1, epsilon=epsilon)

    def softmax_of_scaled(self, scores: str, width: int) -> str:
        return self.op("Softmax", self.op("Mul", scores, self.number(width**-0.5)), axis=-1)

    def write(self, path: Path, name: str, inputs: list, outputs: list) -> None:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "labelmill export_blip.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(path, full_check=True)


def to_bytes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight as signed bytes, with a factor for each of its first dimension."""
    largest = abs(values).reshape(len(values), -1).max(1)
    factors = (np.maximum(largest, 1e-12) / 127).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    return np.round(values / factors).astype(np.int8), factors


def floats(name: str, *shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def integers(name: str, *shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def patch_embedding(writer: Writer, config: BlipConfig) -> str:
    """BLIP's own beginning: the picture in patches, [B, width, rows, columns]."""
    at, patch = "vision_model.embeddings.patch_embedding", config.vision_config.patch_size
    weights = (writer.weight(f"{at}.weight"), writer.weight(f"{at}.bias"))
    return writer.op("Conv", "pixel_values", *weights, strides=[patch] * 2)


def write_vision(writer: Writer, config: BlipConfig, path: Path, stem: Stem = patch_embedding) -> None:
    """The vision tower, and after it the cross-attention's keys and values of every decoder layer."""
    vision, text = config.vision_config, config.text_config
    width, heads, side = vision.hidden_size, vision.num_attention_heads, vision.image_size
    tokens = (side // vision.patch_size) ** 2 + 1
    at = "vision_model.embeddings"
    patches = writer.op("Reshape", stem(writer, config), writer.ints(0, width, tokens - 1))
    patches = writer.op("Transpose", patches, perm=[0, 2, 1])
    # The class token takes the place of a padded first row, which needs no shape to be worked out.
    places = writer.state[f"{at}.position_embedding"].copy()
    places[:, 0] += writer.state[f"{at}.class_embedding"][0, 0]
    x = writer.op("Pad", patches, writer.ints(0, 1, 0, 0, 0, 0))
    x = writer.op("Add", x, writer.constant("positions_and_class", places, exact=True))
    for layer in range(vision.num_hidden_layers):
        at = f"vision_model.encoder.layers.{layer}"
        attended = self_attention(writer, writer.norm(x, f"{at}.layer_norm1", vision.layer_norm_eps), at, width, heads)
        x = writer.op("Add", x, attended)
        inner = writer.linear(writer.norm(x, f"{at}.layer_norm2", vision.layer_norm_eps), f"{at}.mlp.fc1")
        x = writer.op("Add", x, writer.linear(writer.op("Gelu", inner), f"{at}.mlp.fc2"))
    x = writer.norm(x, "vision_model.post_layernorm", vision.layer_norm_eps)

    heads, width = text.num_attention_heads, text.hidden_size // text.num_attention_heads
    outputs = []
    for layer in range(text.num_hidden_layers):
        at = f"text_decoder.bert.encoder.layer.{layer}.crossattention.self"
        split = writer.ints(0, 0, heads, width)
        keys = writer.op("Reshape", writer.linear(x, f"{at}.key"), split)
        values = writer.op("Reshape", writer.linear(x, f"{at}.value"), split)
        writer.op("Transpose", keys, to=f"cross_key.{layer}", perm=[0, 2, 3, 1])
        writer.op("Transpose", values, to=f"cross_value.{layer}", perm=[0, 2, 1, 3])
        outputs.append(floats(f"cross_key.{layer}", "batch", heads, width, tokens))
        outputs.append(floats(f"cross_value.{layer}", "batch", heads, tokens, width))
    writer.write(path, "vision", [floats("pixel_values", "batch", 3, side, side)], outputs)


def self_attention(writer: Writer, x: str, at: str, width: int, heads: int) -> str:
    """Attention of the vision tower; its three projections are one weight in the checkpoint."""
    name = f"{at}.self_attn"
    parts = []
    weights = np.split(writer.state[f"{name}.qkv.weight"], 3)
    biases = np.split(writer.state[f"{name}.qkv.bias"], 3)
    for part, weight, bias, order in zip("qkv", weights, biases, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True):
        product = writer.op("MatMul", x, writer.constant(f"{name}.{part}.weight", weight.T))
        product = writer.op("Add", product, writer.constant(f"{name}.{part}.bias", bias))
        split = writer.op("Reshape", product, writer.ints(0, 0, heads, width // heads))
        parts.append(writer.op("Transpose", split, perm=order))
    queries, keys, values = parts
    weights = writer.softmax_of_scaled(writer.op("MatMul", queries, keys), width // heads)
    joined = writer.op("Transpose", writer.op("MatMul", weights, values), perm=[0, 2, 1, 3])
    return writer.linear(writer.op("Reshape", joined, writer.ints(0, 0, width)), f"{name}.projection")


def write_step(writer: Writer, config: BlipConfig, path: Path) -> None:
    """One token more for every caption. Each attends to all before it, so that there is no mask."""
    text = config.text_config
    heads, full = text.num_attention_heads, text.hidden_size
    width, epsilon = full // heads, text.layer_norm_eps
    inputs = [
        integers("input_ids", "batch", "beams"),
        integers("position", 1),
        integers("source", "batch", "beams", 2),
    ]
    outputs = [floats("logits", "batch", "beams", text.vocab_size)]
    at = "text_decoder.bert.embeddings"
    words = writer.weight(f"{at}.word_embeddings.weight")
    x = writer.op("Gather", words, "input_ids")
    x = writer.op("Add", x, writer.op("Gather", writer.weight(f"{at}.position_embeddings.weight"), "position"))
    x = writer.norm(x, f"{at}.LayerNorm", epsilon)
    for layer in range(text.num_hidden_layers):
        at = f"text_decoder.bert.encoder.layer.{layer}"
        x = after(writer, x, grow(writer, x, f"{at}.attention.self", layer, heads, width), f"{at}.attention.output", epsilon)
        seen = look(writer, x, f"{at}.crossattention.self", layer, heads, width)
        x = after(writer, x, seen, f"{at}.crossattention.output", epsilon)
        inner = writer.op("Gelu", writer.linear(x, f"{at}.intermediate.dense"))
        x = after(writer, x, inner, f"{at}.output", epsilon)
        for name, kind in (("past_key", "key"), ("past_value", "value")):
            inputs.append(floats(f"{name}.{layer}", "past_batch", "past_beams", heads, "past", width))
            outputs.append(floats(f"{kind}.{layer}", "batch", "beams", heads, "past + 1", width))
        inputs.append(floats(f"cross_key.{layer}", "batch", heads, width, "tokens"))
        inputs.append(floats(f"cross_value.{layer}", "batch", heads, "tokens", width))
    at = "text_decoder.cls.predictions"
    x = writer.op("Gelu", writer.linear(x, f"{at}.transform.dense"))
    x = writer.norm(x, f"{at}.transform.LayerNorm", epsilon)
    logits = writer.op("MatMul", x, writer.op("Transpose", words, perm=[1, 0]))
    writer.op("Add", logits, writer.weight(f"{at}.bias"), to="logits")
    writer.write(path, "step", inputs, outputs)


def after(writer: Writer, x: str, branch: str, name: str, epsilon: float) -> str:
    """The end of each part of a BERT layer: a projection, the shortcut, then the norm."""
    return writer.norm(writer.op("Add", writer.linear(branch, f"{name}.dense"), x), f"{name}.LayerNorm", epsilon)


def grow(writer: Writer, x: str, at: str, layer: int, heads: int, width: int) -> str:
    """Self-attention of the one new token to the past and itself."""
    one = writer.ints(0, 0, heads, 1, width)
    queries = writer.op("Reshape", writer.linear(x, f"{at}.query"), one)
    grown = {}
    for kind in ("key", "value"):
        new = writer.op("Reshape", writer.linear(x, f"{at}.{kind}"), one)
        past = writer.op("GatherND", f"past_{kind}.{layer}", "source")
        grown[kind] = writer.op("Concat", past, new, to=f"{kind}.{layer}", axis=3)
    scores = writer.op("MatMul", queries, writer.op("Transpose", grown["key"], perm=[0, 1, 2, 4, 3]))
    joined = writer.op("MatMul", writer.softmax_of_scaled(scores, width), grown["value"])
    return writer.op("Reshape", joined, writer.ints(0, 0, heads * width))


def look(writer: Writer, x: str, at: str, layer: int, heads: int, width: int) -> str:
    """Cross-attention: the beams of a picture are the rows of one product with its keys."""
    queries = writer.op("Reshape", writer.linear(x, f"{at}.query"), writer.ints(0, 0, heads, width))
    scores = writer.op("MatMul", writer.op("Transpose", queries, perm=[0, 2, 1, 3]), f"cross_key.{layer}")
    joined = writer.op("MatMul", writer.softmax_of_scaled(scores, width), f"cross_value.{layer}")
    joined = writer.op("Transpose", joined, perm=[0, 2, 1, 3])
    return writer.op("Reshape", joined, writer.ints(0, 0, heads * width))


def write_select(path: Path) -> None:
    """Rows of a tensor of four dimensions."""
    writer = Writer({}, half=False)
    writer.op("Gather", "values", "rows", to="selected", axis=0)
    inputs = [floats("values", "batch", "a", "b", "c"), integers("rows", "chosen")]
    writer.write(path, "select", inputs, [floats("selected", "chosen", "a", "b", "c")])


def write_graphs(model: BlipForConditionalGeneration, out: Path, half: bool, stem: Stem = patch_embedding) -> None:
    """Writes the three graphs of a model; `stem` writes what stands in the place of its patch embedding."""
    state = {name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()}
    write_vision(Writer(state, half), model.config, out / "vision.onnx", stem)
    write_step(Writer(state, half), model.config, out / "step.onnx")
    write_select(out / "select.onnx")


# ---------------------------------------------------------------- checking


class Graphs:
    """The written graphs, run the plain way: greedy, nothing dropped."""

    def __init__(self, folder: Path, threads: int = 1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        load = lambda name: onnxruntime.InferenceSession(folder / name, options, ["CPUExecutionProvider"])  # noqa: E731
        self.vision, self.step = load("vision.onnx"), load("step.onnx")
        self.layers = len(self.vision.get_outputs()) // 2
        past = next(entry for entry in self.step.get_inputs() if entry.name == "past_key.0")
        self.heads, self.width = past.shape[2], past.shape[4]

    def cross(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        names = [entry.name for entry in self.vision.get_outputs()]
        return dict(zip(names, self.vision.run(names, {"pixel_values": pixels}), strict=True))

    def steps(self, pixels: np.ndarray) -> Generator[np.ndarray, np.ndarray, None]:
        """Is sent the next ids, [B, 1], and gives the logits after them, [B, 1, V]; begin by sending None."""
        batch, cross = len(pixels), self.cross(pixels)
        names = [f"{kind}.{layer}" for layer in range(self.layers) for kind in ("key", "value")]
        past = {name: np.zeros((batch, 1, self.heads, 0, self.width), np.float32) for name in names}
        source = np.stack([np.arange(batch), np.zeros(batch, np.int64)], 1)[:, None]
        ids, position = (yield), 0
        while True:
            feeds = {f"past_{name}": value for name, value in past.items()} | cross
            feeds |= {"input_ids": ids, "position": np.array([position]), "source": source}
            logits, *grown = self.step.run(["logits", *names], feeds)
            past = dict(zip(names, grown, strict=True))
            ids, position = (yield logits), position + 1

    def logits(self, pixels: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Logits after every one of the ids, [B, length, V]."""
        steps = self.steps(pixels)
        next(steps)
        return np.concatenate([steps.send(ids[:, place : place + 1]) for place in range(ids.shape[1])], 1)

    def greedy(self, pixels: np.ndarray, begin: int, end: int, length: int) -> list[list[int]]:
        """Ids of greedy captions, without the first."""
        steps, ids = self.steps(pixels), np.full((len(pixels), 1), begin, np.int64)
        next(steps)
        while ids.shape[1] < length and not (ids == end).any(1).all():
            ids = np.concatenate([ids, steps.send(ids[:, -1:]).argmax(-1)], 1)
        return [row[: row.index(end)] if end in row else row for row in ids[:, 1:].tolist()]


def check(model: BlipForConditionalGeneration, out: Path) -> None:
    """Compares logits along made-up ids with transformers', for made-up pictures."""
    side, text = model.config.vision_config.image_size, model.config.text_config
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 3, side, side, generator=generator)
    ids = torch.randint(0, text.vocab_size, (3, 7), generator=generator)
    with torch.no_grad():
        seen = model.vision_model(pixel_values=pixels).last_hidden_state
        expected = model.text_decoder(input_ids=ids, encoder_hidden_states=seen).logits.numpy()
    given = Graphs(out).logits(pixels.numpy(), ids.numpy())
    difference = float(abs(given - expected).max())
    print(f"logits differ from transformers' by at most {difference:.1e} (largest {abs(expected).max():.1f})", flush=True)
    assert difference < 1e-3 * max(1.0, float(abs(expected).max()))
    assert (given.argmax(-1) == expected.argmax(-1)).mean() > 0.99


# ---------------------------------------------------------------- the manifest


MANIFEST = """\
name = {name}
kind = "captioner"
{demo}description = {description}
licence = {licence}
origin = {origin}
{verified}
[image]
file = "vision.onnx"
sha256 = "{vision}"
input = "pixel_values"
output = "cross_key.0"
size = {size}
layout = "nchw"
channels = "rgb"
scale = "0..1"
mean = {mean}
std = {std}
geometry = "squash"
filter = "bicubic"
alpha = "{alpha}"

[caption]
family = "blip"
step = "step.onnx"
select = "select.onnx"
vocabulary = "vocab.txt"
layers = {layers}
heads = {heads}
head_width = {head_width}
begin_id = {begin_id}
end_id = {end_id}
pad_id = {pad_id}
special_ids = {special_ids}
prompt_ids = {prompt_ids} # a picture of

[caption.search]
max_length = {max_length}

[[files]]
file = "step.onnx"
sha256 = "{step}"

[[files]]
file = "select.onnx"
sha256 = "{select}"

[[files]]
file = "vocab.txt"
sha256 = "{vocabulary}"
"""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(out: Path, config: BlipConfig, vocabulary: list[str], facts: dict) -> None:
    """Writes vocab.txt and model.toml beside the graphs."""
    (out / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8", newline="\n")
    text, place = config.text_config, {token: index for index, token in enumerate(vocabulary)}
    special = [place[token] for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]") if token in place]
    fields = {
        "demo": "", "verified": "", "licence": "BSD-3-Clause", "description": "", "origin": "", "max_length": 33, "alpha": "drop",
        "name": out.name, "vision": sha256(out / "vision.onnx"), "step": sha256(out / "step.onnx"),
        "select": sha256(out / "select.onnx"), "vocabulary": sha256(out / "vocab.txt"),
        "size": config.vision_config.image_size, "mean": MEAN, "std": STD, "layers": text.num_hidden_layers,
        "heads": text.num_attention_heads, "head_width": text.hidden_size // text.num_attention_heads,
        "begin_id": text.bos_token_id, "end_id": text.sep_token_id, "pad_id": text.pad_token_id,
        "prompt_ids": [place[word] for word in ("a", "picture", "of")], "special_ids": special,
    } | facts  # fmt: skip
    for key in ("name", "description", "licence", "origin"):
        fields[key] = json.dumps(fields[key])
    (out / "model.toml").write_text(MANIFEST.format(**fields))


def vocabulary_of(checkpoint: str, size: int) -> list[str]:
    """The checkpoint's WordPiece vocabulary by id, with the two tokens that BLIP added to BERT's."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    by_id = {index: token for token, index in tokenizer.get_vocab().items()}
    by_id |= {size - 2: "[DEC]", size - 1: "[ENC]"} if size - 1 not in by_id else {}
    return [by_id.get(index, f"[unused{index}]") for index in range(size)]


# ---------------------------------------------------------------- the run


def override(config: BlipConfig, setting: str) -> None:
    """Applies `text_config.num_hidden_layers=2` and its like."""
    path, value = setting.split("=", 1)
    *parents, name = path.split(".")
    target = config
    for parent in parents:
        target = getattr(target, parent)
    assert hasattr(target, name), f"the configuration has no {path}"
    setattr(target, name, json.loads(value))


def random_model(overrides: list[str], seed: int) -> BlipForConditionalGeneration:
    """BLIP base with made-up weights. The default range of the vision tower, 1e-10, is for checkpoints alone."""
    config = BlipConfig()
    for setting in ("text_config.num_attention_heads=12", "vision_config.initializer_range=0.02", *overrides):
        override(config, setting)
    torch.manual_seed(seed)
    return BlipForConditionalGeneration(config)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", help="name or folder of a transformers BLIP captioner")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", help="the model's name; default: the folder's")
    parser.add_argument("--random-weights", action="store_true", help="made-up weights, for timing and for tests")
    parser.add_argument("--override", action="append", default=[], metavar="KEY=JSON", help="with --random-weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", action="store_true", help="store large weights as float16")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.random_weights:
        model = random_model(arguments.override, arguments.seed)
        size = model.config.text_config.vocab_size
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "picture", "of"]
        vocabulary = [words[index] if index < len(words) else f"w{index}" for index in range(size)]
        facts = {"origin": "made-up weights", "licence": "CC0-1.0", "description": "Made-up weights, for timing."}
    else:
        assert arguments.checkpoint and not arguments.override, "name a checkpoint, or give --random-weights"
        model = BlipForConditionalGeneration.from_pretrained(arguments.checkpoint, dtype=torch.float32)
        vocabulary = vocabulary_of(arguments.checkpoint, model.config.text_config.vocab_size)
        facts = {
            "origin": f"{arguments.checkpoint}, exported by scripts/export_blip.py",
            "description": "BLIP: captions of one sentence.",
        }
    model.eval()
    write_graphs(model, arguments.out, arguments.half)
    if not arguments.half:
        check(model, arguments.out)
    facts["name"] = arguments.name or arguments.out.name
    write_manifest(arguments.out, model.config, vocabulary, facts)
    for path in sorted(arguments.out.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
