"""Kills labelmill at random moments over a changing folder while DuckDB and pandas read what it writes.

python kill_test.py --labelmill BIN [--kills 30] [--seconds 240] [--seed N] [--keep DIR]

Pictures come, change, go and move between and during the runs; the plan goes from metadata to one tagger, to two and
back, with `compact` in between; four of five runs are ended by SIGKILL, the fifth by SIGTERM. The readers never stop.
Names of pictures are never used twice, so a picture that is there now has been there since it was first seen.
What is asserted holds at any timing; a slow machine kills fewer runs and says so.
Prints what happened and closes with `N passed, M failed`. Needs duckdb, pandas, pillow and pyarrow; without an ONNX
Runtime the plans stay without models.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from checks import Checks, must_equal, no_misses

REPOSITORY = Path(__file__).resolve().parents[2]
TAGGERS = [("tiny-wd-tagger", "wd"), ("tiny-logits-tagger", "logits")]
MAY_DIFFER = {"labeled_at"}
FIRST_PICTURES = 160
# Times that a reader asks again, and seconds in between: what is torn, doubled or lost stays so until the next commit.
ASKS, PAUSE_SECONDS = 8, 0.05
SIGTERM_SECONDS = 10


# --- the folder -----------------------------------------------------------------------------------------------------


def picture(rng: random.Random, suffix: str) -> bytes:
    """A small picture of random pixels; one in ten is cut off, or no picture at all."""
    side = rng.choice([8, 16, 24])
    image = Image.frombytes("RGB", (side, side), rng.randbytes(side * side * 3))
    data = BytesIO()
    image.save(data, format="JPEG" if suffix == ".jpg" else "PNG")
    fate = rng.random()
    if fate < 0.05:
        return data.getvalue()[: len(data.getvalue()) // 2]
    return rng.randbytes(40) if fate < 0.1 else data.getvalue()


class Pictures:
    """A collection that never rests. Only one thread changes it at a time."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.number, self.files = folder, rng, 0, []

    def add(self, data: bytes | None = None) -> None:
        """A new picture, or another copy of `data`."""
        suffix = self.rng.choice([".png", ".jpg"])
        path = self.new_name(suffix)
        path.write_bytes(data if data is not None else picture(self.rng, suffix))
        self.files.append(path)

    def new_name(self, suffix: str) -> Path:
        """A name that was never there before."""
        self.number += 1
        path = self.folder / f"{self.rng.randrange(4)}" / f"{self.number:05}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def change(self) -> None:
        """One thing happens to the collection."""
        act = self.rng.random()
        path = self.rng.choice(self.files)
        if act < 0.4:
            self.add()
        elif act < 0.5:
            self.add(path.read_bytes())
        elif act < 0.65:  # in place, as an editor does that overwrites
            path.write_bytes(picture(self.rng, path.suffix))
        elif act < 0.75:  # by rename, as an editor does that is careful
            beside = path.with_name(f".{path.name}.new")
            beside.write_bytes(picture(self.rng, path.suffix))
            beside.replace(path)
        elif act < 0.87:
            self.files.remove(path)
            path.unlink()
        else:
            self.files.remove(path)
            moved = self.new_name(path.suffix)
            path.rename(moved)
            self.files.append(moved)


# --- the readers, each a process of its own ---------------------------------------------------------------------------


def list_parts(out: Path) -> list[Path]:
    """The parts as any reader lists them."""
    return sorted(out.glob("*.parquet"))


def read_with_duckdb(out: Path, count: int) -> pa.Table:
    """All rows and all columns by one query; every other time by a connection that is kept."""
    import duckdb

    if count % 2 == 0 or not hasattr(read_with_duckdb, "kept"):
        read_with_duckdb.kept = duckdb.connect(config={"threads": 1})
    connection = read_with_duckdb.kept
    for _ in range(ASKS):
        rows, distinct = connection.sql(f"select count(*), count(distinct uri) from '{out}/*.parquet'").fetchall()[0]
        if rows == distinct:
            break
        # A part that loses rows under the query is counted by one footer and read by another.
        time.sleep(PAUSE_SECONDS)
    else:
        raise AssertionError(f"DuckDB counts {rows} rows of {distinct} uris, {ASKS} times")
    return connection.sql(f"from '{out}/*.parquet'").to_arrow_table()


