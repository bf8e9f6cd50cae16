"""How well changes of level are found in synthetic histories, ours and Otava's, and how often without one.

    make benchmark-detection                                   # prints a table
    .venv/bin/python tests/benchmarks/detection.py --json      # one JSON object

Histories whose changes are known (``tests/results/history/histories.py``) are put to each detector night by night, the
same ones to all. ``recall_<size>_<noise>`` is the share of steps found within five nights, ``drift`` that of drifts of
10 % over six weeks found before they end; ``false_alarms_<kind>`` are alarms without a change in 100 nights of 20
metrics, each noise in turn. Alarms are changes for the worse only.

Otava is installed into an environment of its own below ``$BENCH_CACHE``, and asked with its usual p-value of 0.001:
``otava`` with its usual least magnitude, which is none, and ``otava_threshold`` with our threshold in its place.

It is no test: a goal that is missed is told, and the exit code is 0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click
import numpy as np

TESTS = Path(__file__).resolve().parents[1]
for folder in ("results", "results/history"):
    sys.path.insert(0, str(TESTS / folder))

from histories import (  # noqa: E402  # found by the lines above
    NOISES,
    QUIET,
    WARM_UP,
    Detector,
    Floats,
    false_alarms,
    ours,
    recall,
    with_drift,
    with_step,
)

from results.history.policy import THRESHOLD  # noqa: E402

OTAVA = "apache-otava==0.8.0"
P_VALUE = 0.001
SIZES = (0.03, 0.05, 0.10)
METRICS, NIGHTS = 20, 100

# Reads a series a line and answers with the places of its changes for the worse, less being better.
_ASKED = """
import json, sys
from otava.analysis import compute_change_points
for line in sys.stdin:
    values, p_value, magnitude = json.loads(line)
    found, _ = compute_change_points(values, max_pvalue=p_value, min_magnitude=magnitude)
    worse = [int(point.index) for point in found if point.stats.mean_2 > point.stats.mean_1]
    print(json.dumps(worse), flush=True)
"""


def otava_python() -> Path:
    """Python of an environment that has Otava, made if it is not there."""
    cache = Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "bench")
    directory = cache / OTAVA.replace("==", "-")
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        venv.create(directory, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", OTAVA], check=True)
        (directory / "complete").touch()
    return python


@contextmanager
def otava(magnitude: float) -> Iterator[Detector]:
    """Otava as a detector, in a process of its own."""
    command = [otava_python(), "-c", _ASKED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def detect(values: Floats) -> list[int]:
            stdin.write(json.dumps([values.tolist(), P_VALUE, magnitude]) + "\n")
            stdin.flush()
            found: list[int] = json.loads(stdout.readline())
            return found

        yield detect
        stdin.close()


def score(detector: Detector, histories: int, rounds: int) -> dict[str, float]:
    """What comes of one detector; the same histories for each."""
    generator = np.random.default_rng(2026)
    figures: dict[str, float] = {}
    for size in SIZES:
        for noise in NOISES:
            made = [with_step(generator, noise, size) for _ in range(histories)]
            figures[f"recall_{100 * size:g}_{100 * noise:g}"] = recall(made, detector, 5)
    figures["recall_5"] = float(np.mean([figures[f"recall_5_{100 * noise:g}"] for noise in NOISES]))
    drifts = [with_drift(generator, noise, 0.10) for noise in NOISES for _ in range(max(histories // 5, 1))]
    figures["drift"] = recall(drifts, detector, 42)
    for kind, make in QUIET.items():
        noises = [NOISES[metric % len(NOISES)] for metric in range(METRICS * rounds)]
        counted = false_alarms([make(generator, noise, WARM_UP + NIGHTS) for noise in noises], detector)
        figures[f"false_alarms_{kind.replace(' ', '_')}"] = counted / rounds
    figures["false_alarms"] = float(np.mean([figures[f"false_alarms_{kind.replace(' ', '_')}"] for kind in QUIET]))
    return figures


@click.command()
@click.option("--histories", default=100, show_default=True, help="Of each step and noise.")
@click.option("--rounds", default=2, show_default=True, help="Of a hundred nights of twenty metrics, for each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(histories: int, rounds: int, as_json: bool) -> None:
    """Score our detector and Otava's on the same synthetic histories."""
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        detectors: dict[str, Callable[[], Detector]] = {
            "ours": lambda: ours,
            "otava": partial(stack.enter_context, otava(0.0)),
            "otava_threshold": partial(stack.enter_context, otava(THRESHOLD)),
        }
        for name, made in detectors.items():
            found[name] = score(made(), histories, rounds)
    if as_json:
        click.echo(json.dumps({f"{name}_{key}": value for name, each in found.items() for key, value in each.items()}))
        return
    click.echo(f"{'':32}" + "".join(f"{name:>18}" for name in found))
    for key in found["ours"]:
        click.echo(f"{key:32}" + "".join(f"{each[key]:18.3f}" for each in found.values()))
    for key, goal, met in (
        ("recall_5", "at least 0.95", found["ours"]["recall_5"] >= 0.95),
        ("false_alarms", "at most 1", found["ours"]["false_alarms"] <= 1),
    ):
        click.echo(f"{key} {goal}: {'met' if met else 'MISSED'}", err=True)


if __name__ == "__main__":
    main()
