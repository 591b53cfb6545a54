"""Compares a dataset of labelmill with the same models run by Python: onnxruntime and Pillow.

    parity.py --model MODEL_FOLDER --images ROOT --dataset OUT [--columns PREFIX] [--only GLOB]

prints, for the reference as the manifest says and for three that are wrong on purpose (nearest
neighbour, swapped channels, a crop one pixel off), how far it is from the dataset, and fails unless
the first agrees and the others are visibly below. `--wrong KIND` shows one of the wrong ones alone;
`--json FILE` writes the reference's values and needs no dataset.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
WRONG = ["nearest", "bgr", "crop1"]
# Issue 2, "Done when" 4: what agreement means, and what a visible difference is.
LEAST_COSINE = 0.9999
LARGEST_DIFFERENCE = 1e-3


class Reference:
    """A model folder, run the straightforward way: one picture at a time."""

    def __init__(self, folder: Path, wrong: str | None = None) -> None:
        self.manifest = tomllib.loads((folder / "model.toml").read_text(encoding="utf-8"))
        self.folder, self.image, self.wrong = folder, self.manifest["image"], wrong
        self.session = session(folder / self.image["file"])
        self.labels = read_labels(folder, self.manifest) if self.manifest["kind"] == "tagger" else None
        self.tables = zero_shot_tables(folder, self.manifest)

    def square(self, path: Path) -> np.ndarray:
        """The picture as the model wants it: size x size x 3 bytes."""
        spec, size = self.image, self.image["size"]
        kind = FILTERS["nearest" if self.wrong == "nearest" else spec["filter"]]
        picture = opaque(ImageOps.exif_transpose(Image.open(path)), spec)
        shift = 1 if self.wrong == "crop1" else 0
        if spec["geometry"] == "crop":
            return np.asarray(crop(picture, size, kind, shift))
        if spec["geometry"] == "pad":
            picture = pad(picture, tuple(spec.get("background", (255, 255, 255))))
        if spec["geometry"] == "edge":
            squared = edge(picture, size, kind)
        else:
            squared = picture if picture.size == (size, size) else picture.resize((size, size), kind)
        return np.roll(np.asarray(squared), shift, axis=(0, 1))

    def tensor(self, square: np.ndarray) -> np.ndarray:
        """The square as the graph's input, a batch of one."""
        values = square.astype(np.float32)
        values = {"0..1": values / np.float32(255), "0..255": values, "-1..1": values / np.float32(127.5) - 1}[
            self.image["scale"]
        ]
        if "mean" in self.image:
            values = (values - np.float32(self.image["mean"])) / np.float32(self.image["std"])
        if (self.image["channels"] == "bgr") != (self.wrong == "bgr"):
            values = values[:, :, ::-1]
        if self.image["layout"] == "nchw":
            values = values.transpose(2, 0, 1)
        return np.ascontiguousarray(values[None], dtype=np.float32)

    def run(self, path: Path) -> dict:
        """Everything that labelmill would write for one picture."""
        feed = {self.image["input"]: self.tensor(self.square(path))}
        values = self.session.run([self.image["output"]], feed)[0][0].astype(np.float32)
        if self.labels is None:
            embedding = values / np.linalg.norm(values)
            chosen = {name: choose(table, embedding) for name, table in self.tables.items()}
            return {"clip_embedding": embedding.tolist(), "classify": chosen}
        probabilities = activate(values, self.manifest["output"]["activation"])
        names = zip(self.labels, probabilities.tolist(), strict=True)
        tags, ratings = {}, {}
        for (name, category), score in names:
            (ratings if category == 9 else tags)[name] = score
        return {"tags": tags, "ratings": ratings}


def session(path: Path) -> onnxruntime.InferenceSession:
    """A graph on the CPU."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def opaque(picture: Image.Image, spec: dict) -> Image.Image:
    """RGB by the manifest's rule for transparency."""
    if picture.mode.startswith("I"):
        # Pillow's own conversion of 16-bit grey cuts everything above 255 off.
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
    transparent = "A" in picture.getbands() or "transparency" in picture.info
    if not transparent or spec["alpha"] == "drop":
        return picture.convert("RGB")
    background = Image.new("RGBA", picture.size, (*spec.get("background", (255, 255, 255)), 255))
    return Image.alpha_composite(background, picture.convert("RGBA")).convert("RGB")