def read_with_pandas(out: Path, count: int) -> pa.Table:
    """The folder as pandas reads it; every fourth time parts that were opened a while before they are read."""
    import pandas as pd

    if count % 4:
        frame = pd.read_parquet(out, dtype_backend="pyarrow")
        return pa.table({name: pa.array(frame[name]) for name in ("uri", "status")})
    opened = [pq.ParquetFile(part) for part in list_parts(out)]
    time.sleep(0.3)
    tables = [part.read() for part in opened]
    if any(table.schema != tables[0].schema for table in tables):
        raise AssertionError("parts that were open together have different columns")
    return pa.concat_tables(tables)


def is_not_found(error: Exception) -> bool:
    """Whether a part was listed, and gone when it was to be opened: the folders were exchanged in between."""
    text = str(error).lower()
    return isinstance(error, FileNotFoundError) or "no such file" in text or "no files found" in text


def is_replaced_underneath(error: Exception) -> bool:
    """Whether DuckDB met another file of the same name in the middle of a query: it opens a file by its name twice and
    reads the second by the footer of the first. A part that is torn stays torn, so asking again tells them apart."""
    if type(error).__module__.split(".")[0].lstrip("_") != "duckdb":
        return False
    if hasattr(read_with_duckdb, "kept"):
        del read_with_duckdb.kept
    return True


def read_until_stopped(reader: str, out: Path, stop: Path) -> None:
    """Reads in a loop; prints counts and problems as JSON when the file `stop` appears."""
    read = {"duckdb": read_with_duckdb, "pandas": read_with_pandas}[reader]
    seen: set[str] = set()
    counts = {"reads": 0, "not_found": 0, "replaced": 0, "rows": 0}
    problems: list[str] = []
    asks = 0
    while not stop.exists() and len(problems) < 20:
        try:
            table = read(out, counts["reads"])
        except Exception as error:
            asks += 1
            if is_not_found(error) and asks < ASKS:
                counts["not_found"] += 1
            elif is_replaced_underneath(error) and asks < ASKS:
                counts["replaced"] += 1
            else:
                problems.append(f"{reader} after {counts['reads']} reads: {type(error).__name__}: {str(error)[:300]}")
            time.sleep(PAUSE_SECONDS)
            continue
        uris = table["uri"].to_pylist()
        now = set(uris)
        missing = [uri for uri in seen - now if os.path.exists(uri)]
        is_wrong = bool(missing) or len(now) != len(uris)
        if is_wrong and reader == "duckdb" and asks < ASKS:
            # Its way of meeting a part that was replaced in the middle of a query without an error.
            asks += 1
            counts["replaced"] += 1
            time.sleep(PAUSE_SECONDS)
            continue
        asks = 0
        counts["reads"] += 1
        counts["rows"] = len(now)
        if len(now) != len(uris):
            problems.append(f"{reader} sees {len(uris)} rows of {len(now)} uris")
        if missing:
            problems.append(f"{reader} misses {len(missing)} committed rows, such as {missing[0]}")
        seen = (seen - set(missing)) | now
        time.sleep(0.01)
    print(json.dumps({"problems": problems, **counts}))


# --- the runs ---------------------------------------------------------------------------------------------------------


