"""Runs checks one after the other and counts them: a check is a function that asserts."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable


class Checks:
    """Collects checks by decoration; `run` calls them in their order and ends the program."""

    def __init__(self) -> None:
        self.checks: list[Callable[[], None]] = []

    def __call__(self, check: Callable[[], None]) -> Callable[[], None]:
        """Adds a check; its doc line is what it promises."""
        self.checks.append(check)
        return check

    def run(self) -> None:
        """Runs every check, says which failed and why, and closes with `N passed, M failed`."""
        failed = 0
        for check in self.checks:
            try:
                check()
            except Exception as error:  # a check that cannot run is a check that failed
                failed += 1
                print(f"FAILED  {check.__doc__}\n        {error or type(error).__name__}", file=sys.stderr)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
        print(f"{len(self.checks) - failed} passed, {failed} failed")
        sys.exit(1 if failed else 0)


def must_equal(found, expected, about: str) -> None:
    """Asserts equality and says on what."""
    assert found == expected, f"{about}: found {found!r}, expected {expected!r}"


def no_misses(misses: list[str]) -> None:
    """Asserts that nothing was collected; names up to ten."""
    more = f"\n        … and {len(misses) - 10} more" if len(misses) > 10 else ""
    assert not misses, "\n        ".join(misses[:10]) + more
