"""One sample picture and what labelmill should say of it, for programs (samples.jsonl) and people (README.md)."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from samples.art import OpenMoji, place
from samples.prompts import Generation


@dataclass
class Sample:
    """One file, and what labelmill should say of it."""

    path: str
    what: str
    data: bytes
    emoji: str | None = None
    keywords: list[str] = field(default_factory=list)
    error_kind: str | None = None
    # Whether the failure, or the prompt, only shows when pixels are decoded.
    needs_pixels: bool = False
    # Whether a build without the decoder for it may refuse the file.
    decoder_optional: bool = False
    # Format, width and height where Pillow cannot tell them.
    format: str | None = None
    size: tuple[int | None, int | None] | None = None
    generation: Generation | None = None
    photo: dict = field(default_factory=dict)

    def expected(self) -> dict:
        """Returns the line of samples.jsonl: stored width and height, before any orientation."""
        file_format, (width, height) = self.format, self.size or (None, None)
        if self.error_kind is None:
            with Image.open(io.BytesIO(self.data)) as image:
                image.load()
                file_format, (width, height) = image.format.lower(), image.size
        generation = self.generation
        return {
            "path": self.path,
            "status": "failed" if self.error_kind else "ok",
            "error_kind": self.error_kind,
            "needs_pixels": self.needs_pixels,
            "decoder_optional": self.decoder_optional,
            "format": file_format,
            "width": width,
            "height": height,
            "metadata_status": "prompt" if generation else "none",
            "generator": generation.generator if generation else None,
            "prompt": generation.prompt if generation else None,
            "negative_prompt": generation.negative_prompt if generation else None,
            "seed": generation.settings["seed"] if generation else None,
            "settings": generation.settings if generation else {},
            "loras": generation.loras if generation else [],
            **{"taken_at": None, "camera": None, **self.photo},
            "emoji": self.emoji,
            "emoji_keywords": self.keywords,
        }


class Maker:
    """Collects the samples; the other modules add a sub-folder each."""

    def __init__(self, art: OpenMoji):
        self.art = art
        self.samples: list[Sample] = []

    def add(self, path: str, what: str, data: bytes, emoji: str | None = None, **rest) -> None:
        """Adds a sample."""
        keywords = self.art.keywords(emoji) if emoji else []
        self.samples.append(Sample(path, what, data, emoji, keywords, **rest))

    def scene(self, name: str, background: np.ndarray, share: float = 0.8, centre=(0.5, 0.5)) -> Image.Image:
        """Draws an emoji over `share` of a background's shorter side."""
        pixels = round(min(background.shape[:2]) * share)
        return place(background, self.art.draw(name, pixels), centre)


def says(expected: dict) -> str:
    """Returns the last cell of a README row."""
    if expected["status"] == "failed":
        kept = "; the prompt is kept" if expected["prompt"] else ""
        return f"failed, `{expected['error_kind']}`{kept}"
    parts = [f"ok, {expected['format']} {expected['width']} × {expected['height']}"]
    if expected["decoder_optional"]:
        parts[0] += " (or failed, `unsupported_format`, in a build without the decoder)"
    if expected["generator"]:
        parts.append(f"prompt by `{expected['generator']}`")
        if expected["needs_pixels"]:
            parts[-1] += " when pixels are decoded"
    if expected["camera"]:
        parts.append(f"{expected['camera']}, {expected['taken_at'].replace('T', ' ')}")
    if expected["emoji"]:
        parts.append(f"shows: {expected['emoji']}")
    return "; ".join(parts)


def readme(samples: list[Sample], lines: list[dict]) -> str:
    """Returns README.md of the folder."""
    rows = [f"| `{sample.path}` | {sample.what} | {says(line)} |" for sample, line in zip(samples, lines, strict=True)]
    head = [
        "# Sample pictures",
        "",
        "Made by `scripts/make_samples.py`; do not edit by hand. `../samples.jsonl` holds the same for programs.",
        "",
        "**Licence of the pictures: CC BY-SA 4.0.** All emojis are designed by [OpenMoji](https://openmoji.org/), the",
        "open-source emoji and icon project, licence",
        "[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/). Changes: scaled, put on made backgrounds,",
        "re-encoded in many formats, given made-up metadata, and in `broken/` damaged. The landscape in `photos/` is",
        "computed and comes under the same licence. The project's code is under its own licence (see the root).",
        "",
        "The prompts, model names, hashes and camera data are examples; no generator or camera made these pictures.",
        "The demo models were trained on these drawings among others, but not on these pictures of them.",
        "",
        f"{len(samples)} files. Width and height are as stored, before an EXIF orientation is applied.",
        "",
        "| file | what it is | what labelmill says |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"
