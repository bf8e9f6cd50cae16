"""How long a guest takes from request to READY, beside QEMU started by hand.

    make benchmark-vm-start                                   # prints a table
    .venv/bin/python tests/benchmarks/vm_start.py --json      # one JSON object (as root)

Ours: a stock guest, a tuned one, and a tuned one restored from a saved state. By hand: the plain command line, and the
best one that we could find. All have the same kernel, modules, disks and agent. Each round starts every contestant
once, in an order of its own from the recorded seed.

It is no test: a goal that is missed is told, and the exit code is 0.
"""

from __future__ import annotations

import json
import os
import platform
import random
import secrets
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
from guest_figures import BEST, PLAIN, PLAIN_QUIET, RESTORE, STOCK, TUNED, figures, table
from guests import HandWritten, best, plain, plain_quiet
from interleaved import carry_out
from libvirt_share import OurGuest, monitor_log
from measurement import Measurement
from starts import Contestant, Ours, StartError

from bench.images import as_runtime_image, prepare_image
from bench.interruption import one_interruption
from runtimes.base import HostError, InstanceError, Limits
from runtimes.facilities import Facilities, open_facilities, reclaim
from runtimes.vm.emulator import find_qemu
from runtimes.vm.options import VmOptions
from runtimes.vm.probe import probe_accelerator
from runtimes.vm.runtime import VmRuntime
from workloads.image import hold_image

LIMITS = Limits(cpus=1, cpuset=(), memory=512 << 20)

ARMS = {
    STOCK: VmOptions(),
    TUNED: VmOptions(tuned=True),
    RESTORE: VmOptions(tuned=True, start="restore"),
}


def measure(
    facilities: Facilities, rounds: int, seed: int, pause: float, accelerator: str, warm_up: int
) -> Measurement:
    """Start everything ``rounds`` times, interleaved.

    Args:
        facilities: the run's.
        rounds: starts of each contestant.
        seed: of the order inside the rounds.
        pause: milliseconds before each start.
        accelerator: ``kvm`` or ``tcg``.
        warm_up: starts of each contestant before the first round; they are not in the figures.

    Raises:
        HostError: this host cannot have one of our arms.
        InstanceError: one of our guests did not come up, or did not stop.
        StartError: the same for one that was started by hand.
    """
    load = os.getloadavg()[0]
    qemu = find_qemu()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-start-")))
        log = stack.enter_context(monitor_log(directory))
        contestants: list[Contestant] = []
        for name, arm in ARMS.items():
            options = arm.model_copy(update={"accel": accelerator})
            VmRuntime.check(options, LIMITS)
            runtime = stack.enter_context(VmRuntime.open(facilities, options))
            contestants.append(OurGuest(Ours(name, runtime, facilities, LIMITS, directory), log))
        for name, write in ((PLAIN, plain), (PLAIN_QUIET, plain_quiet), (BEST, best)):
            contestants.append(HandWritten(name, facilities, qemu, accelerator, LIMITS, write))
        for _ in range(warm_up):
            for contestant in contestants:
                contestant.start_and_stop()
        starts = carry_out(contestants, rounds, random.Random(seed), pause)
    host = {"kernel": platform.release(), "cpus": len(os.sched_getaffinity(0))}
    limits = {"cpus": LIMITS.cpus, "memory_bytes": LIMITS.memory}
    how = {"pause_ms": pause, "warm_up_starts": warm_up, "load_before": load}
    return Measurement(starts, seed, {}, {"accel": accelerator, "host": host, "limits": limits, **how})


def run(rounds: int, seed: int, pause: float, accel: str, warm_up: int) -> Measurement:
    """Measure on facilities of its own, with the image that has no packages.

    Raises:
        HostError: the host cannot give what is needed.
    """
    built = prepare_image((), {}, lambda text: print(text, file=sys.stderr))
    reclaim()
    image = as_runtime_image(built)
    accelerator = probe_accelerator(image).name if accel == "auto" else accel
    with (
        one_interruption(),
        hold_image(image.id),
        open_facilities(f"bench-{secrets.token_hex(4)}", image) as facilities,
    ):
        return measure(facilities, rounds, seed, pause, accelerator, warm_up)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the order inside the rounds, instead of a new one.")
@click.option("--pause", type=click.FloatRange(min=0), default=100.0, help="Milliseconds before each start.")
@click.option(
    "--warm-up", type=click.IntRange(min=0), default=1, show_default=True, help="Starts of each that are not counted."
)
@click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
def main(rounds: int, seed: int | None, pause: float, warm_up: int, accel: str, as_json: bool) -> None:
    chosen = secrets.randbelow(1 << 32) if seed is None else seed
    try:
        found = figures(run(rounds, chosen, pause, accel, warm_up))
    except HostError as error:
        print(f"vm_start: {error}", file=sys.stderr)
        sys.exit(2)
    except (InstanceError, StartError) as error:
        print(f"vm_start: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(found, indent=2) if as_json else table(found))


if __name__ == "__main__":
    main()
