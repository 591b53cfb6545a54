#!/usr/bin/env python3
"""Trains labelmill's embedded demo captioner: a small BLIP on openly licensed emoji art.

The art, its preparation and its augmentation are those of train_demo_models.py; OpenMoji is held out here too. The
model is transformers' BlipForConditionalGeneration with small numbers, trained with and without the prompt "a picture
of"; `demo-clip` (this repository's own) teaches it what the art shows. export_blip.py writes the files.

    python scripts/train_demo_captioner.py --data-dir DIR --out models/demo-captioner --steps 3000 --seed 20

Checkpoints are kept in DIR, and a run goes on from the latest one when started again. `--export-only` writes the files
of the latest checkpoint, `--evaluate-only` measures the files in --out. Neither labelmill nor its tests need this
script.

requirements (Python 3.11, npm 10 or later): those of train_demo_models.py, and
    transformers==5.24.0 safetensors==0.8.0
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
import train_demo_models as demo
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import WordPiece
from torch import nn
from transformers import BlipConfig, BlipForConditionalGeneration

PIXELS = 48  # the side of the canvas on which the art is pasted
VOCABULARY = 1600
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]"]
PAD_ID, UNKNOWN_ID, CLS_ID, SEP_ID, DEC_ID = range(5)
PROMPT = "a picture of"
MAX_LENGTH = 24
BATCH = 64
SPOKEN_COLOURS = {"aqua": "light blue"}
# People and faces are drawn yellow whatever they are: their colour is not worth saying.
GROUPS_WITHOUT_COLOUR = {"smileys-emotion", "people-body"}


# ---------------------------------------------------------------- captions


def plain_name(name: str) -> str:
    """A concept's name in the letters that the vocabulary knows."""
    return " ".join(re.sub(r"[^a-z0-9'-]+", " ", name.lower().replace("’", "'")).split())


def phrase(concept: demo.Concept, colours: list[str]) -> str:
    """What a caption says: an article, the colours of the drawing where they tell something, the name."""
    name = plain_name(concept.name)
    words = name.split()
    said = [SPOKEN_COLOURS.get(colour, colour) for colour in (seen.removesuffix("_theme") for seen in colours)]
    if concept.group in GROUPS_WITHOUT_COLOUR or set(words) & set(demo.COLOURS) or not 1 <= len(said) <= 2:
        said = []
    told = " and ".join(said)
    text = f"{told} {name}" if told else name
    last = words[-1]
    plural = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    article = "" if plural else "an " if text[0] in "aeiou" else "a "
    return article + text


def train_tokenizer(art: demo.Art) -> Tokenizer:
    """Learns a small WordPiece vocabulary of BERT's kind from every phrase."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    lines = [phrase(concept, []) for concept in art.concepts] * 2
    lines += [phrase(art.concepts[c], colours) for c, colours in zip(art.concept_of, art.colours, strict=True)]
    tokenizer.train_from_iterator(lines + [PROMPT] * 100, trainer)
    return tokenizer


# ---------------------------------------------------------------- the model


def small_config(vocabulary: int) -> BlipConfig:
    """BLIP with small numbers."""
    vision = {
        "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4,
        "image_size": PIXELS, "patch_size": 12, "initializer_range": 0.02,
    }  # fmt: skip
    text = {
        "vocab_size": vocabulary, "hidden_size": 128, "encoder_hidden_size": 128, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 32, "bos_token_id": DEC_ID,
        "eos_token_id": SEP_ID, "sep_token_id": SEP_ID, "pad_token_id": PAD_ID,
    }  # fmt: skip
    return BlipConfig(vision_config=vision, text_config=text)


class Pupil(nn.Module):
    """The captioner, and a head that is trained beside it to say what demo-clip says; only the captioner is kept."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.blip = BlipForConditionalGeneration(small_config(vocabulary))
        self.embed = nn.Linear(self.blip.config.vision_config.hidden_size, demo.EMBEDDING_SIZE)

    def forward(self, pictures, ids):
        seen = self.blip.vision_model(pixel_values=pictures).last_hidden_state
        logits = self.blip.text_decoder(input_ids=ids, encoder_hidden_states=seen).logits
        return F.normalize(self.embed(seen.mean(1)), dim=-1), logits


class Teacher:
    """demo-clip: embeddings of augmented pictures, and one direction a concept from its names."""

    def __init__(self, folder: Path, art: demo.Art):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.image = onnxruntime.InferenceSession(folder / "image.onnx", options, providers)
        text = onnxruntime.InferenceSession(folder / "text.onnx", options, providers)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        prompts = [template.format(name=c.name) for c in art.concepts for template in demo.NAME_TEMPLATES]
        texts = demo.normalised(demo.run_in_batches(text, demo.token_ids(tokenizer, prompts)))
        texts = texts.reshape(len(art.concepts), len(demo.NAME_TEMPLATES), -1).mean(1)
        self.directions = torch.from_numpy(demo.normalised(texts))

    def embed(self, pictures: torch.Tensor) -> torch.Tensor:
        larger = F.interpolate(pictures, demo.IMAGE_PIXELS, mode="bilinear", align_corners=False)
        return F.normalize(torch.from_numpy(self.image.run(None, {"pixel_values": larger.numpy()})[0]), dim=-1)


