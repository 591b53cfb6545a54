#!/usr/bin/env python3
"""Makes the sample pictures, their README and what labelmill should say of each.

    python scripts/make_samples.py [--art target/samples-art]

Writes tests/fixtures/samples/ (anew) and tests/fixtures/samples.jsonl. The art is OpenMoji (CC BY-SA 4.0), fetched
from npm by name into --art; the demo models were trained on it, but not on these pictures. Seeds and dates are fixed:
the same versions give the same bytes. Neither labelmill nor its tests need this script.

requirements (Python 3.11, npm 10 or later):
    pillow==13.0.0 numpy==2.4.6 resvg-py==0.5.0
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from samples import broken, formats, generated, plain
from samples.art import OpenMoji
from samples.sample import Maker, readme

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "tests/fixtures"
PARTS = [
    plain.plain_art,
    plain.photos,
    generated.generated,
    formats.png_formats,
    formats.jpeg_formats,
    formats.other_formats,
    broken.broken,
]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--art", type=Path, default=REPOSITORY / "target/samples-art", help="the npm package")
    arguments.add_argument("--out", type=Path, default=FIXTURES, help="folder for samples/ and samples.jsonl")
    arguments = arguments.parse_args()

    maker = Maker(OpenMoji(arguments.art))
    for part in PARTS:
        part(maker)
    samples = sorted(maker.samples, key=lambda sample: sample.path)
    lines = [sample.expected() for sample in samples]

    folder = arguments.out / "samples"
    shutil.rmtree(folder, ignore_errors=True)
    for sample in samples:
        target = folder / sample.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(sample.data)
    (folder / "README.md").write_text(readme(samples, lines))
    (arguments.out / "samples.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(f"{len(samples)} samples, {sum(len(sample.data) for sample in samples) / 1e6:.2f} MB in {folder}")


if __name__ == "__main__":
    main()
