"""What the sample pictures show: OpenMoji art on made backgrounds, and one made landscape.

Everything is drawn from fixed seeds, so the same package versions give the same pixels.
"""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

OPENMOJI = "openmoji@17.0.0"


class OpenMoji:
    """The OpenMoji package, fetched by name into `folder` once."""

    def __init__(self, folder: Path):
        self.package = folder / "node_modules/openmoji"
        if not (self.package / "package.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "package.json").write_text('{"private": true}')
            command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", OPENMOJI]
            subprocess.run(command, cwd=folder, check=True)
        entries = json.loads((self.package / "data/openmoji.json").read_text())
        self.by_name = {entry["annotation"]: entry for entry in entries if not entry["skintone"]}

    def keywords(self, name: str) -> list[str]:
        """Returns the package's keywords of an emoji, and its subgroup."""
        entry = self.by_name[name]
        return [*filter(None, map(str.strip, entry["tags"].split(","))), entry["subgroups"]]

    def draw(self, name: str, pixels: int) -> Image.Image:
        """Draws an emoji on a transparent square of `pixels` a side, as large as it fits."""
        import resvg_py

        svg = (self.package / f"color/svg/{self.by_name[name]['hexcode']}.svg").read_text()
        png = resvg_py.svg_to_bytes(svg_string=svg, width=1440, height=1440, skip_system_fonts=True)
        drawn = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        left, top, right, bottom = drawn.getbbox()
        side = max(right - left, bottom - top)
        left, top = (left + right - side) // 2, (top + bottom - side) // 2
        return drawn.crop((left, top, left + side, top + side)).resize((pixels, pixels), Image.Resampling.LANCZOS)


# ---------------------------------------------------------------- backgrounds (height, width, 3; 0..1)


def grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns x and y of every pixel, 0..1."""
    y, x = np.mgrid[0:height, 0:width]
    return x / max(width - 1, 1), y / max(height - 1, 1)


def colour(text: str) -> np.ndarray:
    """Reads `rrggbb`."""
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def flat(width: int, height: int, one: str) -> np.ndarray:
    """One colour."""
    return np.broadcast_to(colour(one), (height, width, 3)).copy()


def gradient(width: int, height: int, top: str, bottom: str) -> np.ndarray:
    """From `top` down to `bottom`."""
    share = grid(width, height)[1][..., None]
    return colour(top) * (1 - share) + colour(bottom) * share


def glow(width: int, height: int, middle: str, rim: str) -> np.ndarray:
    """From `middle` out to `rim`."""
    x, y = grid(width, height)
    share = np.clip(np.hypot(x - 0.5, y - 0.5) * 1.5, 0, 1)[..., None]
    return colour(middle) * (1 - share) + colour(rim) * share


def stripes(width: int, height: int, one: str, other: str, pixels: int) -> np.ndarray:
    """Slanting stripes."""
    y, x = np.mgrid[0:height, 0:width]
    chosen = ((x + y) // pixels % 2)[..., None]
    return colour(one) * (1 - chosen) + colour(other) * chosen


def checks(width: int, height: int, one: str, other: str, pixels: int) -> np.ndarray:
    """A chessboard."""
    y, x = np.mgrid[0:height, 0:width]
    chosen = ((x // pixels + y // pixels) % 2)[..., None]
    return colour(one) * (1 - chosen) + colour(other) * chosen


def waves(width: int, height: int, top: str, bottom: str) -> np.ndarray:
    """A gradient sea with paler crests."""
    x, y = grid(width, height)
    crests = np.sin(y * 60 + np.sin(x * 18) * 1.5) > 0.86
    return np.clip(gradient(width, height, top, bottom) + crests[..., None] * 0.12, 0, 1)


def blobs(width: int, height: int, base: str, spots: str, seed: int) -> np.ndarray:
    """Soft spots out of focus."""
    x, y = np.mgrid[0:height, 0:width][::-1]
    random, shade = np.random.default_rng(seed), np.zeros((height, width))
    for _ in range(14):
        size = random.uniform(0.05, 0.16) * min(width, height)
        distance = np.hypot(x - random.uniform(0, width), y - random.uniform(0, height))
        shade += np.clip((size - distance) / 6, 0, 1) * random.uniform(0.2, 0.6)
    shade = np.clip(shade, 0, 1)[..., None]
    return colour(base) * (1 - shade) + colour(spots) * shade


def grain(background: np.ndarray, strength: float, seed: int) -> np.ndarray:
    """Adds noise."""
    noise = np.random.default_rng(seed).normal(0, strength, background.shape[:2])[..., None]
    return np.clip(background + noise, 0, 1)


def to_image(pixels: np.ndarray) -> Image.Image:
    """Makes an RGB picture of values 0..1."""
    return Image.fromarray((pixels * 255 + 0.5).astype(np.uint8), "RGB")


def place(background: np.ndarray, art: Image.Image, centre: tuple[float, float] = (0.5, 0.5)) -> Image.Image:
    """Puts the art on a background, its middle at `centre` (shares of width and height)."""
    picture = to_image(background)
    left = round(picture.width * centre[0] - art.width / 2)
    top = round(picture.height * centre[1] - art.height / 2)
    picture.paste(art, (left, top), art)
    return picture


def landscape(width: int, height: int, seed: int) -> Image.Image:
    """Makes something like a photograph: hills under an evening sky, with depth and film grain."""
    random = np.random.default_rng(seed)
    x, y = grid(width, height)
    sky = gradient(width, height, "3c6ea8", "f6d9b0")
    sun = np.exp(-(((x - 0.7) * width / height) ** 2 + (y - 0.42) ** 2) / 0.012)[..., None]
    scene = np.clip(sky + sun * colour("ffe9b8") * 0.8, 0, 1)
    for depth, tint in enumerate(["8aa0b4", "5f7f83", "41644a", "24402a"]):
        phases = random.uniform(0, 6.28, 5)
        ridge = sum(np.sin(x[0] * (3 + 5 * i) * (1 + depth * 0.3) + phases[i]) / (2 + 3 * i) for i in range(5))
        edge = 0.5 + depth * 0.11 + ridge * 0.05
        ground = np.clip((y - edge[None, :]) * height / (4 - depth), 0, 1)[..., None]
        texture = np.asarray(
            Image.fromarray((random.random((height // 4, width // 4)) * 255).astype(np.uint8)).resize((width, height))
        )[..., None]
        scene = scene * (1 - ground) + np.clip(colour(tint) + (texture / 255 - 0.5) * 0.05 * (depth + 1), 0, 1) * ground
    soft = to_image(scene).filter(ImageFilter.GaussianBlur(0.8))
    return to_image(grain(np.asarray(soft) / 255, 0.012, seed))
