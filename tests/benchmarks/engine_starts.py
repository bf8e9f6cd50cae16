"""Whether the startup that we measure of a container engine is what hyperfine measures of the same command line.

    make benchmark-engines                                    # installs hyperfine if need be, prints a table
    .venv/bin/python tests/benchmarks/engine_starts.py --json       # one JSON object (as root)

The runtime starts an instance, and keeps how it called the engine. hyperfine then runs that very command, in the same
namespaces, the same cgroups and on the same CPUs, until the first byte of the agent's READY comes out of it: what
remains of the command after that is no part of a start, and is waited for outside of the clock. Both take turns, some
starts of the one and as many of the other. ``<engine>_ours_ms`` is the median of the phases that the command is asked
to do, ``<engine>_hyperfine_ms`` hyperfine's less ``shell_ms``, which a shell alone takes to read a byte from a process,
and ``ratio_<engine>`` the one divided by the other. ``<engine>_startup_ms`` is all of ``startup_time``, in which is
also what has to be there before the engine is called.

It is no test: a goal that is missed is told, and the exit code is 0.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.images import as_runtime_image, prepare_image
from bench.interruption import one_interruption
from runtimes.base import HostError, InstanceError, InstanceSpec, Limits, Runtime
from runtimes.cgroup import CgroupTree
from runtimes.docker import DockerOptions, DockerRuntime
from runtimes.engine.programs import COMMAND_NAME, ENVIRONMENT, find_program
from runtimes.facilities import Facilities, open_facilities, reclaim
from runtimes.launcher.rootfs import mount_bare_root, unmount_root
from runtimes.oci import CONFIG, OciOptions, OciRuntime
from workloads.image import hold_image

LIMITS = Limits(cpus=1, cpuset=(), memory=256 << 20)

TURN = 5
"""Starts of one kind before those of the other."""

PAUSE = 0.3
"""Seconds of quiet before each start that hyperfine times, as there are before one of a run's.

