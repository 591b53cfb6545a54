"""A run without a model recovers metadata and facts, and fills no label column.

python check_metadata_only.py OUT [SAMPLES_JSONL]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import pandas
import pyarrow.parquet as pq

from checks import Checks, must_equal, no_misses
from samples import misses, read_expected

if len(sys.argv) not in (2, 3):
    sys.exit(__doc__)
OUT = Path(sys.argv[1])
EXPECTED = read_expected(sys.argv[2]) if len(sys.argv) == 3 else None
PARTS = sorted(OUT.glob("*.parquet"))
LABELS = ["caption", "clip_prompt", "clip_terms", "clip_term_tables", "clip_term_scores", "style", "style_score"]
LABELS += ["tags", "tag_scores", "tag_categories", "rating", "rating_score", "aesthetic", "clip_embedding"]
if not PARTS:
    sys.exit(f"no *.parquet in {OUT}")

check = Checks()


@check
def no_label_is_there():
    """Label columns are absent, or null in every row."""
    table = pq.read_table(OUT)
    filled = [name for name in LABELS if name in table.column_names and table[name].null_count < table.num_rows]
    must_equal(filled, [], "filled label columns")
    sources = set(table["prompt_source"].to_pylist())
    assert sources <= {"metadata", "none"}, f"prompt_source holds {sources}"


@check
def readers_read_it():
    """DuckDB and pandas read it."""
    [(count,)] = duckdb.sql(f"select count(*) from '{OUT}/*.parquet'").fetchall()
    must_equal(len(pandas.read_parquet(OUT)), count, "rows of pandas and of DuckDB")
    assert count, "there is no row"


@check
def the_summary_names_no_model():
    """The summary counts every file and names no model."""
    summary = json.loads((OUT / "_labelmill/run-summary.json").read_text())
    must_equal(summary["models"], [], "models")
    must_equal(summary["found"], summary["labeled"] + summary["failed"] + summary["reused"], "found")


@check
def rows_are_as_expected():
    """Each sample has its row, with the prompt and the facts that need no pixels."""
    if EXPECTED is None:
        return
    by_path = {row["path"]: row for row in pq.read_table(OUT).to_pylist()}
    must_equal(sorted(by_path), sorted(line["path"] for line in EXPECTED), "paths")
    no_misses([miss for line in EXPECTED for miss in misses(by_path[line["path"]], line, False)])


check.run()
