#!/usr/bin/env python3
"""Makes the pictures that the benchmarks read: realistic sizes and formats, no two alike.

    scripts/bench/inputs.py FOLDER [--count N] [--mix KIND=SHARE,…]

Needs numpy, Pillow and scikit-image (pillow==13.0.0, scikit-image==0.26.0). The pictures are random crops,
enlarged smoothly and given a camera's grain by a fixed seed, of

    scikit-image's bundled astronaut (NASA, public domain), chelsea (CC0), coffee (CC0), rocket (NASA, public domain)
    the photographs of Debian's `gnome-backgrounds` and `plasma-workspace-wallpapers`, where they are installed
    (CC-BY-SA, LGPL and others: see their /usr/share/doc/*/copyright); only read, never copied into the repository

KIND is png (1024 x 1024), jpeg2 (2048 x 1536), jpeg12 (4000 x 3000) or webp (1024 x 1024); shares are relative.
A folder that holds the pictures already is left as it is.
"""

from __future__ import annotations

import argparse
import json
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {"png": (1024, 1024), "jpeg2": (2048, 1536), "jpeg12": (4000, 3000), "webp": (1024, 1024)}
SUFFIX = {"png": ".png", "jpeg2": ".jpg", "jpeg12": ".jpg", "webp": ".webp"}
# What a training set looks like: photographs and generated pictures, a few from a camera.
MIX = {"jpeg2": 40, "png": 30, "webp": 20, "jpeg12": 10}
WALLPAPERS = [Path("/usr/share/backgrounds"), Path("/usr/share/wallpapers")]


def sources() -> list[Path | str]:
    found = [path for root in WALLPAPERS for path in sorted(root.rglob("*")) if path.suffix in {".jpg", ".png", ".webp"}]
    large = [path for path in found if min(Image.open(path).size) >= 1000]
    return ["astronaut", "chelsea", "coffee", "rocket", *large]


def read(source: Path | str) -> Image.Image:
    if isinstance(source, Path):
        return Image.open(source).convert("RGB")
    from skimage import data

    return Image.fromarray(getattr(data, source)())


def make_one(job: tuple[str, str, Path | str, int]) -> None:
    """One picture: a crop of a third or more of its source, enlarged, with grain."""
    target, kind, source, seed = job
    dice, (width, height) = random.Random(seed), SIZES[kind]
    picture = read(source)
    share = dice.uniform(0.35, 1.0)
    across = min(picture.width, picture.height * width / height) * share
    down = across * height / width
    left, top = dice.uniform(0, picture.width - across), dice.uniform(0, picture.height - down)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + across, top + down))
    grain = np.random.default_rng(seed).normal(0, 3, (height, width, 1)).astype(np.float32)
    picture = Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    # A lower compression level is what the web UIs' savers and cameras' converters use, and quicker to make.
    options = {"png": {"compress_level": 4}, "webp": {"quality": 85, "method": 2}}.get(kind, {"quality": 90})
    picture.save(target, **options)


def make(folder: Path, count: int, mix: dict[str, int] = MIX) -> list[Path]:
    """The pictures in order of their names."""
    wanted = json.dumps([count, mix], sort_keys=True)
    stamp = folder.parent / f"{folder.name}.made"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        folder.mkdir(parents=True, exist_ok=True)
        kinds = random.Random(7).choices(list(mix), weights=list(mix.values()), k=count)
        where = sources()
        jobs = [
            (str(folder / f"{index:05}{SUFFIX[kind]}"), kind, where[index % len(where)], index)
            for index, kind in enumerate(kinds)
        ]
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(make_one, jobs, chunksize=8))
        stamp.write_text(wanted)
    return sorted(folder.iterdir())


def parse_mix(text: str) -> dict[str, int]:
    return {kind: int(share) for kind, share in (part.split("=") for part in text.split(","))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--mix", type=parse_mix, default=MIX)
    arguments = parser.parse_args()
    made = make(arguments.folder, arguments.count, arguments.mix)
    size = sum(path.stat().st_size for path in made)
    print(f"{len(made)} pictures, {size / 2**20:.0f} MiB in {arguments.folder}")
