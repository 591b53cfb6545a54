"""The two models of interrogator_parity, trained for some minutes on the demo art and exported for labelmill.

A CLIP through open_clip (image tower of 3 x 128, text tower of 2 x 64 with CLIP's own vocabulary and context), and
the demo captioner's BLIP through transformers, from the checkpoint of train_demo_captioner.py.
"""

import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))
import train_demo_models as demo  # noqa: E402
from export_towers import TextTower  # noqa: E402

PIXELS = 64
BATCH = 64
CLIP_NAME = "parity-clip"
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS = 64, 2, 2


def clip_config(width=TEXT_WIDTH, layers=TEXT_LAYERS, heads=TEXT_HEADS, embedding=64) -> dict:
    """open_clip's words for a small CLIP."""
    return {
        "embed_dim": embedding,
        "vision_cfg": {"image_size": PIXELS, "patch_size": 16, "width": 128, "layers": 3, "head_width": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": width, "heads": heads, "layers": layers},
    }


def draw_batch(art, pictures_of, mirrors, seed: int, step: int, tokenize):
    """Pictures of different concepts with a caption each; every step has its own seed."""
    chance = random.Random(f"{seed}/{step}")
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    chosen = chance.sample(range(len(art.concepts)), BATCH)
    rows = np.array([chance.choice(list(pictures_of[concept])) for concept in chosen])
    pictures, _ = demo.augment(art.pictures[rows], mirrors[chosen], generator, PIXELS)
    styles = [demo.STYLE_NAMES[art.style_of[row]] for row in rows]
    texts = [demo.caption(art.concepts[c], style, chance)[0] for c, style in zip(chosen, styles, strict=True)]
    return pictures, tokenize(texts)


def train_clip(data_dir: Path, checkpoint: Path, steps: int, seed: int = 3):
    """A CLIP that has seen `steps` batches of the demo art; kept in `checkpoint`."""
    import open_clip

    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**clip_config())
    if checkpoint.is_file():
        model.load_state_dict(torch.load(checkpoint))
        return model.eval()
    art = demo.Art.load(data_dir)
    mirrors = np.array([concept.mirrors for concept in art.concepts])
    pictures_of = [np.flatnonzero(art.concept_of == index) for index in range(len(art.concepts))]
    tokenize = open_clip.get_tokenizer("ViT-B-32")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98))
    began, total = time.time(), 0.0
    tower = TextTower(model)
    for step in range(steps):
        pictures, ids = draw_batch(art, pictures_of, mirrors, seed, step, tokenize)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min((step + 1) / 50, 1.0, 4 * (steps - step) / steps)
        # Texts end early; what stands behind the longest of them is never looked at.
        text = F.normalize(tower(ids[:, : int((ids > 0).sum(1).max())]), dim=-1)
        image = model.encode_image(pictures, normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
        labels = torch.arange(len(logits))
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=np.log(100))
        total += loss.item() / 50
        if (step + 1) % 50 == 0:
            print(f"clip: step {step + 1}, {time.time() - began:.0f} s, loss {total:.3f}", file=sys.stderr, flush=True)
            total = 0.0
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), checkpoint)
    return model.eval()


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_clip(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
