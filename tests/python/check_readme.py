#!/usr/bin/env python3
"""Runs every block of commands, SQL and Python in README.md and docs/, in their order, as a reader would.

    check_readme.py --labelmill PROGRAM [FILE …]

The blocks of a file share one folder, in which `my-pictures/` is a copy of the samples and, for questions about
ratings, `rated-labels/` was made by a test model that rates. A block is left out only with a comment after it:
`<!-- not run: REASON -->`. Those are listed. A block whose language is not known here fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from checks import Checks

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SECS = 300
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^ *```[ ]*\n(?:\s*<!--\s*not run:\s*(?P<reason>.*?)\s*-->)?",
    re.MULTILINE | re.DOTALL,
)
# Shown, not run: output, files and trees.
QUIET = {"text", "json", "toml", "ini", "console"}


@dataclass
class Block:
    """One fenced block of a file."""

    file: str
    line: int
    language: str
    code: str
    reason: str | None


def blocks_of(file: Path) -> list[Block]:
    """Finds the fenced blocks of a Markdown file."""
    text = file.read_text(encoding="utf-8")
    return [
        Block(
            file.name,
            text.count("\n", 0, match.start()) + 1,
            match["language"].strip(),
            textwrap.dedent(match["code"]),
            match["reason"],
        )
        for match in BLOCK.finditer(text)
    ]


def prepare(folder: Path, labelmill: Path) -> dict[str, str]:
    """Makes what the blocks find in their folder; gives their environment, in which only this labelmill is found."""
    shutil.copytree(REPOSITORY / "tests/fixtures/samples", folder / "my-pictures")
    shutil.copytree(REPOSITORY / "configs", folder / "configs")
    programs = folder / ".programs"
    programs.mkdir()
    # By name alone: beside the program lies what it finds by its own place, such as the runtime.
    (programs / "labelmill").write_text(f'#!/bin/sh\nexec "{labelmill}" "$@"\n')
    (programs / "labelmill").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LABELMILL_")}
    environment["PATH"] = os.pathsep.join([str(programs), str(Path(sys.executable).parent), environment["PATH"]])
    rates = REPOSITORY / "tests/fixtures/models/tiny-wd-tagger"
    (folder / ".rates.toml").write_text(f'[[model]]\nname = "{rates}"\n')
    run(
        ["labelmill", "run", "my-pictures", "--config", ".rates.toml", "--out", "rated-labels", "--quiet"],
        folder,
        environment,
    )
    return environment


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Runs a command; fails with what it said."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECS
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"


def run_block(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Runs a block in the way of its language."""
    match block.language:
        case "sh" | "bash":
            run(["bash", "-euo", "pipefail", "-c", block.code], folder, environment)
        case "python":
            run([sys.executable, "-c", block.code], folder, environment)
        case "sql":
            program = "import duckdb, sys\nwith duckdb.connect() as c:\n  c.execute(sys.argv[1])\n  print(c.fetchall())"
            run([sys.executable, "-c", program, block.code], folder, environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelmill", required=True, type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    files = arguments.files or [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="readme-") as temporary:
        for number, file in enumerate(files):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            environment = prepare(folder, arguments.labelmill.resolve())
            if file.parent.name == "docs":
                run(["labelmill", "run", "my-pictures/", "--preset", "demo", "--quiet"], folder, environment)
            for block in blocks_of(file):
                add(check, block, folder, environment)
        check.run()


def add(check: Checks, block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Makes a check of a block, or says why it is none."""
    place = f"{block.file}:{block.line} ({block.language or 'no language'})"
    if block.reason is not None:
        print(f"not run: {place}: {block.reason}")
        assert block.reason, f"{place}: a reason is missing"
        return
    if block.language in QUIET:
        return

    def runs() -> None:
        assert block.language in {"sh", "bash", "sql", "python"}, "its language is not known; say what it is"
        run_block(block, folder, environment)

    runs.__doc__ = f"the block {place} runs"
    check(runs)


if __name__ == "__main__":
    main()
