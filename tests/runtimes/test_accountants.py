"""CPU time and peak memory of the same program by our accountant and by another's, BenchExec's runexec (Beyer, Löwe &
Wendler, Reliable benchmarking: requirements and solutions, STTT 21 (2019) 1-29).

The program computes until it has had a certain CPU time, so that how much it costs does not depend on who else is using
the machine. runexec is installed once into a virtual environment in pytest's cache.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runtimes.agent.client import Command
from runtimes.base import Image, Limits
from runtimes.compiler import compile_program
from runtimes.registry import load_runtime

pytestmark = pytest.mark.host

BENCHEXEC = "benchexec==3.35"
MEMORY = 256  # MiB
SECONDS = 2
BURN = ("/bin/burn", str(MEMORY), str(SECONDS))
LIMITS = Limits(cpus=1, cpuset=(), memory=512 << 20)
AGREEMENT = 0.02
MODES = {
    "its container": ("--read-only-dir", "/", "--read-only-dir", "/tmp", "--dir", "/"),
    "no container": ("--no-container",),
}


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU time, and bytes at the peak."""

    cpu_time: float
    memory_peak: float


@pytest.fixture(scope="session")
def runexec(request):
    """The tool, which later sessions find where this one has put it."""
    directory = request.config.cache.mkdir("benchexec")
    program = directory / "venv/bin/runexec"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory / "venv"], check=True)
        pip = [program.with_name("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", BENCHEXEC]
        installed = subprocess.run(pip, capture_output=True, text=True, check=False)
        assert installed.returncode == 0, installed.stderr
    return program


@pytest.fixture(scope="session")
def burn(tmp_path_factory):
    program = tmp_path_factory.mktemp("burn") / "burn"
    compile_program(program, [Path(__file__).with_name("burn.c")])
    return program


@pytest.fixture(scope="module")
def tiny_image(tiny_image, burn, tmp_path_factory):
    """The same with the program in it."""
    rootfs = tmp_path_factory.mktemp("burn-image") / "rootfs.ext4"
    shutil.copy(tiny_image.rootfs, rootfs)
    subprocess.run(["debugfs", "-w", "-R", f"write {burn} {BURN[0]}", rootfs], check=True, capture_output=True)
    return Image("burn", rootfs)


@pytest.fixture(scope="module")
def theirs(runexec, burn, tmp_path_factory):
    """What runexec finds, in both of its modes."""
    output = tmp_path_factory.mktemp("runexec") / "output.txt"
    found = {}
    for name, mode in MODES.items():
        command = [*delegated(), runexec, *mode, "--output", output, "--", burn, *BURN[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        figures = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        assert figures.get("returnvalue") == "0", done.stdout + done.stderr
        found[name] = Cost(float(figures["cputime"].rstrip("s")), float(figures["memory"].rstrip("B")))
    return found


def delegated():
    """On cgroup version 2 runexec wants a cgroup of its own, as its documentation has it."""
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return []
    return ["systemd-run", "--quiet", "--scope", "--slice=benchexec", "-p", "Delegate=yes"]


@pytest.mark.parametrize("name", ["native", "container"])
def test_both_find_the_same_cost(theirs, facilities, new_spec, name):
    runtime = load_runtime(name)
    with ExitStack() as stack:
        opened = stack.enter_context(runtime.open(facilities, runtime.options_model()))
        instance = stack.enter_context(opened.start(replace(new_spec(scratch=False), limits=LIMITS)))
        completed = instance.agent.run(Command(BURN))
        usage = instance.usage()
        instance.stop()
    assert completed.ok, completed
    ours = Cost(usage.cpu_time, usage.memory_peak)
    for other in theirs.values():
        assert ours.cpu_time == pytest.approx(other.cpu_time, rel=AGREEMENT)
        assert ours.memory_peak == pytest.approx(other.memory_peak, rel=AGREEMENT)
    # And both find what the program says of itself.
    assert SECONDS <= ours.cpu_time < (1 + 2 * AGREEMENT) * SECONDS
    assert MEMORY << 20 <= ours.memory_peak < (1 + AGREEMENT) * (MEMORY << 20)