def crop(picture: Image.Image, size: int, kind: int, shift: int) -> Image.Image:
    """Shortest side to the size, then the middle, as torchvision does."""
    width, height = picture.size
    short = min(width, height)
    width, height = (size if side == short else int(size * side / short) for side in (width, height))
    resized = picture if picture.size == (width, height) else picture.resize((width, height), kind)
    left, top = (int(round((side - size) / 2.0)) for side in (width, height))
    pixels = np.roll(np.asarray(resized), shift, axis=(0, 1)) if shift else np.asarray(resized)
    return Image.fromarray(pixels[top : top + size, left : left + size])


def pad(picture: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """A square of the longer side with the picture in its middle."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), background)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def edge(picture: Image.Image, size: int, kind: int) -> Image.Image:
    """Longest side to the size, gaps filled by repeating the outermost row or column."""
    long = max(picture.size)
    width, height = (max(1, side * size // long) for side in picture.size)
    inner = np.asarray(picture if picture.size == (width, height) else picture.resize((width, height), kind))
    left, top = size // 2 - width // 2, size // 2 - height // 2
    gaps = ((top, size - height - top), (left, size - width - left), (0, 0))
    return Image.fromarray(np.pad(inner, gaps, mode="edge"))


def activate(values: np.ndarray, activation: str) -> np.ndarray:
    """Scores into probabilities."""
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-values))
    if activation == "softmax":
        exponents = np.exp(values - values.max())
        return exponents / exponents.sum()
    return values


def read_labels(folder: Path, manifest: dict) -> list[tuple[str, int]]:
    """Names and category codes of a tagger's outputs."""
    output = manifest["output"]
    path = folder / output["labels"]
    if output["label_format"] == "lines":
        return [(line.strip(), 0) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["name"], int(row["category"])) for row in csv.DictReader(file)]


def zero_shot_tables(folder: Path, manifest: dict) -> dict:
    """Each table's labels and unit embeddings; none without the `tokenizers` package."""
    if not manifest.get("classify"):
        return {}
    try:
        from tokenizers import Tokenizer
    except ImportError:
        print("zero-shot tables are not compared: the tokenizers package is missing", file=sys.stderr)
        return {}
    spec = manifest["text"]
    tokenizer = Tokenizer.from_file(str(folder / spec["tokenizer"]))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    graph = session(folder / spec["file"])

    def embed(text: str) -> np.ndarray:
        ids = tokenizer.encode(text).ids
        if len(ids) > spec["context"]:
            ids = ids[: spec["context"] - 1] + [ids[-1]]
        padded = ids + [spec.get("pad_id", 0)] * (spec["context"] - len(ids))
        row = graph.run([spec["output"]], {spec["input"]: np.array([padded], dtype=np.int64)})[0][0]
        return row / np.linalg.norm(row)

    def label(prompts: list[str]) -> np.ndarray:
        mean = np.mean([embed(prompt) for prompt in prompts], axis=0)
        return mean / np.linalg.norm(mean)

    scale = spec.get("logit_scale", 100.0)
    tables = {}
    for table in manifest["classify"]:
        names = [entry["name"] for entry in table["labels"]]
        tables[table["name"]] = (names, np.stack([label(entry["prompts"]) for entry in table["labels"]]), scale)
    return tables


def choose(table: tuple, embedding: np.ndarray) -> dict[str, float]:
    """The probability of each label."""
    names, embeddings, scale = table
    probabilities = activate(scale * (embeddings @ embedding), "softmax")
    return dict(zip(names, probabilities.tolist(), strict=True))


