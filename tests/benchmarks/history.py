"""How long the verbs that read a store take, and how much memory, with many nights in it; whole processes.

    make benchmark-history                                   # prints a table
    .venv/bin/python tests/benchmarks/history.py --json      # one JSON object

Stores of 10⁴, 10⁵ and 10⁶ samples are made in a temporary directory (:mod:`nights`). Each round starts every verb with
every store once, in an order of its own from the recorded seed; the first round warms up and does not count. A time is
the median over the rounds, from the start of the process to its end. ``growth_<verb>`` is the time at the largest store
divided by that at the one before it: 10 where time grows linearly, less where a part of it is constant. CPU seconds go
with each time: on a machine that has other work they tell more.

It is no test: a goal that is missed is told, and the exit code is 0.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

SIZES = (10_000, 100_000, 1_000_000)

SAMPLES_A_RUN = 500
"""As :mod:`nights` makes them. It is not imported: the peak memory of a new process begins with that of its parent, so
this one stays small."""

VERBS: Mapping[str, Sequence[str]] = {
    "compare": ("compare", "latest"),
    "regress": ("regress",),
    "report": ("report", "latest", "-o", "{report}"),
    "history": ("history", "startup_time"),
    "help": ("--help",),
}

CODES = {"regress": (0, 3, 4)}
"""Exit codes that are no failure, where there are others than 0: a regression was found, or nothing is sure."""

GOALS = {"compare_s": 1.0, "regress_s": 5.0, "report_s": 5.0, "history_s": 1.0, "help_s": 0.15, "peak_mib": 400.0}
"""At most, at 10⁶ samples."""

MOST_GROWTH = 10.0
"""Of the time from one size to the next, which is ten times as large."""

BENCH = Path(sys.executable).with_name("bench")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One process: seconds from start to end, CPU seconds, and its peak memory in MiB."""

    seconds: float
    cpu: float
    peak: float


def start(verb: str, store: Path, scratch: Path) -> Outcome:
    """Carry out a verb on a store.

    Raises:
        click.ClickException: it failed; with what it said.
    """
    arguments = [argument.format(report=scratch / "report") for argument in VERBS[verb]]
    said = scratch / "stderr"
    environment = os.environ | {"BENCH_STORE": str(store)}
    with said.open("wb") as stderr:
        began = time.perf_counter()
        with subprocess.Popen(
            [BENCH, *arguments], stdout=subprocess.DEVNULL, stderr=stderr, env=environment
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in CODES.get(verb, (0,)):
        raise click.ClickException(f"bench {verb} exited with {process.returncode}: {said.read_text().strip()}")
    return Outcome(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(sizes: Sequence[int], rounds: int, seed: int, directory: Path) -> dict[str, Any]:
    """Make the stores, carry out the rounds, and give all figures as one JSON object."""
    stores = {size: directory / str(size) for size in sizes}
    maker = Path(__file__).with_name("nights.py")
    for size, store in stores.items():
        subprocess.run([sys.executable, maker, store, str(size // SAMPLES_A_RUN)], check=True)
    order = random.Random(seed)
    contestants = [(verb, size) for verb in VERBS for size in sizes]
    outcomes: dict[tuple[str, int], list[Outcome]] = {contestant: [] for contestant in contestants}
    for number in range(rounds + 1):
        for verb, size in order.sample(contestants, len(contestants)):
            outcome = start(verb, stores[size], directory)
            if number > 0:
                outcomes[verb, size].append(outcome)
    return _figures(outcomes, sizes) | {"rounds": rounds, "seed": seed}


def _figures(outcomes: Mapping[tuple[str, int], Sequence[Outcome]], sizes: Sequence[int]) -> dict[str, Any]:
    scaling = {str(size): _of_size(outcomes, size) for size in sizes}
    largest = scaling[str(sizes[-1])]
    found = largest | {"samples": sizes[-1], "runs": sizes[-1] // SAMPLES_A_RUN, "scaling": scaling}
    growths: dict[str, float] = {}
    if len(sizes) > 1:
        before = scaling[str(sizes[-2])]
        growths = {f"growth_{verb}": largest[f"{verb}_s"] / before[f"{verb}_s"] for verb in VERBS}
    goals = GOALS | dict.fromkeys(growths, MOST_GROWTH)
    found |= growths
    return found | {"goals": {name: {"at_most": most, "met": found[name] <= most} for name, most in goals.items()}}


def _of_size(outcomes: Mapping[tuple[str, int], Sequence[Outcome]], size: int) -> dict[str, float]:
    of_verbs = {verb: outcomes[verb, size] for verb in VERBS}
    seconds = {f"{verb}_s": statistics.median(one.seconds for one in found) for verb, found in of_verbs.items()}
    cpu = {f"{verb}_cpu_s": statistics.median(one.cpu for one in found) for verb, found in of_verbs.items()}
    peaks = {f"{verb}_mib": max(one.peak for one in found) for verb, found in of_verbs.items()}
    return seconds | {"peak_mib": max(peaks.values())} | cpu | peaks


def table(found: Mapping[str, Any]) -> str:
    """The same for readers."""
    sizes = list(found["scaling"])
    lines = [f"Seconds, medians of {found['rounds']} interleaved rounds, and MiB at the most; seed {found['seed']}", ""]
    lines.append(f"{'samples':16}" + "".join(f"{int(size):>12,}" for size in sizes))
    lines += [
        f"{name:16}" + "".join(f"{found['scaling'][size][name]:12.3f}" for size in sizes)
        for name in found["scaling"][sizes[-1]]
    ]
    lines += ["", f"{'goal':16}{'at most':>12}{'found':>12}"]
    for name, goal in found["goals"].items():
        verdict = "met" if goal["met"] else "missed"
        lines.append(f"{name:16}{goal['at_most']:12.2f}{found[name]:12.3f}   {verdict}")
    return "\n".join(lines)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="How many count.")
@click.option("--seed", type=int, default=None, help="Of the order [a new one].")
@click.option(
    "--samples", "sizes", type=click.IntRange(min=500), multiple=True, default=SIZES, show_default=True,
    help="Size of a store, the largest last; may be given again.",
)  # fmt: skip
def main(as_json: bool, rounds: int, seed: int | None, sizes: tuple[int, ...]) -> None:
    """Time the verbs that read a store with many nights in it."""
    with tempfile.TemporaryDirectory(prefix="bench-history-") as directory:
        found = measure(sizes, rounds, secrets.randbits(32) if seed is None else seed, Path(directory))
    click.echo(json.dumps(found, indent=2) if as_json else table(found))


if __name__ == "__main__":
    main()