class Job:
    """labelmill over one folder into one dataset, under changing plans."""

    def __init__(self, binary: Path, work: Path, has_models: bool) -> None:
        self.binary, self.pictures, self.out = binary, work / "pictures", work / "out"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("LABELMILL_")}
        self.configs = []
        for taggers in range(3 if has_models else 1):
            config = work / f"{taggers}-taggers.toml"
            text = "[run]\nbatch = 4\n[output]\npart_rows = 20\npart_secs = 1\nmax_gone = 1.0\n"
            for name, columns in TAGGERS[:taggers]:
                folder = json.dumps(str(REPOSITORY / "tests/fixtures/models" / name))
                text += f'[[model]]\nname = {folder}\ncolumns = "{columns}"\n'
            config.write_text(text)
            self.configs.append(config)

    def arguments(self, plan: int, out: Path | None = None) -> list[str]:
        """What runs plan `plan`, a number of taggers."""
        config = self.configs[min(plan, len(self.configs) - 1)]
        paths = [str(self.pictures), "--out", str(out or self.out), "--config", str(config)]
        return ["run", *paths, "--allow-gone", "--drop-labels", "--no-progress"]

    def start(self, arguments: list[str]) -> subprocess.Popen:
        """Starts it; what it says goes to a file of its own, read when it went wrong."""
        self.log = open(self.out.with_name("last.log"), "w+")  # noqa: SIM115
        return subprocess.Popen(
            [self.binary, *arguments], env=self.environment, stdout=self.log, stderr=self.log, text=True
        )

    def finish(self, arguments: list[str]) -> int:
        """Runs it to its end; the exit status."""
        return self.start(arguments).wait(timeout=120)

    def said(self) -> str:
        """The end of what the last one said."""
        self.log.seek(0)
        return self.log.read()[-600:]

    def summary(self, out: Path | None = None) -> dict:
        """What the last finished run counted."""
        return json.loads(((out or self.out) / "_labelmill/run-summary.json").read_text())


def table_of(out: Path) -> pa.Table:
    """All rows sorted by uri; parts of different columns are an error."""
    return pa.concat_tables([pq.read_table(part) for part in list_parts(out)]).sort_by("uri").combine_chunks()


def differences(one: pa.Table, other: pa.Table) -> list[str]:
    """Columns and values in which two datasets differ, apart from when they were made."""
    types = [dict(zip(table.column_names, table.schema.types, strict=True)) for table in (one, other)]
    found = [f"column {name}: {types[0].get(name)}, {types[1].get(name)}" for name in types[0].keys() ^ types[1].keys()]
    if one["uri"].to_pylist() != other["uri"].to_pylist():
        return [*found, f"{one.num_rows} and {other.num_rows} rows of other uris"]
    for name in (types[0].keys() & types[1].keys()) - MAY_DIFFER:
        if not one[name].equals(other[name]):
            rows = zip(one["uri"].to_pylist(), one[name].to_pylist(), other[name].to_pylist(), strict=True)
            uri, left, right = next((row for row in rows if repr(row[1]) != repr(row[2])), ("?", "?", "?"))
            found.append(f"{name} of {uri}: {str(left)[:80]} and {str(right)[:80]}")
    return found


def lost(before: pa.Table, after: pa.Table) -> list[str]:
    """Rows and values of unchanged pictures that a killed run took away or altered."""
    found = []
    names = [name for name in before.column_names if name in after.column_names and name not in MAY_DIFFER]
    old, new = ({row["uri"]: row for row in table.select(names).to_pylist()} for table in (before, after))
    for uri, row in old.items():
        if uri not in new:
            if os.path.exists(uri):
                found.append(f"{uri} is not there any more")
            continue
        now = new[uri]
        if any(row[name] != now[name] for name in ("file_size", "modified_at", "status")) or row["status"] != "ok":
            continue
        found += [f"{name} of {uri}" for name in names if row[name] is not None and repr(row[name]) != repr(now[name])]
    return found


# --- the test ---------------------------------------------------------------------------------------------------------


