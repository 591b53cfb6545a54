"""Reads a labeled dataset of the samples with DuckDB, pandas, polars and pyarrow, as its users do.

python check_dataset.py OUT SAMPLES_JSONL      (a run with --preset demo over tests/fixtures/samples)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq

from checks import Checks, must_equal, no_misses
from samples import misses, read_expected

if len(sys.argv) != 3:
    sys.exit(__doc__)
OUT, EXPECTED = Path(sys.argv[1]), read_expected(sys.argv[2])
GLOB = f"{OUT}/*.parquet"
PARTS = sorted(OUT.glob("*.parquet"))
PARALLEL = [["tags", "tag_scores", "tag_categories"], ["clip_terms", "clip_term_tables", "clip_term_scores"]]
# Half-precision values of a unit vector: each is within 2^-11 of itself.
NORM_TOLERANCE = 2e-3
# Demo models are small; below this share of pictures with a fitting tag something is broken.
MIN_FITTING_TAGS = 0.25
if not PARTS:
    sys.exit(f"no *.parquet in {OUT}")

check = Checks()


def rows() -> list[dict]:
    """Every row in the order of the parts."""
    return [row for part in PARTS for row in pq.read_table(part).to_pylist()]


def labeled_rows() -> list[dict]:
    """The rows that did not fail."""
    return [row for row in rows() if row["status"] == "ok"]


def holds_null_type(kind: pa.DataType) -> bool:
    """Whether a type or one within it is Null, which several readers refuse."""
    return pa.types.is_null(kind) or any(holds_null_type(kind.field(i).type) for i in range(kind.num_fields))


def embedding_size() -> int:
    """n of the column's fixed_size_list<float16>[n]."""
    return pq.read_schema(PARTS[0]).field("clip_embedding").type.list_size


@check
def parts_are_alone():
    """OUT holds parts and nothing else, and nothing of its bookkeeping ends in .parquet."""
    strangers = [str(path) for path in OUT.rglob("*.parquet") if path.parent != OUT]
    no_misses([f"{path} ends in .parquet" for path in strangers])
    leftovers = [path.name for path in OUT.iterdir() if path.is_file() and path not in PARTS]
    must_equal(leftovers, [], "files beside the parts")


@check
def one_schema():
    """Every part has the same schema, without a Null type, and the settled columns in their places."""
    schemas = [pq.read_schema(part).remove_metadata() for part in PARTS]
    assert all(schema.equals(schemas[0]) for schema in schemas), "the parts differ in their schemas"
    no_misses([f"column {field.name} has the Null type" for field in schemas[0] if holds_null_type(field.type)])
    names = schemas[0].names
    must_equal(names[:3], ["uri", "root", "path"], "first columns")
    must_equal(names[-1], "clip_embedding", "last column")
    kind = schemas[0].field("clip_embedding").type
    assert pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float16(), f"clip_embedding is {kind}"
    must_equal(schemas[0].field("settings").type.field("seed").type, pa.uint64(), "type of settings.seed")


@check
def every_file_is_a_row():
    """found = labeled + failed, each file once."""
    paths = [row["path"] for row in rows()]
    must_equal(sorted(paths), sorted(line["path"] for line in EXPECTED), "paths")
    must_equal(paths, sorted(paths, key=lambda path: path.split("/")), "order of the rows")
    statuses = [row["status"] for row in rows()]
    must_equal(statuses.count("ok") + statuses.count("failed"), len(EXPECTED), "ok + failed")
    summary = json.loads((OUT / "_labelmill/run-summary.json").read_text())
    must_equal(summary["found"], summary["labeled"] + summary["failed"] + summary["reused"], "found in the summary")
    must_equal(summary["found"], len(EXPECTED), "found in the summary")
    assert summary["complete"] and summary["demo"], "the summary should say complete and demo"


@check
def every_row_is_as_expected():
    """Status, error, format, size, prompt, settings and photo facts are those of samples.jsonl."""
    by_path = {row["path"]: row for row in rows()}
    known = [line for line in EXPECTED if line["path"] in by_path]
    no_misses([miss for line in known for miss in misses(by_path[line["path"]], line, pixels=True)])


@check
def errors_tell():
    """Each failed row has a sentence of its own, lower case and without a final stop."""
    failed = [row for row in rows() if row["status"] == "failed"]
    assert failed, "the samples hold files that must fail"
    vague = [row for row in failed if len(row["error"].split()) < 3 or row["error"].endswith(".")]
    no_misses([f"{row['path']}: {row['error']!r}" for row in vague])


@check
def the_readme_query_runs():
    """DuckDB: prompt, style and the three best tags of every picture."""
    query = f"select uri, prompt, style, tags[1:3], tag_scores[1:3] from '{GLOB}' where status = 'ok'"
    found = duckdb.sql(query).fetchall()
    must_equal(len(found), len(labeled_rows()), "rows")
    no_misses([f"{uri} has no style" for uri, _, style, _, _ in found if not style])
    untagged = [uri for uri, _, _, tags, _ in found if not tags]
    assert len(untagged) <= len(found) // 10, f"{len(untagged)} of {len(found)} pictures have no tag: {untagged[:5]}"
    uris = [uri for uri, *_ in found]
    no_misses([f"{uri} is no absolute path of a file" for uri in uris if not Path(uri).is_absolute()])


@check
def the_closing_queries_run():
    """DuckDB: seeds beyond 2^63 stay exact, settings group, tags unnest, failures filter."""
    seeds = duckdb.sql(f"select settings.seed from '{GLOB}' where settings.seed is not null").fetchall()
    wanted = sorted(line["seed"] for line in EXPECTED if line["seed"] is not None)
    must_equal(sorted(seed for (seed,) in seeds), wanted, "seeds")
    duckdb.sql(f"select settings.sampler, count(*) from '{GLOB}' group by all").fetchall()
    duckdb.sql(f"select unnest(tags), unnest(tag_scores) from '{GLOB}'").fetchall()
    failed = duckdb.sql(f"select error_kind, count(*) from '{GLOB}' where status = 'failed' group by all").fetchall()
    assert all(kind for kind, _ in failed), f"failed rows without a kind: {failed}"


