"""labelmill labels image collections in batches. It is a program; this package only starts it.

The labels are Parquet, to be read with pandas, polars, DuckDB or pyarrow: no code of labelmill's is needed for that.
"""
