"""Every test: those that leave the machine alone at the same time, then the others one by one, and what came of both.

    python tests/two_parts.py [arguments of pytest]

Real containers, guests and timings would be seen and felt by others beside them, so they have the machine to
themselves. Arguments hold for both parts; a part for which they choose no test is no failure.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

_NO_TESTS = 5
"""Exit status of pytest where there was nothing to run (pytest's "Exit codes")."""


def commands(arguments: Sequence[str]) -> dict[str, list[str]]:
    """By part, how it is run: the first by a process for each CPU, unless the arguments say otherwise."""
    pytest = [sys.executable, "-m", "pytest"]
    return {
        "pure": [*pytest, "--numprocesses=logical", "--dist=worksteal", *arguments, "--part=pure"],
        "real": [*pytest, *arguments, "--part=real", "--numprocesses=0"],
    }


def told(statuses: dict[str, int]) -> tuple[str, int]:
    """What is said of the parts' exit statuses, and the one for both: that of the first which failed."""
    words = {0: "passed", _NO_TESTS: "no such tests"}
    said = "; ".join(f"{part}: {words.get(status, f'FAILED ({status})')}" for part, status in statuses.items())
    failed = [status for status in statuses.values() if status not in words]
    if failed:
        return said, failed[0]
    return said, 0 if 0 in statuses.values() else _NO_TESTS


def main() -> int:
    """Run both parts, whatever comes of the first."""
    statuses, took = {}, {}
    for part, command in commands(sys.argv[1:]).items():
        began = time.monotonic()
        statuses[part] = subprocess.run(command, check=False).returncode
        took[part] = time.monotonic() - began
    said, status = told(statuses)
    print(f"tests: {said}; {' + '.join(f'{seconds:.0f}' for seconds in took.values())} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
