#!/usr/bin/env python3
"""Exports as the programs read them that they are for: trainers, clip-retrieval's file layout, tar readers.

    check_exports.py LABELMILL DATASET

Every export of DATASET is made anew in a temporary folder and read by what Python and requirements.txt have. Where a
program is too large to install here, its reading rules are written down and applied; check_export_consumers.py runs
the programs themselves.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy
import pyarrow.parquet
from checks import Checks, must_equal, no_misses

sys.dont_write_bytecode = True
labelmill, dataset = sys.argv[1], Path(sys.argv[2])
folder = Path(tempfile.mkdtemp(prefix="labelmill-exports-"))
check = Checks()
rows = pyarrow.parquet.read_table(dataset).to_pylist()
good = {row["uri"]: row for row in rows if row["status"] == "ok"}


def export(kind: str, *more: str) -> str:
    """Runs one export; gives what it says on stdout."""
    done = subprocess.run([labelmill, "export", kind, dataset, *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"export {kind} {more}: {done.stderr}"
    return done.stdout


def above(row: dict, threshold: float) -> list[str]:
    """Tags of a row from a threshold on, with spaces."""
    scored = zip(row["tags"] or [], row["tag_scores"] or [], strict=True)
    return [tag.replace("_", " ") for tag, score in scored if score >= numpy.float32(threshold)]


@check
def captions_mirror_the_folders() -> None:
    """A caption file a picture that has tags, with the tags from the threshold on, best first."""
    export("captions", "--to", str(folder / "captions"), "--threshold", "0.1")
    misses = []
    stems: dict[str, dict] = {}
    for row in good.values():
        stems.setdefault(str(Path(row["path"]).with_suffix(".txt")), row)
    for name, row in stems.items():
        file = folder / "captions" / name
        found = file.read_text(encoding="utf-8") if file.exists() else ""
        if found != ", ".join(above(row, 0.1)):
            misses.append(f"{name}: {found!r}, not {above(row, 0.1)}")
    no_misses(misses)


@check
def kohya_reads_captions_and_tags() -> None:
    """sd-scripts: a key that is a file is the picture; a caption alone, tags alone, or `caption, tags`; never empty."""
    export("kohya", "--to", str(folder / "kohya"), "--threshold", "0.1")
    metadata = json.loads((folder / "kohya/meta_cap_dd.json").read_text(encoding="utf-8"))
    misses = []
    for key, entry in metadata.items():
        caption, tags = entry.get("caption"), entry.get("tags")
        if caption is None:
            caption = tags
        elif tags:
            caption = f"{caption}, {tags}"
        if not Path(key).is_file() or not caption:
            misses.append(f"{key}: {entry}")
        if tags is not None and tags.split(", ") != above(good[key], 0.1):
            misses.append(f"{key}: {tags}")
    assert metadata, "no entry"
    no_misses(misses)


@check
def webdataset_groups_members_into_samples() -> None:
    """Tar readers: key to the first dot, neighbours of one key are a sample, no suffix twice; bytes are the file's."""
    export("webdataset", "--to", str(folder / "shards"), "--shard-samples", "7")
    member_name = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
    samples: list[tuple[str, dict[str, bytes]]] = []
    for shard in sorted((folder / "shards").glob("*.tar")):
        with tarfile.open(shard, "r|*") as tar:
            for member in tar:
                key, suffix = member_name.match(member.name).groups()
                if not samples or samples[-1][0] != key:
                    samples.append((key, {}))
                assert suffix not in samples[-1][1], f"{member.name} is there twice"
                samples[-1][1][suffix] = tar.extractfile(member).read()
    must_equal(len({key for key, _ in samples}), len(samples), "keys")
    must_equal(len(samples), len(good), "samples")
    for key, sample in samples:
        about = json.loads(sample["json"])
        image = next(bytes_ for suffix, bytes_ in sample.items() if suffix not in {"json", "txt"})
        must_equal(image == Path(about["uri"]).read_bytes(), True, f"bytes of {key}")
        must_equal(about["width"], good[about["uri"]]["width"], f"width of {key}")


@check
def npy_and_its_table_are_row_aligned() -> None:
    """clip-retrieval: half floats of length 1, a row a picture; metadata_0.parquet has the same rows."""
    export("npy", "--to", str(folder / "npy"))
    matrix = numpy.load(folder / "npy/img_emb/img_emb_0.npy", mmap_mode="r")
    table = pyarrow.parquet.read_table(folder / "npy/metadata/metadata_0.parquet").to_pylist()
    must_equal(matrix.dtype, numpy.float16, "type")
    must_equal(len(matrix), len(table), "rows")
    embedded = [row for row in rows if row["clip_embedding"] is not None]
    must_equal([row["image_path"] for row in table], [row["uri"] for row in embedded], "order")
    expected = numpy.stack([row["clip_embedding"] for row in embedded])
    must_equal(numpy.array_equal(matrix, expected), True, "values")


@check
def imagefolder_lines_name_pictures() -> None:
    """datasets: file_name is relative to metadata.jsonl, and every line has the same keys."""
    export("imagefolder", "--to", str(folder / "images"))
    text = (folder / "images/metadata.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    must_equal(len(lines), len(good), "lines")
    must_equal(len({tuple(line) for line in lines}), 1, "sets of keys")
    for line in lines:
        assert (folder / "images" / line["file_name"]).is_file(), f"{line['file_name']} is not there"


@check
def tables_are_the_rows() -> None:
    """jsonl and csv give every row; numbers and texts are those of the Parquet."""
    lines = [json.loads(line) for line in export("jsonl", "--embeddings").splitlines()]
    must_equal([line["uri"] for line in lines], [row["uri"] for row in rows], "jsonl")
    misses = []
    for line, row in zip(lines, rows, strict=True):
        for name in ["prompt", "style", "tags", "file_size", "settings"]:
            if line[name] != row[name]:
                misses.append(f"{line['path']}: {name} {line[name]!r}, not {row[name]!r}")
        embedding, expected = line["clip_embedding"], row["clip_embedding"]
        if (embedding is None) != (expected is None) or (
            embedding is not None and not numpy.array_equal(numpy.float16(embedding), expected)
        ):
            misses.append(f"{line['path']}: embedding")
    no_misses(misses)
    table = list(csv.DictReader(io.StringIO(export("csv"))))
    must_equal([line["prompt"] for line in table], [row["prompt"] or "" for row in rows], "csv")


@check
def a_second_export_changes_nothing() -> None:
    """Exports of the same dataset are the same bytes, and say so."""
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    for kind, place, *more in [
        ("captions", "captions", "--threshold", "0.1"),
        ("kohya", "kohya", "--threshold", "0.1"),
        ("webdataset", "shards", "--shard-samples", "7"),
        ("imagefolder", "images"),
        ("npy", "npy"),
    ]:
        export(kind, "--to", str(folder / place), *more)
    no_misses([str(file) for file, content in before.items() if file.read_bytes() != content])


check.run()