def differences(row: dict, expected: dict, prefix: str, floor: float) -> tuple[float, float]:
    """Cosine to the reference's embedding, and the largest difference of a probability."""
    column = (lambda name: f"{prefix}_{name}") if prefix else (lambda name: name)
    if "clip_embedding" in expected:
        found = np.asarray(row[column("clip_embedding")], dtype=np.float64)
        wanted = np.asarray(expected["clip_embedding"], dtype=np.float64)
        cosine = float(found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted))
        apart = [0.0]
        for name, probabilities in expected["classify"].items():
            label = row[column(name)]
            apart.append(abs(row[column(f"{name}_score")] - probabilities[label]))
            # Another label is right only where the two are as good as equal.
            apart.append(max(probabilities.values()) - probabilities[label])
        return cosine, max(apart)
    found = dict(zip(row[column("tags")], row[column("tag_scores")], strict=True))
    apart = [abs(score - expected["tags"][name]) for name, score in found.items()]
    apart += [score - floor for name, score in expected["tags"].items() if name not in found and score >= floor]
    if expected["ratings"]:
        apart.append(abs(row[column("rating_score")] - expected["ratings"][row[column("rating")]]))
        apart.append(max(expected["ratings"].values()) - expected["ratings"][row[column("rating")]])
    return 1.0, max(apart, default=0.0)


def read_rows(dataset: Path, only: str | None) -> list[dict]:
    """The rows whose pictures could be labeled."""
    import pyarrow.parquet as pq

    rows = [row for part in sorted(dataset.glob("*.parquet")) for row in pq.read_table(part).to_pylist()]
    return [row for row in rows if row["status"] == "ok" and (only is None or fnmatch.fnmatch(row["path"], only))]


def compare(rows: list[dict], options: argparse.Namespace, wrong: str | None) -> tuple[float, float, int]:
    """Smallest cosine, largest difference, and how many pictures, over a dataset."""
    reference = Reference(options.model, wrong)
    floor = reference.manifest.get("output", {}).get("floor", 0.05)
    cosine, apart, pictures = 1.0, 0.0, 0
    for row in rows:
        try:
            expected = reference.run(options.images / row["path"])
        except (OSError, ValueError):
            continue  # a format that Pillow has no decoder for here
        this_cosine, this_apart = differences(row, expected, options.columns, floor)
        if options.verbose and wrong is None and (this_cosine < LEAST_COSINE or this_apart > LARGEST_DIFFERENCE):
            print(f"  {row['path']}: cosine {this_cosine:.6f}, difference {this_apart:.6f}")
        cosine, apart, pictures = min(cosine, this_cosine), max(apart, this_apart), pictures + 1
    return cosine, apart, pictures


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder with a model.toml")
    parser.add_argument("--images", type=Path, required=True, help="the root that was labeled")
    parser.add_argument("--dataset", type=Path, help="the folder with its Parquet parts")
    parser.add_argument("--columns", default="", help="prefix of the model's columns")
    parser.add_argument("--only", help="glob over paths in the root")
    parser.add_argument("--wrong", choices=WRONG, help="show one wrong reference alone")
    parser.add_argument("--json", type=Path, help="write the reference's values, one line a picture")
    parser.add_argument("--verbose", action="store_true", help="name every picture that differs")
    options = parser.parse_args()

    if options.json:
        reference = Reference(options.model, options.wrong)
        with options.json.open("w", encoding="utf-8") as file:
            for path in sorted(path for path in options.images.rglob("*") if path.is_file()):
                try:
                    file.write(json.dumps({"path": str(path.relative_to(options.images))} | reference.run(path)) + "\n")
                except (OSError, ValueError) as error:
                    print(f"{path}: {error}", file=sys.stderr)
    if not options.dataset:
        return

    rows = read_rows(options.dataset, options.only)
    kinds = [options.wrong] if options.wrong else [None, *WRONG]
    print(f"{'reference':<10} {'pictures':>8} {'least cosine':>13} {'largest difference':>19}")
    failed = []
    for kind in kinds:
        cosine, apart, pictures = compare(rows, options, kind)
        print(f"{kind or 'right':<10} {pictures:>8} {cosine:>13.6f} {apart:>19.6f}")
        agrees = pictures > 0 and cosine >= LEAST_COSINE and apart <= LARGEST_DIFFERENCE
        if agrees != (kind is None):
            failed.append(kind or "right")
    if failed:
        sys.exit(f"not as it should be: {', '.join(failed)}")


if __name__ == "__main__":
    main()
