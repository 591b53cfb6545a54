#!/usr/bin/env python3
"""Trains labelmill's embedded demo captioner: a small BLIP on openly licensed emoji art.

The art, its preparation, its augmentation and what is held out are those of train_demo_models.py. The
model is transformers' BlipForConditionalGeneration with small numbers and one change: where BLIP cuts the picture into
patches stand the convolutions of `demo-clip` (this repository's own; a "hybrid" vision transformer). For --steps they
are frozen, so that each picture goes through them once a view (--views, kept in DIR) and minutes of training are enough;
for --tune-steps they are trained too, on fresh pictures. It is trained with and without the prompt "a picture of";
export_blip.py writes the files.

    python scripts/train_demo_captioner.py --data-dir DIR --out models/demo-captioner --seed 20

Checkpoints are kept in DIR, and a run goes on from the latest one when started again; without one, `--begin-from FOLDER`
begins with the weights of a captioner's files (with `--steps 0`, all is trained from the start). `--export-only` writes
the files of the latest checkpoint, `--evaluate-only` measures the files in --out. Neither labelmill nor its tests need
this script.

requirements (Python 3.11, npm 10 or later): those of train_demo_models.py, and
    transformers==5.24.0 safetensors==0.8.0
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from pathlib import Path

import export_blip
import numpy as np
import torch
import torch.nn.functional as F
import train_demo_models as demo
from PIL import Image
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import WordPiece
from torch import nn
from transformers import BlipConfig, BlipForConditionalGeneration

VOCABULARY = 2400
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]"]
PAD_ID, UNKNOWN_ID, CLS_ID, SEP_ID, DEC_ID = range(5)
PROMPT = "a picture of"
MAX_LENGTH = 24
BATCH = 64
OUTLINED = 0.4  # share of pictures that are given outlines
OUTLINED_SHARE = 0.15  # of another colour, from which on black is taken for outlines
SPOKEN_COLOURS = {"aqua": "light blue"}
# People and faces are drawn yellow whatever they are: their colour is not worth saying.
GROUPS_WITHOUT_COLOUR = {"smileys-emotion", "people-body"}


# ---------------------------------------------------------------- captions


def plain_name(name: str) -> str:
    """A concept's name in the letters that the vocabulary knows, as one would say it in a sentence."""
    name = re.sub(r"[’']s?", "", name.lower())
    name = re.sub(r"^family:.*", "family", name)
    name = re.sub(r"^(man|woman|person): ", r"\1 with ", name)
    return " ".join(re.sub(r"[^a-z0-9]+", " ", name).split())


def main_colour(pixels: np.ndarray) -> str:
    """The colour that fills most of a drawing; black only where it is not the outlines alone."""
    shares = demo.colour_shares(pixels)
    colour = max(shares, key=shares.get) if shares else "white"
    if colour == "black":
        filled = max((name for name in shares if name != "black"), key=shares.get)
        colour = filled if shares[filled] >= OUTLINED_SHARE else colour
    return SPOKEN_COLOURS.get(colour, colour)


def says_colour(concept: demo.Concept) -> bool:
    """Whether a caption says the main colour: not where the name tells one, nor of people and faces."""
    return concept.group not in GROUPS_WITHOUT_COLOUR and not set(plain_name(concept.name).split()) & set(demo.COLOURS)


def article(text: str) -> str:
    """What stands before a name: "a", "an", or nothing before a plural."""
    last = re.split(" (?:with|of|in|on|at|from|without) ", text)[0].split()[-1]
    if last.endswith("s") and not last.endswith(("ss", "us", "is")):
        return ""
    return "an" if text[0] in "aeiou" else "a"


def phrase(concept: demo.Concept, colour: str) -> str:
    """What a caption says: an article, the main colour where it tells something, the name."""
    name = plain_name(concept.name)
    text = f"{colour} {name}" if says_colour(concept) else name
    before = article(name) and article(text)
    return f"{before} {text}".strip()


