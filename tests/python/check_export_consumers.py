#!/usr/bin/env python3
"""Exports read by the programs that they are for, in a virtual environment with requirements-consumers.txt.

    check_export_consumers.py LABELMILL DATASET
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import faiss
import numpy
import pyarrow.parquet
import webdataset
from checks import Checks, must_equal
from datasets import load_dataset

labelmill, dataset = sys.argv[1], Path(sys.argv[2])
folder = Path(tempfile.mkdtemp(prefix="labelmill-consumers-"))
check = Checks()
rows = pyarrow.parquet.read_table(dataset).to_pylist()
good = {row["uri"]: row for row in rows if row["status"] == "ok"}


def export(kind: str, *more: str) -> None:
    """Runs one export into a folder of its name."""
    command = [labelmill, "export", kind, dataset, "--to", folder / kind, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"export {kind}: {done.stderr}"


@check
def datasets_loads_the_imagefolder() -> None:
    """load_dataset("imagefolder") gives every picture with its text and its tags."""
    export("imagefolder")
    loaded = load_dataset("imagefolder", data_dir=str(folder / "imagefolder"), cache_dir=str(folder / "cache"))["train"]
    must_equal(len(loaded), len(good), "pictures")
    lines = (folder / "imagefolder/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    expected = sorted(json.loads(line)["text"] for line in lines)
    must_equal(sorted(loaded["text"]), expected, "texts")
    # datasets turns pictures upright by EXIF; the dataset has sizes as stored.
    sizes = sorted(sorted(picture.size) for picture in loaded["image"])
    must_equal(sizes, sorted(sorted([row["width"], row["height"]]) for row in good.values()), "sizes")


@check
def webdataset_reads_the_shards() -> None:
    """webdataset decodes every sample: pixels, text and json."""
    export("webdataset", "--shard-samples", "7")
    shards = sorted(str(shard) for shard in (folder / "webdataset").glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))
    must_equal(len(samples), len(good), "samples")
    for sample in samples:
        suffix = next(suffix for suffix in ["png", "jpg", "webp", "gif", "bmp", "tiff"] if suffix in sample)
        if suffix in {"png", "jpg"}:
            row = good[sample["json"]["uri"]]
            must_equal(sorted(sample[suffix].size), sorted([row["width"], row["height"]]), sample["__key__"])
        assert isinstance(sample["txt"], str)


@check
def faiss_finds_each_picture_by_itself() -> None:
    """An index over img_emb_0.npy answers each embedding with its own row, or with one that equals it."""
    export("npy")
    matrix = numpy.load(folder / "npy/img_emb/img_emb_0.npy").astype("float32")
    index = faiss.IndexFlatIP(matrix.shape[1])
    index.add(matrix)
    scores, found = index.search(matrix, 1)
    must_equal(bool(numpy.all(scores[:, 0] > 0.999)), True, "cosine of each with its nearest")
    same = [numpy.allclose(matrix[one], matrix[other[0]], atol=1e-3) for one, other in enumerate(found)]
    must_equal(all(same), True, "nearest rows")


check.run()
