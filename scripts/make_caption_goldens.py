#!/usr/bin/env python3
"""Makes what the tests of captions compare with: a tiny captioner, and captions as transformers decodes them.

    python scripts/make_caption_goldens.py

writes tests/fixtures/models/tiny-captioner (a BLIP of made-up weights, wide enough that its captions differ and end
at different lengths) and tests/golden/captions/tiny-captioner.json: pictures that a formula makes, and the ids that
BlipForConditionalGeneration.generate gives for them in greedy, with beams, lengths, a penalty and the prompt. With

    python scripts/make_caption_goldens.py --demo DIR

it writes tests/golden/captions/demo-captioner.json instead: what transformers says of the sample pictures with the
weights that train_demo_captioner.py left in DIR.

requirements: those of export_blip.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import export_blip
import numpy as np
import torch
from PIL import Image
from transformers import BlipForConditionalGeneration

REPOSITORY = Path(__file__).resolve().parent.parent
GOLDENS = REPOSITORY / "tests/golden/captions"
SAMPLES = REPOSITORY / "tests/fixtures/samples/art"
TINY = [
    "vision_config.image_size=32", "vision_config.patch_size=8", "vision_config.hidden_size=32",
    "vision_config.intermediate_size=48", "vision_config.num_hidden_layers=2", "vision_config.num_attention_heads=4",
    "text_config.hidden_size=24", "text_config.encoder_hidden_size=32", "text_config.intermediate_size=48",
    "text_config.num_hidden_layers=2", "text_config.num_attention_heads=3", "text_config.vocab_size=80",
    "text_config.max_position_embeddings=40", "text_config.bos_token_id=79", "text_config.sep_token_id=3",
]  # fmt: skip
# Every setting of a search, and with what transformers is asked for the same.
SEARCHES = [
    {},
    {"beams": 3},
    {"beams": 5, "min_length": 8},
    {"min_length": 10, "max_length": 14},
    {"repetition_penalty": 1.5},
    {"beams": 3, "repetition_penalty": 1.3, "max_length": 12},
    {"prompted": True},
    {"prompted": True, "beams": 3, "min_length": 9, "max_length": 16},
]
MAX_LENGTH = 20
END_BIAS = 3.2  # on the last id's score, so that captions end


def made_up_squares(side: int, count: int) -> np.ndarray:
    """Pictures of bytes that a formula gives, the same in every language: byte i of picture p."""
    index = np.arange(side * side * 3, dtype=np.uint64)
    pictures = [(index * index * (2 * p + 3) // (7 + p) + index * (p + 1) * 5) % 256 for p in range(count)]
    return np.stack(pictures).astype(np.uint8).reshape(count, side, side, 3)


def pixels_of(squares: np.ndarray) -> torch.Tensor:
    values = (squares.astype(np.float32) / 255 - np.float32(export_blip.MEAN)) / np.float32(export_blip.STD)
    return torch.from_numpy(values.transpose(0, 3, 1, 2).copy())


def generate(model: BlipForConditionalGeneration, pixels: torch.Tensor, prompt: list[int], search: dict) -> list[list[int]]:
    """Ids as transformers generates them, without what pads shorter captions."""
    text = model.config.text_config
    arguments = {
        "num_beams": search.get("beams", 1), "min_length": search.get("min_length", 0), "do_sample": False,
        "max_length": search.get("max_length", MAX_LENGTH),
        "repetition_penalty": float(search.get("repetition_penalty", 1.0)),
    }  # fmt: skip
    if search.get("prompted"):
        # The first id is replaced by the one that begins captions, the last is dropped.
        ids = torch.tensor([[text.bos_token_id, *prompt, text.sep_token_id]] * len(pixels))
        arguments |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    rows = []
    for row in model.generate(pixel_values=pixels, **arguments).tolist():
        given = len(prompt) + 1 if search.get("prompted") else 1
        end = row.index(text.sep_token_id, given) + 1 if text.sep_token_id in row[given:] else len(row)
        rows.append(row[:end])
    return rows


def tiny_model() -> BlipForConditionalGeneration:
    """The tiny captioner: wide weights, so that pictures matter, and a last id that is likely enough."""
    wide = ["vision_config.initializer_range=0.3", "text_config.initializer_range=0.35", "initializer_range=0.35"]
    model = export_blip.random_model([*TINY, *wide], seed=11).eval()
    head = model.text_decoder.cls.predictions
    with torch.no_grad():
        head.bias[model.config.text_config.sep_token_id] += END_BIAS
    assert head.decoder.bias is head.bias
    return model


def make_tiny() -> None:
    folder = REPOSITORY / "tests/fixtures/models/tiny-captioner"
    model = tiny_model()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "picture", "of", ",", ".", "'s", "##s"]
    vocabulary += [f"word{index}" for index in range(len(vocabulary), 79)] + ["[DEC]"]
    export_blip.write_graphs(model, folder, half=False)
    export_blip.check(model, folder)
    facts = {
        "name": "tiny-captioner", "licence": "CC0-1.0", "origin": "scripts/make_caption_goldens.py",
        "description": "Random weights, for tests.", "max_length": MAX_LENGTH,
    }  # fmt: skip
    export_blip.write_manifest(folder, model.config, vocabulary, facts)
    squares = made_up_squares(model.config.vision_config.image_size, 12)
    prompt = [vocabulary.index(word) for word in ("a", "picture", "of")]
    write_golden("tiny-captioner", model, pixels_of(squares), prompt)


def make_demo(data_dir: Path) -> None:
    import train_demo_captioner
    import train_demo_models

    tokenizer = train_demo_captioner.load_tokenizer(data_dir, train_demo_models.Art.load(data_dir))
    clip = REPOSITORY / "models/demo-clip"
    model, _ = train_demo_captioner.trained_model(data_dir, clip, tokenizer.get_vocab_size())
    side = model.config.vision_config.image_size
    pictures = [Image.open(path).convert("RGB").resize((side, side), Image.BICUBIC) for path in samples()]
    pixels = pixels_of(np.stack([np.asarray(picture) for picture in pictures]))
    prompt = tokenizer.encode(train_demo_captioner.PROMPT).ids
    names, cases = [path.name for path in samples()], []
    for search in SEARCHES:
        given = len(prompt) + 1 if search.get("prompted") else 1
        ids = [row[given:] for row in generate(model, pixels, prompt, search)]
        said = [tokenizer.decode(row, skip_special_tokens=True) for row in ids]
        cases.append({"search": {"max_length": MAX_LENGTH} | search, "captions": dict(zip(names, said, strict=True))})
        print(search, said)
    write_cases("demo-captioner", cases)


def samples() -> list[Path]:
    return sorted(SAMPLES.iterdir())


def write_golden(name: str, model: BlipForConditionalGeneration, pixels: torch.Tensor, prompt: list[int]) -> None:
    cases = []
    for search in SEARCHES:
        ids = generate(model, pixels, prompt, search)
        cases.append({"search": search, "ids": ids})
        print(name, search, "different captions:", len({tuple(row) for row in ids}), "of", len(ids),
              "lengths", [len(row) for row in ids])  # fmt: skip
    write_cases(name, cases)


def write_cases(name: str, cases: list[dict]) -> None:
    GOLDENS.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (GOLDENS / f"{name}.json").write_text(f"[\n{lines}\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, metavar="DIR", help="--data-dir of train_demo_captioner.py")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.demo:
        make_demo(arguments.demo)
    else:
        make_tiny()


if __name__ == "__main__":
    main()
