"""How long a container takes from request to READY, beside other tools that start the same agent from the same root.

    make benchmark-start                                             # installs the peers if need be, prints a table
    .venv/bin/python tests/benchmarks/container_start.py --json      # one JSON object (as root)

Everything on: all namespaces, cgroups with limits, an overlay root, and whatever hardening the runtime has by default.
Each round starts every contestant once, in an order of its own from the recorded seed, so that what changes on the host
meanwhile meets all alike. A ratio is that of medians over all rounds.

It is no test: a goal that is missed is told, and the exit code is 0. A peer that does not run here has null for a
ratio, and ``absent`` says why.
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
from figures import OURS, OURS_VETH, figures, table
from interleaved import carry_out
from measurement import Measurement
from peers import PEERS, Floor, Ground, Peer, PeerAbsentError, open_ground
from starts import Contestant, Ours, StartError, Theirs

from bench.images import as_runtime_image, prepare_image
from bench.interruption import one_interruption
from runtimes.base import HostError, InstanceError, Limits
from runtimes.cgroup import describe_version
from runtimes.container.options import ContainerOptions
from runtimes.container.runtime import ContainerRuntime
from runtimes.facilities import Facilities, open_facilities, reclaim
from workloads.image import hold_image

LIMITS = Limits(cpus=1, cpuset=(), memory=256 << 20, pids=1024)
WARM_UP = 5
"""Starts of each contestant before the first round; they are not in the figures."""

PAUSE_MS = 20.0
"""Milliseconds between two starts, by default. The kernel takes namespaces and mounts down after their last process has
ended, and what the one contestant has left to take down shall not be the next one's cost.

It is also what makes a start one in a quiet system. Who joins a cgroup by way of cgroup.procs, as runc and crun do,
waits for a grace period of RCU, unless somebody else has just done so.
"""


def measure(facilities: Facilities, rounds: int, seed: int, pause: float, limits: Limits = LIMITS) -> Measurement:
    """Start everything ``rounds`` times, interleaved.

    Args:
        facilities: the run's.
        rounds: starts of each contestant.
        seed: of the order inside the rounds.
        pause: milliseconds between two starts.
        limits: what an instance may use.

    Raises:
        InstanceError: our container did not come up, or did not stop.
        StartError: a peer that ran while warming up no longer does.
    """
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-start-")))
        ours: list[Contestant] = []
        for name, options in ((OURS, ContainerOptions(network="none")), (OURS_VETH, ContainerOptions())):
            ContainerRuntime.check(options, limits)
            runtime = stack.enter_context(ContainerRuntime.open(facilities, options))
            ours.append(Ours(name, runtime, facilities, limits, directory))
        ground = stack.enter_context(open_ground(facilities, limits))
        peers, absent = _ready_peers(ground, directory)
        contestants = [*ours, *(Theirs(peer, directory) for peer in peers)]
        for _ in range(WARM_UP):
            for contestant in contestants:
                contestant.start_and_stop()
        starts = carry_out(contestants, rounds, random.Random(seed), pause)
        return Measurement(starts, seed, absent, _facts(peers, limits) | {"pause_ms": pause, "load_before": load})


def _ready_peers(ground: Ground, directory: Path) -> tuple[list[Peer], dict[str, str]]:
    """The peers that run here, each tried once, and why the others do not."""
    ready: list[Peer] = []
    absent: dict[str, str] = {}
    kinds: tuple[type[Peer], ...] = (Floor, *PEERS)
    for kind in kinds:
        try:
            peer = kind(ground)
            Theirs(peer, directory).start_and_stop()
        except (PeerAbsentError, StartError) as error:
            absent[kind.name] = str(error)
        else:
            ready.append(peer)
    return ready, absent


def _facts(peers: list[Peer], limits: Limits) -> dict[str, object]:
    return {
        "versions": {peer.name: peer.version() for peer in peers},
        "host": {
            "kernel": platform.release(),
            "cpus": len(os.sched_getaffinity(0)),
            "cgroups": describe_version(),
        },
        "limits": {"cpus": limits.cpus, "memory_bytes": limits.memory, "pids": limits.pids},
        "warm_up_starts": WARM_UP,
    }


def run(rounds: int, seed: int, pause: float) -> Measurement:
    """Measure on facilities of its own, with the image that has no packages.

    Raises:
        HostError: the host cannot give what is needed.
    """
    image = prepare_image((), {}, lambda text: print(text, file=sys.stderr))
    reclaim()
    with (
        one_interruption(),
        hold_image(image.id),
        open_facilities(f"bench-{secrets.token_hex(4)}", as_runtime_image(image)) as facilities,
    ):
        return measure(facilities, rounds, seed, pause)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the order inside the rounds, instead of a new one.")
@click.option(
    "--pause",
    type=click.FloatRange(min=0),
    default=PAUSE_MS,
    show_default=True,
    help="Milliseconds between two starts.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
def main(rounds: int, seed: int | None, pause: float, as_json: bool) -> None:
    try:
        found = figures(run(rounds, secrets.randbelow(1 << 32) if seed is None else seed, pause))
    except HostError as error:
        print(f"container_start: {error}", file=sys.stderr)
        sys.exit(2)
    except (InstanceError, StartError) as error:
        print(f"container_start: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(found, indent=2) if as_json else table(found))


if __name__ == "__main__":
    main()
