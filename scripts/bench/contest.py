"""Programs that do the same job, run in turn: medians of their time, and a table of the ratios."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CORES = len(os.sched_getaffinity(0))
OURS = "labelmill"


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds of wall and of the processors, children's included."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def medians(
    contenders: dict[str, list[str]], rounds: int, outputs: list[Path], after: Callable[[str], None] = lambda _: None
) -> dict[str, list[float]]:
    """Median seconds of wall and processors by contender; `outputs` are removed before each run."""
    taken: dict[str, list] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, command in contenders.items():
            for output in outputs:
                shutil.rmtree(output, ignore_errors=True)
            taken[name].append(timed(command))
            after(name)
    return {name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in taken.items()}


def print_table(median: dict[str, list[float]], count: int) -> None:
    """A line a contender, for `count` pictures."""
    print(f"{'':15}{'wall s':>9}{'CPU s':>9}{'images/s':>10}{'wall / labelmill':>18}{'CPU / labelmill':>17}{'cores busy':>12}")
    for name, (wall, cpu) in median.items():
        ratios = f"{wall / median[OURS][0]:18.2f}{cpu / median[OURS][1]:17.2f}"
        print(f"{name:15}{wall:9.2f}{cpu:9.2f}{count / wall:10.1f}{ratios}{cpu / wall / CORES:12.2f}")