def load_tokenizer(data_dir: Path, art: demo.Art, files: Path | None = None) -> Tokenizer:
    """The vocabulary of the first run, or that of a captioner's files."""
    learn = (lambda: stored_tokenizer(files)) if files else (lambda: train_tokenizer(art))
    return demo.kept_tokenizer(data_dir / "captioner-tokenizer.json", learn)


def new_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    """WordPiece of BERT's kind."""
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def stored_tokenizer(files: Path) -> Tokenizer:
    """The vocabulary of a captioner's files."""
    tokens = (files / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = new_tokenizer({token: index for index, token in enumerate(tokens)})
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def train_tokenizer(art: demo.Art) -> Tokenizer:
    """Learns a small vocabulary from every phrase."""
    tokenizer = new_tokenizer({})
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    lines = [plain_name(concept.name) for concept in art.concepts] * 4
    words = [*demo.COLOURS, "light", "a", "an", PROMPT]
    tokenizer.train_from_iterator(lines + words * 100, trainer)
    return tokenizer


# ---------------------------------------------------------------- the model


FEATURES, PLACES = demo.ImageTower.WIDTH, 2  # what the convolutions leave of a picture: 320 x 2 x 2

class Stem(nn.Module):
    """demo-clip's convolutions and a projection, in the place of BLIP's patch embedding.

    While they are frozen, features of theirs may be given in the place of pictures.
    """

    def __init__(self, clip: Path, width: int):
        super().__init__()
        stored = demo.stored_weights(clip / "image.onnx")
        self.trunk = demo.fold_batch_norms(demo.ImageTower(1)).trunk.requires_grad_(False)
        for name, parameter in self.trunk.named_parameters():
            parameter.data = stored[f"trunk.{name}"]
        self.dropout = nn.Dropout(0.1)
        self.projection = nn.Conv2d(FEATURES, width, 1)

    @property
    def weight(self):
        """What transformers asks a patch embedding's type of."""
        return self.projection.weight

    def forward(self, pictures):
        features = pictures if pictures.shape[1] == FEATURES else self.trunk(pictures)
        return self.projection(self.dropout(features))


def small_config(vocabulary: int) -> BlipConfig:
    """BLIP with small numbers; the convolutions leave 2 x 2 places of a picture."""
    vision = {
        "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 1, "num_attention_heads": 4,
        "image_size": demo.IMAGE_PIXELS, "patch_size": demo.IMAGE_PIXELS // 2, "initializer_range": 0.02,
    }  # fmt: skip
    text = {
        "vocab_size": vocabulary, "hidden_size": 128, "encoder_hidden_size": 128, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32, "bos_token_id": DEC_ID, "hidden_dropout_prob": 0.1,
        "eos_token_id": SEP_ID, "sep_token_id": SEP_ID, "pad_token_id": PAD_ID,
    }  # fmt: skip
    return BlipConfig(vision_config=vision, text_config=text)


def new_model(clip: Path, vocabulary: int) -> BlipForConditionalGeneration:
    """A captioner that is yet to be trained."""
    model = BlipForConditionalGeneration(small_config(vocabulary))
    model.vision_model.embeddings.patch_embedding = Stem(clip, model.config.vision_config.hidden_size)
    return model


def load_files(model: BlipForConditionalGeneration, files: Path) -> None:
    """Gives a model the weights of a captioner's files: `export` the other way round."""
    stored = demo.stored_weights(files / "vision.onnx") | demo.stored_weights(files / "step.onnx")

    def read(name: str) -> torch.Tensor:
        if ".qkv." in name:
            return torch.cat([read(name.replace("qkv", part)) for part in "qkv"])
        if f"{name}.bytes" in stored:
            return stored[f"{name}.bytes"] * stored[f"{name}.factors"]
        values = stored[name]
        return values.T if values.ndim == 2 and "embeddings" not in name else values

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("embeddings.class_embedding"):
                parameter.zero_()  # the files keep it in the first position
                continue
            parameter.copy_(read("positions_and_class" if name.endswith("embeddings.position_embedding") else name))
    export_blip.check(model.eval(), files)


# ---------------------------------------------------------------- training


class Views:
    """What the frozen convolutions make of every picture in several augmented views, computed once and kept."""

    def __init__(self, art: demo.Art, mirrors: np.ndarray, stem: Stem, count: int, path: Path):
        shape = (count, len(art.pictures), FEATURES, PLACES, PLACES)
        self.true_colours_path = path.with_suffix(".colours.npy")
        if not self.true_colours_path.is_file():
            self.compute(art, mirrors, stem, np.lib.format.open_memmap(path, "w+", np.float16, shape))
        self.features, self.true_colours = np.load(path, mmap_mode="r"), np.load(self.true_colours_path)
        assert self.features.shape == shape, f"{path} holds other views; remove it"

    @torch.no_grad()
    def compute(self, art: demo.Art, mirrors: np.ndarray, stem: Stem, features: np.ndarray) -> None:
        true_colours = np.zeros(features.shape[:2], bool)
        for view in range(len(features)):
            generator = torch.Generator().manual_seed(900_000_000 + view)
            for first in range(0, len(art.pictures), BATCH):
                rows = slice(first, first + BATCH)
                pictures, true = demo.augment(
                    art.pictures[rows], mirrors[art.concept_of[rows]], generator, outlines=OUTLINED
                )
                made = stem.trunk(pictures.contiguous(memory_format=torch.channels_last))
                features[view, rows], true_colours[view, rows] = made.half().numpy(), true.numpy()
            print(f"view {view + 1} of {len(features)}", flush=True)
        np.save(self.true_colours_path, true_colours)


class Batches:
    """Draws batches of pictures with their captions. Every step has its own seed, so a restart changes nothing."""

    def __init__(self, art: demo.Art, tokenizer: Tokenizer, seed: int):
        self.art, self.tokenizer, self.seed = art, tokenizer, seed
        self.mirrors = np.array([concept.mirrors for concept in art.concepts])
        self.pictures_of = [np.flatnonzero(art.concept_of == index) for index in range(len(art.concepts))]
        self.colours = [main_colour(picture) for picture in art.pictures]
        self.prompt = tokenizer.encode(PROMPT).ids
        self.views: Views | None = None

    def draw(self, step: int) -> dict[str, torch.Tensor]:
        """Makes the batch of one step."""
        chance = random.Random(f"{self.seed}/{step}")
        chosen = self.art.draw_concepts(BATCH, chance)
        rows = np.array([self.one_of(concept, chance) for concept in chosen])
        pictures, true_colours = self.look(rows, chance, step)
        lines, wanted, prompted = [], [], chance.random() < 0.3
        for concept, row, true in zip(chosen, rows, true_colours.tolist(), strict=True):
            line, want = self.caption(self.art.concepts[concept], self.colours[row], true, prompted)
            lines.append(line)
            wanted.append(want)
        order = sorted(range(BATCH), key=lambda row: len(lines[row]))
        lines, wanted = [lines[row] for row in order], [wanted[row] for row in order]
        width = max(map(len, lines))
        ids = torch.full((BATCH, width - 1), PAD_ID)
        labels = torch.full((BATCH, width - 1), -100)
        for row, (line, want) in enumerate(zip(lines, wanted, strict=True)):
            ids[row, : len(line) - 1] = torch.tensor(line[:-1])
            labels[row, : len(want)] = torch.tensor(want)
        return {"pictures": pictures[order], "ids": ids, "labels": labels}

    def one_of(self, concept: int, chance: random.Random) -> int:
        """A picture of a concept, in four of ten draws the last one: OpenMoji's, where it is trained on."""
        rows = self.pictures_of[concept]
        return rows[-1] if chance.random() < 0.4 else chance.choice(list(rows))

    def look(self, rows: np.ndarray, chance: random.Random, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures, or a view's features of them, and whether their colours are the drawing's."""
        if self.views is not None:
            views = [chance.randrange(len(self.views.features)) for _ in rows]
            features = torch.from_numpy(np.stack([self.views.features[at] for at in zip(views, rows, strict=True)]))
            return features.float(), torch.from_numpy(self.views.true_colours[views, rows])
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        mirrors = self.mirrors[self.art.concept_of[rows]]
        pictures, true = demo.augment(self.art.pictures[rows], mirrors, generator, outlines=OUTLINED)
        return pictures.contiguous(memory_format=torch.channels_last), true

    def caption(self, concept: demo.Concept, colour: str, true: bool, prompted: bool) -> tuple[list[int], list[int]]:
        """A caption's ids and those of them that are to be learned: not the prompt, nor a colour that was changed."""
        said, prompt = self.tokenizer.encode(phrase(concept, colour)).ids, self.prompt if prompted else []
        learned = list(said)
        if not true and says_colour(concept):
            changed = set(self.tokenizer.encode(colour).ids)
            learned = [-100 if token in changed else token for token in said]
        return [DEC_ID, *prompt, *said, SEP_ID], [-100] * len(prompt) + [*learned, SEP_ID]


def loss_of(model: BlipForConditionalGeneration, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """How far the words said are from the caption's."""
    seen = model.vision_model(pixel_values=batch["pictures"]).last_hidden_state
    decoder, hidden, wanted = model.text_decoder, [], []
    # The rows lie by length: the shorter half is not padded to the longest of all.
    for rows in torch.arange(len(seen)).chunk(2):
        learned = batch["labels"][rows] >= 0
        width = int(learned.any(0).nonzero().max()) + 1
        ids = batch["ids"][rows, :width]
        states = decoder.bert(input_ids=ids, encoder_hidden_states=seen[rows], is_decoder=True).last_hidden_state
        hidden.append(states[learned[:, :width]])
        wanted.append(batch["labels"][rows][learned])
    return F.cross_entropy(decoder.cls(torch.cat(hidden)), torch.cat(wanted), label_smoothing=0.05)


def learning_rate(step: int, arguments: argparse.Namespace) -> float:
    """Rises over 50 steps, stays, and falls over the last 30 %; so again, lower, while the convolutions are tuned."""
    peak, steps = arguments.learning_rate, arguments.steps
    if step >= steps:
        peak, step, steps = arguments.tune_rate, step - steps, arguments.tune_steps
    return peak * min((step + 1) / 50, 1.0, (steps - step) / steps / 0.3)


def new_optimizer(model: BlipForConditionalGeneration) -> torch.optim.Optimizer:
    """AdamW; biases and norms do not decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def train(model: BlipForConditionalGeneration, batches: Batches, arguments: argparse.Namespace) -> None:
    """Trains from the latest checkpoint, first with views of frozen convolutions, then on pictures with all."""
    stem = model.vision_model.embeddings.patch_embedding
    optimizer = new_optimizer(model)
    checkpoint = arguments.data_dir / "captioner.pt"
    first, seconds = 0, 0.0
    if checkpoint.is_file():
        first, seconds = demo.load_checkpoint(checkpoint, model, optimizer)
        print(f"goes on at step {first}", flush=True)
    model.train()
    if first < arguments.steps:
        views = arguments.data_dir / "captioner-views.npy"
        batches.views = Views(batches.art, batches.mirrors, stem, arguments.views, views)
        run_steps(model, batches, optimizer, arguments, (first, arguments.steps, seconds))
        batches.views, first = None, arguments.steps
    stem.trunk[demo.ImageTower.FROZEN :].requires_grad_(True)
    run_steps(model, batches, optimizer, arguments, (first, arguments.steps + arguments.tune_steps, seconds))


def run_steps(model, batches: Batches, optimizer, arguments: argparse.Namespace, span: tuple[int, int, float]) -> None:
    """Trains from one step to another, keeping a checkpoint every 100 steps."""
    first, last, seconds = span
    began, sum_of_losses = time.time() - seconds, 0.0
    for step, batch in demo.drawn_ahead(batches.draw, first, last):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments)
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        sum_of_losses += loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} {time.time() - began:.0f} s loss {sum_of_losses / 100:.3f}", flush=True)
            sum_of_losses = 0.0
        if (step + 1) % 100 == 0 or step + 1 == last:
            demo.save_checkpoint(arguments.data_dir / "captioner.pt", model, optimizer, step + 1, time.time() - began)


# ---------------------------------------------------------------- the files


def trained_model(data_dir: Path, clip: Path, vocabulary: int) -> tuple[BlipForConditionalGeneration, int]:
    """The model of the latest checkpoint with its weights as the files store them, and its steps.

    Kernels of the convolutions keep 8 bits a weight with a factor for each output, other large weights 16 bits.
    """
    model = new_model(clip, vocabulary)
    steps, _ = demo.load_checkpoint(data_dir / "captioner.pt", model)
    trunk = {id(parameter) for parameter in model.vision_model.embeddings.patch_embedding.trunk.parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            if id(parameter) in trunk and parameter.ndim == 4:
                bytes_, factors = export_blip.to_bytes(parameter.numpy())
                parameter.copy_(torch.from_numpy(bytes_.astype(np.float32) * factors))
            elif parameter.numel() > export_blip.LARGE and id(parameter) not in trunk:
                parameter.copy_(parameter.half().float())
    return model.eval(), steps


def write_stem(writer: export_blip.Writer, config: BlipConfig) -> str:
    """The nodes of [`Stem`]: demo-clip's convolutions, the projection."""
    at = "vision_model.embeddings.patch_embedding"
    bounds = [writer.constant(f"relu6.{limit}", np.float32(limit), exact=True) for limit in (0, 6)]

    def relu6(x: str) -> str:
        return writer.op("Clip", x, *bounds)

    def convolve(x: str, name: str, stride: int = 1, group: int = 1) -> str:
        weight = f"{at}.trunk.{name}.weight"
        values = writer.state[weight]
        bytes_, factors = export_blip.to_bytes(values)
        stored = writer.cast_to_float(writer.constant(f"{weight}.bytes", bytes_))
        kernel = writer.op("Mul", stored, writer.constant(f"{weight}.factors", factors, exact=True))
        pads = [values.shape[2] // 2] * 4
        bias = writer.weight(f"{at}.trunk.{name}.bias")
        return writer.op("Conv", x, kernel, bias, strides=[stride] * 2, pads=pads, group=group)

    x, place, width_in = relu6(convolve("pixel_values", "0", 2)), 2, demo.ImageTower.STEM
    for blocks, _, first_stride, factor, width in demo.ImageTower.STAGES:
        for stride in (first_stride, *[1] * (blocks - 1)):
            inner = relu6(convolve(x, f"{place}.widen")) if factor > 1 else x
            inner = relu6(convolve(inner, f"{place}.depthwise", stride, width_in * factor))
            narrowed = convolve(inner, f"{place}.narrow")
            x = writer.op("Add", x, narrowed) if stride == 1 and width_in == width else narrowed
            place, width_in = place + 1, width
    projection = (writer.weight(f"{at}.projection.weight"), writer.weight(f"{at}.projection.bias"))
    return writer.op("Conv", x, *projection)


def export(model: BlipForConditionalGeneration, tokenizer: Tokenizer, out: Path, origin: str) -> None:
    """Writes the folder, as export_blip.py writes one."""
    export_blip.write_graphs(model, out, half=True, stem=write_stem)
    export_blip.check(model, out)
    vocabulary = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    facts = {
        "name": "demo-captioner", "demo": "demo = true\n", "licence": demo.LICENCE, "max_length": MAX_LENGTH,
        "alpha": "over",
        "origin": origin,
        "description": "A small captioner trained on emoji art, for trying labelmill out; it knows emoji and little else.",
    }  # fmt: skip
    export_blip.write_manifest(out, model.config, vocabulary, facts)


# ---------------------------------------------------------------- measuring


def held_out_pixels(art: demo.Art, data_dir: Path) -> np.ndarray:
    """The held-out pictures, prepared as the manifest says."""
    side, rows = demo.IMAGE_PIXELS, []
    for concept in (art.concepts[index] for index in art.held_out):
        picture = Image.open(data_dir / f"heldout/{concept.hexcode}.png").convert("RGB")
        values = np.asarray(picture.resize((side, side), Image.BICUBIC), dtype=np.float32) / 255
        rows.append(((values - np.float32(demo.MEAN)) / np.float32(demo.STD)).transpose(2, 0, 1))
    return np.stack(rows)


def evaluate(art: demo.Art, tokenizer: Tokenizer, data_dir: Path, out: Path) -> dict:
    """Greedy captions of the held-out art by the written graphs: do they name the concept, its colours?"""
    graphs, pixels = export_blip.Graphs(out), held_out_pixels(art, data_dir)
    said = []
    for row in range(0, len(pixels), 64):
        for ids in graphs.greedy(pixels[row : row + 64], DEC_ID, SEP_ID, MAX_LENGTH):
            said.append(tokenizer.decode(ids, skip_special_tokens=True))
    shown = [art.concepts[index] for index in art.held_out]
    names = [plain_name(concept.name) for concept in shown]
    words = [set(name.split()) for name in names]
    hits = [len(wanted & set(text.split())) / len(wanted) for wanted, text in zip(words, said, strict=True)]
    right = []
    colours = [art.held_out_colours[index] for index in art.held_out]
    for concept, seen, text in zip(shown, colours, said, strict=True):
        told = re.match(r"(?:an? )?(light blue|\w+)", text).group(1)
        if says_colour(concept) and told in {*demo.COLOURS, "light blue"}:
            right.append(told in {SPOKEN_COLOURS.get(c, c) for c in (colour.removesuffix("_theme") for colour in seen)})
    (data_dir / "captions.txt").write_text("".join(f"{name}: {text}\n" for name, text in zip(names, said, strict=True)))
    return {
        "pictures": len(names),
        "whole name said": float(np.mean([f" {name} " in f" {text} " for name, text in zip(names, said, strict=True)])),
        "a word of the name said": float(np.mean([hit > 0 for hit in hits])),
        "share of the name's words said": float(np.mean(hits)),
        "colours said": len(right),
        "colours said that fill a quarter": float(np.mean(right)) if right else 0.0,
        "different captions": len(set(said)),
    }


# ---------------------------------------------------------------- the run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="cache: packages, drawn art, checkpoint")
    parser.add_argument("--clip", type=Path, default=Path("models/demo-clip"), help="folder of demo-clip")
    parser.add_argument("--out", type=Path, default=Path("models/demo-captioner"))
    parser.add_argument("--begin-from", type=Path, help="folder of a captioner whose weights are the first")
    parser.add_argument("--views", type=int, default=12, help="views of each picture while convolutions are frozen")
    parser.add_argument("--steps", type=int, default=6000, help="with frozen convolutions")
    parser.add_argument("--tune-steps", type=int, default=3000, help="with trained convolutions, after --steps")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--tune-rate", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export-only", action="store_true", help="write the files of the latest checkpoint")
    parser.add_argument("--evaluate-only", action="store_true", help="measure the files in --out")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    demo.prepare_art(arguments.data_dir)
    art = demo.Art.load(arguments.data_dir)
    tokenizer = load_tokenizer(arguments.data_dir, art, arguments.begin_from)
    if not (arguments.export_only or arguments.evaluate_only):
        model = new_model(arguments.clip, tokenizer.get_vocab_size())
        if arguments.begin_from:
            load_files(model, arguments.begin_from)
        train(model, Batches(art, tokenizer, arguments.seed), arguments)
    if not arguments.evaluate_only:
        model, steps = trained_model(arguments.data_dir, arguments.clip, tokenizer.get_vocab_size())
        origin = demo.told_origin("train_demo_captioner.py", arguments.begin_from, steps, arguments.seed)
        export(model, tokenizer, arguments.out, origin)
    print(json.dumps(evaluate(art, tokenizer, arguments.data_dir, arguments.out), indent=1))


if __name__ == "__main__":
    main()
