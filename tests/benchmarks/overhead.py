"""What the harness adds to a workload: its native arm beside the same commands typed by hand in the same root.

    make benchmark-overhead                                   # prints a table
    .venv/bin/python tests/benchmarks/overhead.py --json      # one JSON object (as root)

By hand is: mount the image, and for a disk the scratch disk, change the root, and run what the workload's file says, on
the same CPUs. Each round does both once, in an order of its own from the recorded seed. The ratio is that of
throughput, native arm / by hand, with its 95 % interval over rounds (Hodges–Lehmann, signed-rank).

It is no test: a goal that is missed is told, and the exit code is 0.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.drive import TrialLog, drive
from bench.host import host_values
from bench.images import as_runtime_image, prepare_image
from bench.interruption import one_interruption
from bench.plan import Case
from results.stats.paired import paired_ratio
from runtimes.agent.client import BASE_ENVIRONMENT
from runtimes.base import HostError, InstanceSpec, Limits
from runtimes.chroot import chroot
from runtimes.facilities import Facilities, open_facilities, reclaim
from runtimes.native import NativeOptions, NativeRuntime
from runtimes.storage import attach_loop, make_scratch
from workloads.fields import Scalar
from workloads.image import hold_image
from workloads.loader import load_workload
from workloads.parsers import parse

LIMITS = Limits(cpus=1, cpuset=(), memory=512 << 20)

WORKLOADS: Mapping[str, Mapping[str, Scalar]] = {
    "sysbench-cpu": {"runtime": 3},
    "fio": {"runtime": 3, "size": "64M", "rw": "randread", "iodepth": 1},
}

GOAL = 0.01
"""How far from 1 the ratio may be."""


@dataclass(frozen=True, slots=True)
class Contest:
    """One workload, to be run both ways.

    Attributes:
        case: the workload with its parameters.
        facilities: the run's.
        runtime: the native one, open.
        directory: for logs and scratch disks.
    """

    case: Case
    facilities: Facilities
    runtime: NativeRuntime
    directory: Path

    def by_harness(self) -> float:
        """The primary figure by a native instance, as in a trial of a run."""
        with ExitStack() as stack:
            scratch = self._scratch(stack)
            spec = InstanceSpec(
                f"{self.facilities.run}-{secrets.token_hex(4)}", self.facilities.image, LIMITS, scratch, self.directory
            )
            log = stack.enter_context(TrialLog(self.directory / "log.txt"))
            instance = stack.enter_context(self.runtime.start(spec))
            driven = drive(self.case, LIMITS, host_values(), instance, None, log)
            instance.stop()
            (figure,) = (sample.value for sample in driven.samples if sample.primary)
            return figure

    def by_hand(self) -> float:
        """The same by a person with a shell."""
        with ExitStack() as stack:
            scratch = self._scratch(stack)
            device = stack.enter_context(attach_loop(scratch, read_only=False)) if scratch else None
            root = stack.enter_context(chroot(self.facilities, f"hand-{secrets.token_hex(4)}", device))
            workload = self.case.workload
            commands = workload.commands(
                self.case.params, server_address=None, cpus=LIMITS.cpus, memory=LIMITS.memory, host=host_values()
            )
            assert commands.run is not None
            for argv in commands.prepare:
                self._type(root, argv)
            said = self._type(root, commands.run)
            (figure,) = (found.value for found in parse(workload, said, 0.0) if found.primary)
            return figure

    def _type(self, root: Path, argv: tuple[str, ...]) -> str:
        cpus = ",".join(map(str, self.facilities.instance_cpus(LIMITS)))
        command = ["taskset", "-c", cpus, "chroot", str(root), *argv]
        done = subprocess.run(command, env=dict(BASE_ENVIRONMENT), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise HostError(f"{argv[0]}: exit status {done.returncode}: {done.stderr.strip()[-200:]}")
        return done.stdout

    def _scratch(self, stack: ExitStack) -> Path | None:
        size = self.case.scratch
        if size is None:
            return None
        path = self.facilities.scratch_directory / f"{secrets.token_hex(4)}.ext4"
        make_scratch(path, size)
        stack.callback(path.unlink)
        return path


def measure(contest: Contest, rounds: int, order: random.Random) -> dict[str, Any]:
    """Run both ways ``rounds`` times, after one round that does not count."""
    ways: dict[str, Callable[[], float]] = {"harness": contest.by_harness, "hand": contest.by_hand}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in order.sample(list(ways), len(ways)):
            figure = ways[name]()
            if number:
                found[name].append(figure)
    paired = paired_ratio(found["harness"], found["hand"])
    low, high = paired.interval or (None, None)
    met = None if paired.ratio is None else abs(paired.ratio - 1) <= GOAL
    return {"ratio_direct": paired.ratio, "ci_low": low, "ci_high": high, "n": paired.n, "goal_met": met} | found


def run(rounds: int, seed: int) -> dict[str, Any]:
    """Measure all workloads on facilities of its own.

    Raises:
        HostError: the host cannot give what is needed, or a command by hand failed.
    """
    cases = {}
    for name, given in WORKLOADS.items():
        workload = load_workload(name)
        cases[name] = Case(workload, workload.resolve(given), name)
    packages = sorted({package for case in cases.values() for package in case.workload.packages})
    built = prepare_image(packages, {}, lambda text: print(text, file=sys.stderr))
    reclaim()
    image = as_runtime_image(built)
    order = random.Random(seed)
    with ExitStack() as stack:
        stack.enter_context(one_interruption())
        stack.enter_context(hold_image(image.id))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-overhead-")))
        load = os.getloadavg()[0]
        facilities = stack.enter_context(open_facilities(f"bench-{secrets.token_hex(4)}", image))
        runtime = stack.enter_context(NativeRuntime.open(facilities, NativeOptions()))
        assert isinstance(runtime, NativeRuntime)
        found = {
            name: measure(Contest(case, facilities, runtime, directory), rounds, order) for name, case in cases.items()
        }
    return {**found, "goal": GOAL, "seed": seed, "load_before": load}


def table(found: Mapping[str, Any]) -> str:
    """The same for readers."""
    lines = [f"Throughput by the native arm / by hand, seed {found['seed']}", ""]
    lines.append(f"{'':16}{'ratio':>10}{'95 % interval':>20}{'n':>6}")
    for name in WORKLOADS:
        one = found[name]
        between = "–" if one["ci_low"] is None else f"{one['ci_low']:.4f}–{one['ci_high']:.4f}"
        verdict = "met" if one["goal_met"] else "missed"
        lines.append(f"{name:16}{one['ratio_direct']:10.4f}{between:>20}{one['n']:6}   1 ± {GOAL:g} {verdict}")
    return "\n".join(lines)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the order inside the rounds, instead of a new one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
def main(rounds: int, seed: int | None, as_json: bool) -> None:
    try:
        found = run(rounds, secrets.randbelow(1 << 32) if seed is None else seed)
    except HostError as error:
        print(f"overhead: {error}", file=sys.stderr)
        sys.exit(2)
    print(json.dumps(found, indent=2) if as_json else table(found))


if __name__ == "__main__":
    main()
