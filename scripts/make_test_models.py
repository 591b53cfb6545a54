#!/usr/bin/env python3
"""Makes the tiny models under tests/fixtures/models: one for each contract that labelmill reads.

Their weights are random (fixed seeds), so their labels mean nothing; what counts is that shapes,
layouts, channel orders, value ranges and activations are those of the real models. The committed
files were made with the versions below; other versions may write other bytes.

    pip install onnx==1.23.2 numpy==2.4.6 tokenizers==0.22.2
    python3 scripts/make_test_models.py [FOLDER]
"""

import csv
import hashlib
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32
PATCH = 8
CHANNELS = 8
OPSET = 17
WD_TAGS = [
    (9, "general"), (9, "sensitive"), (9, "questionable"), (9, "explicit"),
    (0, "1girl"), (0, "solo"), (0, "long_hair"), (0, "o_o"), (0, 'quoted "name", with comma'), (0, "sky"),
    (4, "hatsune_miku"), (4, "saber_(fate)"), (3, "fate"), (1, "some_artist"), (5, "highres"),
]  # fmt: skip
LINE_TAGS = ["one", "two words", "three", "four", "five", "six", "seven", "eight", "nine"]


def weights(generator: np.random.Generator, name: str, *shape: int, scale: float):
    return numpy_helper.from_array((generator.standard_normal(shape) * scale).astype(np.float32), name)


def constant(name: str, value):
    return numpy_helper.from_array(np.asarray(value), name)


def save(graph_name, nodes, initializers, inputs, outputs, path: pathlib.Path):
    graph = helper.make_graph(nodes, graph_name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="labelmill")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def image_tower(seed: int, pixels: str, width: int, embed: str, scale: float):
    """Patches, a ReLU, one matrix over all patches: sensitive to channels and to position."""
    generator = np.random.default_rng(seed)
    cells = (SIZE // PATCH) ** 2
    nodes = [
        helper.make_node("Conv", [pixels, "patch_w", "patch_b"], ["patches"], strides=[PATCH] * 2, kernel_shape=[PATCH] * 2),
        helper.make_node("Relu", ["patches"], ["active"]),
        helper.make_node("Flatten", ["active"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "head_w", "head_b"], [embed]),
    ]
    initializers = [
        weights(generator, "patch_w", CHANNELS, 3, PATCH, PATCH, scale=0.12),
        weights(generator, "patch_b", CHANNELS, scale=0.2),
        weights(generator, "head_w", CHANNELS * cells, width, scale=scale),
        weights(generator, "head_b", width, scale=0.2),
    ]
    return nodes, initializers


def tensor(name: str, kind: int, *shape):
    return helper.make_tensor_value_info(name, kind, list(shape))


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_tokenizer(path: pathlib.Path):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<start>", "<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a photo of a cat", "a drawing of a dog", "a painting of a house"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    tokenizer.save(str(path), pretty=False)
    return tokenizer.get_vocab_size()


def make_clip(folder: pathlib.Path):
    folder.mkdir(parents=True, exist_ok=True)
    width, context = 16, 12
    nodes, initializers = image_tower(1, "pixel_values", width, "image_embeds", 0.2)
    save("image", nodes, initializers, [tensor("pixel_values", TensorProto.FLOAT, "batch", 3, SIZE, SIZE)],
         [tensor("image_embeds", TensorProto.FLOAT, "batch", width)], folder / "image.onnx")  # fmt: skip
    words = make_tokenizer(folder / "tokenizer.json")
    generator = np.random.default_rng(2)
    table = (generator.standard_normal((words, width)) * 0.5).astype(np.float32)
    table[0] = 0.0  # padding says nothing
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Mul", ["words", "places"], ["placed"]),
        helper.make_node("ReduceSum", ["placed", "axis"], ["sum"], keepdims=0),
        helper.make_node("Tanh", ["sum"], ["text_embeds"]),
    ]
    initializers = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.linspace(1.0, 0.5, context, dtype=np.float32)[:, None], "places"),
        constant("axis", np.array([1], dtype=np.int64)),
    ]
    save("text", nodes, initializers, [tensor("input_ids", TensorProto.INT64, "batch", context)],
         [tensor("text_embeds", TensorProto.FLOAT, "batch", width)], folder / "text.onnx")  # fmt: skip
    (folder / "model.toml").write_text(f'''name = "tiny-clip"
kind = "clip"
demo = true
description = "Random weights behind a CLIP contract, for tests"
licence = "MIT OR Apache-2.0"
origin = "scripts/make_test_models.py"

[image]
file = "image.onnx"
sha256 = "{sha256(folder / "image.onnx")}"
input = "pixel_values"
output = "image_embeds"
size = {SIZE}
layout = "nchw"
channels = "rgb"
scale = "0..1"
mean = [0.48145466, 0.4578275, 0.40821073]
std = [0.26862954, 0.26130258, 0.27577711]
geometry = "crop"
filter = "bicubic"
alpha = "over"
background = [255, 255, 255]

[text]
file = "text.onnx"
sha256 = "{sha256(folder / "text.onnx")}"
input = "input_ids"
output = "text_embeds"
tokenizer = "tokenizer.json"
context = {context}
pad_id = 0

[[classify]]
name = "style"
labels = [
    {{ name = "photo", prompts = ["a photo of a cat", "a photo of a dog"] }},
    {{ name = "drawing", prompts = ["a drawing of a cat", "a drawing of a dog"] }},
    {{ name = "painting", prompts = ["a painting of a house"] }},
]
''')


