"""Two runs over the same input gave the same rows, bit by bit, apart from `labeled_at`.

python check_same.py OUT_A OUT_B            (the same input twice)
python check_same.py OUT_A OUT_B --subset   (OUT_A labeled some pictures of OUT_B, for instance one alone)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from checks import Checks, must_equal, no_misses

SUBSET = sys.argv[3:] == ["--subset"]
if len(sys.argv) != 3 and not SUBSET:
    sys.exit(__doc__)
MAY_DIFFER = {"labeled_at"}

check = Checks()


def table(folder: str) -> pa.Table:
    """All rows in the order of the parts."""
    parts = sorted(Path(folder).glob("*.parquet"))
    if not parts:
        sys.exit(f"no *.parquet in {folder}")
    return pa.concat_tables([pq.read_table(part) for part in parts]).combine_chunks()


def bits(array: pa.Array) -> list[np.ndarray]:
    """The bits of every float in a (nested) array; 0.0 and -0.0, or two NaNs, are not the same here."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_floating(array.type):
        floats = array.drop_null().to_numpy(zero_copy_only=False)
        return [floats.view(f"u{floats.dtype.itemsize}")]
    if pa.types.is_struct(array.type):
        return [part for index in range(array.type.num_fields) for part in bits(array.field(index))]
    if pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type):
        return bits(array.drop_null().flatten())
    return []


A, B = table(sys.argv[1]), table(sys.argv[2])
if SUBSET:
    B = B.filter(pc.is_in(B["uri"], A["uri"].combine_chunks())).combine_chunks()
COMMON = [name for name in A.column_names if name in B.column_names and name not in MAY_DIFFER]


@check
def same_columns():
    """Both have the same columns."""
    one, other = (dict(zip(table.column_names, table.schema.types, strict=True)) for table in (A, B))
    no_misses(
        [f"{name}: {one.get(name)} and {other.get(name)}" for name in one | other if one.get(name) != other.get(name)]
    )
    must_equal(B.column_names, A.column_names, "order of the columns")


@check
def same_order():
    """Both have the same rows in the same order."""
    must_equal(B["uri"].to_pylist(), A["uri"].to_pylist(), "uris")


@check
def same_values():
    """Every column has the same values."""
    found = []
    for name in COMMON:
        if A[name].equals(B[name]):
            continue
        rows = zip(A["path"].to_pylist(), A[name].to_pylist(), B[name].to_pylist(), strict=True)
        path, one, other = next((row for row in rows if repr(row[1]) != repr(row[2])), ("?", "?", "?"))
        found.append(f"{name} of {path}: {str(one)[:80]} and {str(other)[:80]}")
    no_misses(found)


@check
def same_bits():
    """Every float has the same bits, embeddings too."""
    compared, found = 0, []
    for name in COMMON:
        for one, other in zip(bits(A[name]), bits(B[name]), strict=True):
            compared += len(one)
            if not np.array_equal(one, other):
                found.append(
                    f"{name}: {np.count_nonzero(one != other) if one.shape == other.shape else 'all'} floats differ"
                )
    no_misses(found)
    assert compared, "there was no float to compare"


check.run()