Whoever moves a process between cgroups waits for all CPUs, some ten milliseconds, unless somebody else has just done so
(``cgroup_threadgroup_rwsem`` of the kernel's kernel/cgroup/cgroup.c): without a pause the command is faster by that
much than any that is typed.
"""

GOAL = 0.1
"""How far from 1 a ratio may be."""

_FIRST_BYTE = "#!/bin/bash\nread -r -N 1 -t 60 < <(exec {command} 2>>{log} </dev/null) || exit 1\n"


@dataclass
class Engine:
    """One engine, started by its runtime and by hyperfine.

    Attributes:
        name: of the figures.
        runtime: opened.
        own_phases: the phases of a start that the engine's command is not asked to do.
        startup: ``startup_time`` of every start, seconds.
        ours: the same without those phases.
        theirs: what hyperfine measured, seconds.
    """

    name: str
    runtime: Runtime
    own_phases: tuple[str, ...]
    startup: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def start(self, spec: InstanceSpec) -> None:
        """Start one instance by the runtime, and stop it."""
        with self.runtime.start(spec) as instance:
            phases = dict(instance.timeline.phases())
            instance.stop()
        self.startup.append(sum(phases.values()))
        self.ours.append(sum(seconds for phase, seconds in phases.items() if phase not in self.own_phases))

    def figures(self, shell: float) -> dict[str, float]:
        """Medians, milliseconds, and the ratio."""
        ours, theirs = statistics.median(self.ours) * 1e3, (statistics.median(self.theirs) - shell) * 1e3
        return {
            f"{self.name}_startup_ms": statistics.median(self.startup) * 1e3,
            f"{self.name}_ours_ms": ours,
            f"{self.name}_hyperfine_ms": theirs,
            f"ratio_{self.name}": ours / theirs,
        }


def hyperfine(command: Sequence[str], clean: str, tree: CgroupTree, cpus: Sequence[int]) -> list[float]:
    """Time a command, in a tree of cgroups and on these CPUs.

    Args:
        command: what is timed, up to its first byte of output.
        clean: of the shell: it is run before each, to remove what the one before has left, and succeeds as long as
            there is any.
        tree: where it is run.
        cpus: on which.

    Returns:
        Seconds of each run.
    """
    with tempfile.TemporaryDirectory(prefix="bench-engines-") as name:
        directory = Path(name)
        script, before, found, log = (directory / file for file in ("start", "before", "found.json", "log"))
        script.write_text(_FIRST_BYTE.format(command=shlex.join(command), log=log))
        before.write_text(f"#!/bin/sh\nwhile {clean}; do sleep 0.02; done >/dev/null 2>&1\nsleep {PAUSE}\n")
        for each in (script, before):
            each.chmod(0o700)
        joins = "".join(f"echo $$ >{shlex.quote(str(file))} && " for file in tree.helpers.procs_files)
        timed = [
            str(find_program("hyperfine", "hyperfine")), "--shell=none", "--style=none", "--warmup=1", f"--runs={TURN}",
            "--export-json", str(found), "--prepare", str(before), str(script),
        ]  # fmt: skip
        cpu_list = ",".join(map(str, cpus))
        try:
            subprocess.run(
                ["sh", "-c", f"{joins}exec taskset -c {cpu_list} {shlex.join(timed)}"],
                check=True,
                capture_output=True,
                text=True,
                env=dict(ENVIRONMENT),
            )
        except subprocess.CalledProcessError as error:
            said = log.read_text() if log.exists() else ""
            raise HostError(f"hyperfine failed: {error.stderr.strip()}\n{said}") from error
        times: list[float] = json.loads(found.read_text())["results"][0]["times"]
        return times


def time_oci(facilities: Facilities, spec: InstanceSpec) -> list[float]:
    """Time the command that an OCI runtime was called with, on a bundle like that which it had."""
    argv = (spec.directory / COMMAND_NAME).read_text().splitlines()
    config = json.loads((spec.directory / CONFIG).read_text())
    bundle = Path(argv[argv.index("--bundle") + 1])
    delete = [*argv[: argv.index("run")], "delete", "--force", spec.name]
    with ExitStack() as stack:
        tree = stack.enter_context(facilities.new_cgroup_tree(spec.name, spec.limits))
        network = stack.enter_context(facilities.network.make_namespace())
        for namespace in config["linux"]["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = f"/proc/{os.getpid()}/fd/{network.fd}"
        bundle.mkdir()
        stack.callback(bundle.rmdir)
        facilities.launcher.take(mount_bare_root(str(facilities.root), str(bundle)))
        stack.callback(unmount_root, str(bundle))
        (bundle / CONFIG).write_text(json.dumps(config))
        stack.callback(subprocess.run, delete, check=False, env=dict(ENVIRONMENT), capture_output=True)
        state = shlex.join([*argv[: argv.index("run")], "state", spec.name])
        clean = f"{shlex.join(delete)}; {state}"
        return hyperfine(argv, clean, tree, facilities.instance_cpus(spec.limits))


def time_docker(facilities: Facilities, spec: InstanceSpec) -> list[float]:
    """Time the ``docker run`` that an instance was started by."""
    argv = (spec.directory / COMMAND_NAME).read_text().splitlines()
    remove = [*argv[: argv.index("run")], "rm", "--force", spec.name]
    with facilities.new_cgroup_tree(f"{spec.name}-client", spec.limits) as tree:
        try:
            inspect = shlex.join([*argv[: argv.index("run")], "inspect", spec.name])
            clean = f"{shlex.join(remove)}; {inspect}"
            return hyperfine(argv, clean, tree, facilities.instance_cpus(spec.limits))
        finally:
            subprocess.run(remove, check=False, env=dict(ENVIRONMENT), capture_output=True)


def measure(facilities: Facilities, rounds: int) -> dict[str, object]:
    """Start everything in turns.

    Raises:
        HostError: an engine, or hyperfine, does not run here.
        InstanceError: an instance did not come up, or did not stop.
    """
    with ExitStack() as stack:
        runc = stack.enter_context(OciRuntime.open(facilities, OciOptions()))
        docker = stack.enter_context(DockerRuntime.open(facilities, DockerOptions(client="cli")))
        by_api = stack.enter_context(DockerRuntime.open(facilities, DockerOptions()))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-engines-")))
        engines = (
            (Engine("runc", runc, ("network", "bundle")), time_oci),
            (Engine("docker", docker, ()), time_docker),
        )
        api = Engine("docker_api", by_api, ())
        shell: list[float] = []
        for _ in range(rounds):
            for engine, time_theirs in engines:
                for _ in range(TURN):
                    spec = _new_spec(facilities, directory)
                    engine.start(spec)
                engine.theirs += time_theirs(facilities, spec)
            for _ in range(TURN):
                api.start(_new_spec(facilities, directory))
            with facilities.new_cgroup_tree(f"bench-{secrets.token_hex(6)}", LIMITS) as tree:
                shell += hyperfine(("printf", "x"), "false", tree, facilities.instance_cpus(LIMITS))
        of_shell = statistics.median(shell)
        found: dict[str, object] = {"rounds": rounds, "shell_ms": of_shell * 1e3, "goal": GOAL}
        for engine, _ in engines:
            found |= engine.figures(of_shell)
        return {**found, "docker_api_startup_ms": statistics.median(api.startup) * 1e3}


def _new_spec(facilities: Facilities, parent: Path) -> InstanceSpec:
    name = f"bench-{secrets.token_hex(6)}"
    (parent / name).mkdir()
    return InstanceSpec(name, facilities.image, LIMITS, None, parent / name)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", type=click.IntRange(min=1), default=6, show_default=True, help=f"Of {TURN} starts of each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, and nothing else.")
def main(rounds: int, as_json: bool) -> None:
    try:
        image = prepare_image((), {}, lambda text: print(text, file=sys.stderr))
        reclaim()
        with (
            one_interruption(),
            hold_image(image.id),
            open_facilities(f"bench-{secrets.token_hex(4)}", as_runtime_image(image)) as facilities,
        ):
            found = measure(facilities, rounds)
    except HostError as error:
        print(f"engines: {error}", file=sys.stderr)
        sys.exit(2)
    except InstanceError as error:
        print(f"engines: {error}", file=sys.stderr)
        sys.exit(1)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:24} {value:.3f}" if isinstance(value, float) else f"{name:24} {value}")


if __name__ == "__main__":
    main()