def write_wd_csv(path: pathlib.Path):
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["tag_id", "name", "category", "count"])
        for index, (category, name) in enumerate(WD_TAGS):
            writer.writerow([9_000_000 + index, name, category, 1000 - index])


def make_wd(folder: pathlib.Path, name: str, batch, input_name: str, output_name: str, seed: int):
    """NHWC, BGR, 0..255 in; the range is mapped inside; probabilities out; ratings first."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes, initializers = image_tower(seed, "centred", len(WD_TAGS), "logits", 0.12)
    nodes = [
        helper.make_node("Transpose", [input_name], ["channels_first"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["channels_first", "half"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], ["centred"]),
        *nodes,
        helper.make_node("Sigmoid", ["logits"], [output_name]),
    ]
    initializers += [constant("half", np.float32(127.5)), constant("one", np.float32(1.0))]
    save(name, nodes, initializers, [tensor(input_name, TensorProto.FLOAT, batch, SIZE, SIZE, 3)],
         [tensor(output_name, TensorProto.FLOAT, batch, len(WD_TAGS))], folder / "image.onnx")  # fmt: skip
    write_wd_csv(folder / "selected_tags.csv")
    (folder / "model.toml").write_text(f'''name = "{name}"
kind = "tagger"
demo = true
description = "Random weights behind the contract of WD taggers, for tests"
licence = "MIT OR Apache-2.0"
origin = "scripts/make_test_models.py"

[image]
file = "image.onnx"
sha256 = "{sha256(folder / "image.onnx")}"
input = "{input_name}"
output = "{output_name}"
size = {SIZE}
layout = "nhwc"
channels = "bgr"
scale = "0..255"
geometry = "pad"
filter = "bicubic"
alpha = "over"
background = [255, 255, 255]

[output]
activation = "none"
labels = "selected_tags.csv"
label_format = "wd-csv"
floor = 0.05

[thresholds]
general = 0.35
character = 0.85
''')


def make_logits(folder: pathlib.Path):
    """NCHW with mean and std, logits out, a plain list of labels."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes, initializers = image_tower(5, "input", len(LINE_TAGS), "output", 0.25)
    save("logits", nodes, initializers, [tensor("input", TensorProto.FLOAT, "batch", 3, SIZE, SIZE)],
         [tensor("output", TensorProto.FLOAT, "batch", len(LINE_TAGS))], folder / "image.onnx")  # fmt: skip
    (folder / "tags.txt").write_text("\n".join(LINE_TAGS) + "\n\n")
    (folder / "model.toml").write_text(f'''name = "tiny-logits-tagger"
kind = "tagger"
demo = true
description = "Random weights, logits out, for tests"
licence = "MIT OR Apache-2.0"
origin = "scripts/make_test_models.py"

[image]
file = "image.onnx"
sha256 = "{sha256(folder / "image.onnx")}"
input = "input"
output = "output"
size = {SIZE}
layout = "nchw"
channels = "rgb"
scale = "0..1"
mean = [0.48145466, 0.4578275, 0.40821073]
std = [0.26862954, 0.26130258, 0.27577711]
geometry = "squash"
filter = "bilinear"
alpha = "over"
background = [255, 255, 255]

[output]
activation = "sigmoid"
labels = "tags.txt"
label_format = "lines"
floor = 0.05
''')


def main():
    here = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "models"
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    make_clip(root / "tiny-clip")
    make_wd(root / "tiny-wd-tagger", "tiny-wd-tagger", "batch", "input", "output", 3)
    make_wd(root / "tiny-wd-fixed-tagger", "tiny-wd-fixed-tagger", 1, "input_1:0", "predictions_sigmoid", 4)
    make_logits(root / "tiny-logits-tagger")
    for path in sorted(root.rglob("*.onnx")):
        print(f"{path.relative_to(root)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