class KillTest:
    """Runs, kills, looks, until enough were killed."""

    def __init__(self, job: Job, pictures: Pictures, rng: random.Random, kills: int, seconds: float) -> None:
        self.job, self.pictures, self.rng, self.kills, self.seconds = job, pictures, rng, kills, seconds
        self.counts = dict.fromkeys(("killed", "terminated", "finished", "compactions hit", "next folders left"), 0)
        self.problems: dict[str, list[str]] = {"loss": [], "verify": [], "term": [], "exit": []}
        self.step = 0
        self.typical_secs = 0.4

    def run(self) -> None:
        """All of it."""
        started = time.monotonic()
        while self.counts["killed"] + self.counts["terminated"] < self.kills:
            if time.monotonic() - started > self.seconds:
                break
            for _ in range(self.rng.randrange(2, 12)):
                self.pictures.change()
            before = table_of(self.job.out)
            self.one_run()
            self.look(before)
            self.step += 1

    def one_run(self) -> None:
        """One run, ended at a random moment, while the collection goes on changing."""
        plan = (self.step // 3) % 4  # 0, 1, 2 taggers, then 1 again
        is_compaction = self.step % 5 == 4
        arguments = ["compact", str(self.job.out)] if is_compaction else self.job.arguments((0, 1, 2, 1)[plan])
        is_term = not is_compaction and self.rng.random() < 0.2
        started = time.monotonic()
        process = self.job.start(arguments)
        resting = threading.Event()
        changing = threading.Thread(target=self.keep_changing, args=(resting,))
        changing.start()
        latest = 0.1 if is_compaction else self.typical_secs
        try:
            process.wait(timeout=self.rng.uniform(0, 1.2 * latest))
            ended_itself = True
        except subprocess.TimeoutExpired:
            ended_itself = False
            process.send_signal(signal.SIGTERM if is_term else signal.SIGKILL)
        asked = time.monotonic()
        try:
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        resting.set()
        changing.join()
        if ended_itself:
            self.counts["finished"] += 1
            self.typical_secs = max(0.15, 0.5 * self.typical_secs + 0.5 * 1.3 * (asked - started))
            if status != 0:
                self.problems["exit"].append(f"{arguments[0]} ended with {status}: {self.job.said()}")
        elif is_term:
            self.note_term(status, time.monotonic() - asked)
        elif status == -signal.SIGKILL:
            self.counts["killed"] += 1
            self.counts["compactions hit"] += is_compaction
            self.typical_secs *= 1.05
        self.counts["next folders left"] += self.job.out.with_name(".out.next").exists()

    def note_term(self, status: int, secs: float) -> None:
        """After SIGTERM it ends as 143 (as -15 where it came before anybody listened), or was done anyway."""
        self.counts["terminated"] += status != 0
        if status not in (0, 143, -signal.SIGTERM) or secs > SIGTERM_SECONDS:
            self.problems["term"].append(f"status {status} after {secs:.1f} s: {self.job.said()}")

    def keep_changing(self, resting: threading.Event) -> None:
        """Changes the collection during a run."""
        while not resting.wait(self.rng.uniform(0.01, 0.1)):
            self.pictures.change()

    def look(self, before: pa.Table) -> None:
        """What a reader finds before the next run repairs anything."""
        verified = subprocess.run(
            [self.job.binary, "verify", self.job.out], env=self.job.environment, capture_output=True, text=True
        )
        if verified.returncode != 0:
            self.problems["verify"].append(f"step {self.step}: {verified.stdout}{verified.stderr}")
        try:
            found = lost(before, table_of(self.job.out))
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        self.problems["loss"] += [f"step {self.step}: {loss}" for loss in found]


def start_readers(out: Path, stop: Path) -> list[subprocess.Popen]:
    """DuckDB and pandas, each reading in a loop."""
    command = [sys.executable, "-B", __file__, "--stop", str(stop), "--reader"]
    return [
        subprocess.Popen([*command, reader, str(out)], stdout=subprocess.PIPE, text=True)
        for reader in ("duckdb", "pandas")
    ]


def stop_readers(readers: list[subprocess.Popen], stop: Path) -> list[dict]:
    """Ends them and gives what they found."""
    stop.touch()
    reports = []
    for reader in readers:
        said = reader.communicate(timeout=120)[0]
        reports.append(json.loads(said) if said.strip() else {"problems": ["a reader crashed"], "reads": 0})
    return reports


def has_onnxruntime(binary: Path) -> bool:
    """Whether models can run here."""
    doctor = subprocess.run([binary, "doctor"], capture_output=True, text=True)
    found = "ONNX Runtime 1." in doctor.stdout
    if not found:
        print("no ONNX Runtime here: plans without models only", file=sys.stderr)
    return found


def main() -> None:
    """Prepares, kills, compares, counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelmill", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=240, help="end after this time, however many were killed")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", type=Path, help="work in this folder, which is emptied first, and leave it there")
    parser.add_argument("--reader", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--stop", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        read_until_stopped(arguments.reader[0], Path(arguments.reader[1]), arguments.stop)
        return
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    # A kill loses nothing that a disk has to keep, and syncing to memory makes room for more of them.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    work = arguments.keep or Path(tempfile.mkdtemp(prefix="labelmill-kill-", dir=memory))
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(f"seed {seed}, in {work}", file=sys.stderr)
    check = Checks()
    started = time.monotonic()
    prepare_checks(check, arguments, work, random.Random(seed))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    try:
        check.run()
    finally:
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)


def prepare_checks(check: Checks, arguments: argparse.Namespace, work: Path, rng: random.Random) -> None:
    """Runs everything and adds the checks on what happened."""
    binary = arguments.labelmill.resolve()
    job = Job(binary, work, has_onnxruntime(binary))
    pictures = Pictures(job.pictures, rng)
    for _ in range(FIRST_PICTURES):
        pictures.add()
    if job.finish(job.arguments(0)) != 0:
        sys.exit(f"the first run failed: {job.said()}")

    stop = work / "stop"
    readers = start_readers(job.out, stop)
    test = KillTest(job, pictures, rng, arguments.kills, arguments.seconds)
    try:
        test.run()
        last_plan = len(job.configs) - 1
        last_status, last_said = job.finish(job.arguments(last_plan)), job.said()
    finally:
        reports = stop_readers(readers, stop)
    last = job.summary()
    again_status = job.finish(job.arguments(last_plan))
    again = job.summary()
    fresh = work / "fresh"
    fresh_status = job.finish(job.arguments(last_plan, fresh))
    for reader, report in zip(("DuckDB", "pandas"), reports, strict=True):
        found = {name: count for name, count in report.items() if name != "problems"}
        print(f"{reader}: {found}", file=sys.stderr)
    print(f"runs: {test.counts}; {len(pictures.files)} pictures at the end", file=sys.stderr)

    @check
    def readers_see_whole_datasets():
        """DuckDB and pandas read during the runs: no error, one schema, no row twice, none missing."""
        no_misses([problem for report in reports for problem in report["problems"]])
        assert all(report["reads"] >= 3 for report in reports), f"too few reads: {reports}"

    @check
    def enough_kills():
        """As many runs were ended in the middle as were asked for."""
        hit = test.counts["killed"] + test.counts["terminated"]
        if hit < arguments.kills:
            print(f"a slow machine: {hit} of {arguments.kills} in {arguments.seconds:.0f} s", file=sys.stderr)
        assert hit > 0, f"not one run was interrupted in {arguments.seconds:.0f} s"

    @check
    def nothing_is_lost():
        """After each kill every committed row of a picture that is still there is there, with its values."""
        no_misses(test.problems["loss"])

    @check
    def every_state_verifies():
        """`labelmill verify` finds no problem after any kill."""
        no_misses(test.problems["verify"])

    @check
    def runs_after_kills_succeed():
        """Runs that nobody ended exit with 0, whatever was killed before them."""
        no_misses(test.problems["exit"])

    @check
    def sigterm_ends_in_time():
        """SIGTERM ends a run with 143 within 10 seconds."""
        no_misses(test.problems["term"])

    @check
    def the_last_run_completes():
        """An uninterrupted run does the rest, and the one after it nothing."""
        assert last_status == 0, f"status {last_status}: {last_said}"
        assert last["complete"], last
        must_equal(again_status, 0, "the run after it")
        must_equal((again["labeled"], again["failed"], again["reused"]), (0, 0, again["found"]), "it labeled")

    @check
    def the_end_equals_a_fresh_run():
        """The rows are those of an uninterrupted run into an empty folder."""
        must_equal(fresh_status, 0, "the fresh run")
        no_misses(differences(table_of(job.out), table_of(fresh)))

    @check
    def nothing_is_left_behind():
        """No temporary part, no next folder."""
        left = [str(path) for path in job.out.glob(".*")] + [str(path) for path in work.glob(".*")]
        left += [str(path) for path in (job.out / "_labelmill").rglob("*.parquet*")]
        no_misses(left)


if __name__ == "__main__":
    main()