# ---------------------------------------------------------------- training


class Batches:
    """Draws batches of pictures with their captions. Every step has its own seed, so a restart changes nothing."""

    def __init__(self, art: demo.Art, teacher: Teacher, tokenizer: Tokenizer, seed: int):
        self.art, self.teacher, self.tokenizer, self.seed = art, teacher, tokenizer, seed
        self.mirrors = np.array([concept.mirrors for concept in art.concepts])
        self.pictures_of = [np.flatnonzero(art.concept_of == index) for index in range(len(art.concepts))]
        self.prompt = tokenizer.encode(PROMPT).ids

    def from_step(self, first: int, steps: int):
        """Yields the batches from `first` on; the next one is drawn while the caller works."""
        with ThreadPoolExecutor(1) as drawing:
            ahead = [drawing.submit(self.draw, step) for step in range(first, first + 2)]
            for step in range(first, steps):
                ahead.append(drawing.submit(self.draw, step + 2))
                yield step, ahead.pop(0).result()

    def draw(self, step: int) -> dict[str, torch.Tensor]:
        """Makes the batch of one step."""
        chance = random.Random(f"{self.seed}/{step}")
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        chosen = chance.sample(range(len(self.art.concepts)), BATCH)
        rows = np.array([chance.choice(list(self.pictures_of[concept])) for concept in chosen])
        pictures, true_colours = demo.augment(self.art.pictures[rows], self.mirrors[chosen], generator, PIXELS)
        lines, wanted = [], []
        for concept, row, true in zip(chosen, rows, true_colours.tolist(), strict=True):
            said = self.tokenizer.encode(phrase(self.art.concepts[concept], self.art.colours[row] if true else [])).ids
            prompt = self.prompt if chance.random() < 0.4 else []
            lines.append([DEC_ID, *prompt, *said, SEP_ID])
            wanted.append([-100] * len(prompt) + [*said, SEP_ID])
        width = max(map(len, lines))
        ids = torch.full((BATCH, width - 1), PAD_ID)
        labels = torch.full((BATCH, width - 1), -100)
        for row, (line, want) in enumerate(zip(lines, wanted, strict=True)):
            ids[row, : len(line) - 1] = torch.tensor(line[:-1])
            labels[row, : len(want)] = torch.tensor(want)
        return {
            "pictures": pictures,
            "taught": self.teacher.embed(pictures),
            "concepts": torch.tensor(chosen),
            "ids": ids,
            "labels": labels,
        }


def losses(pupil: Pupil, batch: dict[str, torch.Tensor], directions: torch.Tensor) -> dict[str, torch.Tensor]:
    """Words, the teacher's embedding, and the concept among all by the teacher's names."""
    embedded, logits = pupil(batch["pictures"], batch["ids"])
    words = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=-100, label_smoothing=0.05)
    return {
        "words": words,
        "taught": 2 * (1 - (embedded * batch["taught"]).sum(1)).mean(),
        "concept": 0.5 * F.cross_entropy(25 * embedded @ directions.T, batch["concepts"], label_smoothing=0.05),
    }


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Rises over 150 steps, stays, and falls over the last quarter: --steps may be changed on the way."""
    return peak * min((step + 1) / 150, 1.0, 4 * (steps - step) / steps)


def train(pupil: Pupil, batches: Batches, arguments: argparse.Namespace) -> None:
    """Trains to --steps from the latest checkpoint, keeping one every 50 steps."""
    decayed = [p for p in pupil.parameters() if p.ndim > 1]
    plain = [p for p in pupil.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    checkpoint = arguments.data_dir / "captioner.pt"
    first, seconds = 0, 0.0
    if checkpoint.is_file():
        first, seconds = demo.load_checkpoint(checkpoint, pupil, optimizer)
        print(f"goes on at step {first}", flush=True)
    pupil.train()
    began, sums = time.time() - seconds, {}
    for step, batch in batches.from_step(first, arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps, arguments.learning_rate)
        terms = losses(pupil, batch, batches.teacher.directions)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        optimizer.step()
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term.item() / 50
        if (step + 1) % 50 == 0:
            report = " ".join(f"{name} {value:.3f}" for name, value in sums.items())
            print(f"step {step + 1} {time.time() - began:.0f} s {report}", flush=True)
            sums = {}
        if (step + 1) % 50 == 0 or step + 1 == arguments.steps:
            demo.save_checkpoint(checkpoint, pupil, optimizer, step + 1, time.time() - began)


# ---------------------------------------------------------------- the run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="cache: packages, drawn art, checkpoint")
    parser.add_argument("--teacher", type=Path, default=Path("models/demo-clip"), help="folder of demo-clip")
    parser.add_argument("--out", type=Path, default=Path("models/demo-captioner"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
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
    tokenizer = train_tokenizer(art)
    pupil = Pupil(tokenizer.get_vocab_size())
    print(sum(p.numel() for p in pupil.parameters()), tokenizer.get_vocab_size())
    batches = Batches(art, Teacher(arguments.teacher, art), tokenizer, arguments.seed)
    train(pupil, batches, arguments)


if __name__ == "__main__":
    main()