@check
def captions_begin_the_prompts():
    """Who carries no prompt has a caption, and the made prompt begins with it."""
    made = [row for row in labeled_rows() if row["prompt_source"] == "interrogated"]
    assert made, "some samples carry no prompt"
    no_misses([f"{row['path']}: {row['caption']!r}, {row['prompt']!r}" for row in made
               if not row["caption"] or not row["prompt"].startswith(row["caption"])])  # fmt: skip
    assert len({row["caption"] for row in made}) > len(made) // 2, "the captions hardly differ"


@check
def embeddings_cast():
    """DuckDB: clip_embedding casts to FLOAT[n], has length 1, and is null exactly on failed rows."""
    size = embedding_size()
    query = f"select path, status, clip_embedding::FLOAT[{size}] from '{GLOB}'"
    found = duckdb.sql(query).fetchall()
    wrong = [(path, status) for path, status, vector in found if (status == "ok") != (vector is not None)]
    no_misses(
        [f"{path}: {status} row {'without' if status == 'ok' else 'with'} an embedding" for path, status in wrong]
    )
    norms = {path: float(np.linalg.norm(np.array(vector, np.float64))) for path, _, vector in found if vector}
    no_misses([f"{path}: norm {norm}" for path, norm in norms.items() if abs(norm - 1) > NORM_TOLERANCE])
    vector = f"clip_embedding::FLOAT[{size}]"
    similar = f"select array_cosine_similarity({vector}, {vector}) from '{GLOB}' where status = 'ok'"
    assert all(abs(value - 1) < 1e-5 for (value,) in duckdb.sql(similar).fetchall()), "self-similarity is not 1"


@check
def embeddings_differ():
    """Different pictures have different embeddings."""
    vectors = [tuple(row["clip_embedding"]) for row in labeled_rows()]
    assert len(set(vectors)) >= len(vectors) - 1, f"{len(set(vectors))} different embeddings of {len(vectors)} pictures"


@check
def pandas_reads_the_folder():
    """pandas: read_parquet(OUT) gives every row, the embeddings stack to a matrix."""
    frame = pandas.read_parquet(OUT)
    must_equal(len(frame), len(EXPECTED), "rows")
    labeled = frame[frame.status == "ok"]
    matrix = np.stack(labeled.clip_embedding.to_list())
    must_equal(matrix.shape, (len(labeled), embedding_size()), "shape of the matrix")
    must_equal(matrix.dtype, np.float16, "type of the matrix")
    assert np.isfinite(matrix.astype(np.float32)).all(), "an embedding is not finite"


@check
def polars_reads():
    """polars: every row, embeddings as an Array column."""
    frame = polars.read_parquet(GLOB)
    must_equal(frame.height, len(EXPECTED), "rows")
    must_equal(frame.schema["clip_embedding"].size, embedding_size(), "length of the Array")
    must_equal(frame.filter(polars.col("status") == "failed")["clip_embedding"].null_count(),
               frame.filter(polars.col("status") == "failed").height, "null embeddings of failed rows")  # fmt: skip


@check
def lists_are_parallel():
    """Parallel lists are equally long, their scores fall and lie in 0..1."""
    found = []
    names = set(pq.read_schema(PARTS[0]).names)
    for group in [[name for name in group if name in names] for group in PARALLEL]:
        for row in rows():
            lengths = {name: None if row[name] is None else len(row[name]) for name in group}
            if len(set(lengths.values())) > 1:
                found.append(f"{row['path']}: lengths {lengths}")
            for name in group:
                scores = (row[name] or []) if name.endswith("_scores") else []
                falling = scores if name == "tag_scores" else []
                if any(later > earlier for earlier, later in zip(falling, falling[1:], strict=False)):
                    found.append(f"{row['path']}: {name} do not fall: {scores[:5]}")
                if any(not -1 <= score <= 1 for score in scores) or any(score < 0 for score in falling):
                    found.append(f"{row['path']}: {name} out of range: {scores[:5]}")
    no_misses(found)


@check
def failed_rows_hold_no_labels():
    """Tags, style and embedding are null on failed rows and there on the others."""
    found = []
    for row in rows():
        for name in ["tags", "style", "style_score", "clip_embedding"]:
            if (row[name] is None) != (row["status"] == "failed"):
                found.append(f"{row['path']}: {row['status']} with {name} {str(row[name])[:60]}")
    no_misses(found)


def plain(word: str) -> str:
    """A tag or keyword without its punctuation: `animal_mammal` and `animal-mammal` are the same."""
    return word.lower().replace("_", " ").replace("-", " ")


@check
def some_tags_fit():
    """One of the ten best tags names the picture, its keywords or its kind, often enough."""
    shown = {line["path"]: line for line in EXPECTED if line["emoji"]}
    words = {
        path: {plain(word) for word in [line["emoji"], *line["emoji"].split(), *line["emoji_keywords"]]}
        for path, line in shown.items()
    }
    known = [row for row in labeled_rows() if row["path"] in words]
    fitting = [row for row in known if words[row["path"]] & {plain(tag) for tag in row["tags"][:10]}]
    print(f"a fitting tag among the best ten: {len(fitting)} of {len(known)} pictures")
    assert len(fitting) >= MIN_FITTING_TAGS * len(known), f"only {len(fitting)} of {len(known)} pictures"


check.run()
