"""What the lab does when it has booted: one step after the other, with its output and outcome on the second disk."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

WORK = Path("/work")
RESULTS = WORK / "results"
ENVIRONMENT = {
    **os.environ,
    "BENCH_LAB": "1",
    "BENCH_CACHE": str(WORK / "cache"),
    "BENCH_STORE": str(RESULTS / "bench-results"),
    "BENCH_SCRATCH": str(WORK / "scratch"),
    "PYTHONPATH": str(WORK / "project"),
    "PYTHONUNBUFFERED": "1",
}

PULSE = 30.0
"""Seconds between two lines by which the lab's host knows that this machine still runs."""

CONSOLE = threading.Lock()
STATUS = threading.Lock()
STORED_RUNS = "tests/lab/test_stored_runs.py"
START_BENCHMARK = "tests/benchmarks/vm_start.py"

VM_TESTS = (
    "facts_are_read_back",
    "another_accelerator",
    "its_phases",
    "tells_where_its_start_went",
    "its_clock",
    "all_of_qemu_is_charged",
    "memory_is_accounted_for",
    "fraction_of_a_cpu",
    "its_scratch_disk_is_limited",
    "the_peer_side",
    "a_panic",
    "killed_harness",
    "nothing_is_left",
)
"""Of the tests of guests, those that KVM or cgroup v2 makes different; every guest costs several seconds here."""

ENGINE_TESTS = (
    "ready_comes_last",
    "memory_is_accounted_for",
    "quota_is_met and 0.5",
    "a_limit_of_processes",
    "scratch_disk_is_limited and limits0",
    "written_is_on_the_disk",
    "the_peer_side",
    "counted_beside",
    "somebody_else",
    "nothing_is_left",
)
"""Of the tests of container engines, those that cgroup v2 makes different."""

ENGINES = (
    "test_podman.py::TestPodman",
    "test_docker.py::TestDocker",
    "test_lxc.py::TestLxc",
    "test_nspawn.py::TestNspawn",
    "test_oci.py::TestRunc",
)
"""crun, which runs nowhere else but on such hosts, has all of its tests run."""


@dataclass
class Step:
    """One command.

    Attributes:
        name: of the step, and of the file with its output.
        command: what runs.
        limit: seconds that it may take.
        told: whether its lines go to the console as well, as progress.
        seconds: that it took.
        outcome: ``passed``, or what went wrong.
    """

    name: str
    command: list[str]
    limit: float
    told: bool = True
    seconds: float = 0.0
    outcome: str = field(default="not run")


def chosen(tests: tuple[str, ...]) -> str:
    """An expression of pytest's that names some of the tests."""
    return " or ".join(f"({each})" for each in tests)


def pytest_step(name: str, *arguments: str, limit: float) -> Step:
    """Tests by pytest, with a JUnit file."""
    # What passed leaves nothing on the small root file system.
    without = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-o", "tmp_path_retention_policy=failed"]
    options = ["-v", "--tb=short", f"--junit-xml={RESULTS}/{name}.xml", *without]
    return Step(name, [sys.executable, "-m", "pytest", *options, *arguments], limit)


def bench_step(name: str, *arguments: str, limit: float, told: bool = True) -> Step:
    """A call of the command line."""
    return Step(name, ["bench", *arguments], limit, told)


def probe_step() -> Step:
    """Whether KVM works, before anything asks."""
    return Step("probe", [sys.executable, "tests/lab/inside/probe.py"], limit=300)


def export_step(name: str) -> Step:
    """The samples of the run before, as people get them."""
    return bench_step("export", "export", "latest", "--format", "csv", "-o", f"{RESULTS}/{name}.csv", limit=200)


def benchmark_step() -> Step:
    """A guest's start beside QEMU started by hand: each of the six once, as it is only to come up under KVM."""
    options = ["--json", "--accel", "kvm", "--rounds", "1", "--warm-up", "0"]
    command = shlex.join([sys.executable, START_BENCHMARK, *options])
    return Step("vm-start", ["sh", "-c", f"exec {command} >{RESULTS}/vm-start.json"], limit=600)


def run_suite(name: str) -> Step:
    """A shipped suite, with KVM asked for; reports are made where drawing them does not take a minute."""
    return bench_step(name, "run", str(WORK / f"suites/{name}.yaml"), "--blocks", "1", "-v", "--no-report", limit=900)


def stages() -> list[list[list[Step]]]:
    """One stage after the other; in a stage, lanes that run at the same time; in a lane, one step after the other.

    Two lanes, since a step keeps little more than one of the two processors busy. What looks at speeds or at what is
    left on the host runs alone. The engines come last, also those that the doctor tries out: three of three times that
    he had done so first, guests under KVM in both lanes came to a standstill, or the whole machine did.
    """
    return [
        [[probe_step()]],
        [
            [run_suite("quick"), export_step("quick"), run_suite("isolation"), run_suite("limits")],
            [pytest_step("lab", "tests/lab", "-m", "lab", f"--deselect={STORED_RUNS}", limit=1200), benchmark_step()],
        ],
        [
            [
                pytest_step("cgroups", "tests/runtimes/test_cgroup.py", "-m", "host", limit=200),
                pytest_step("container", "tests/runtimes/test_conformance.py::TestContainer", limit=600),
                pytest_step("vm", "tests/runtimes/vm/test_vm_runtime.py", "-k", chosen(VM_TESTS), limit=900),
                bench_step("doctor", "doctor", "--format", "json", limit=200, told=False),
                pytest_step("stored", STORED_RUNS, limit=200),
                pytest_step("crun", "tests/runtimes/test_oci.py::TestCrun", limit=600),
                pytest_step(
                    "engines", *[f"tests/runtimes/{each}" for each in ENGINES], "-k", chosen(ENGINE_TESTS), limit=900
                ),
            ]
        ],
    ]


def main() -> int:
    """Run the steps; the machine powers off afterwards, whatever comes of it."""
    (WORK / "scratch").mkdir(exist_ok=True)
    threading.Thread(target=show_pulse, daemon=True).start()
    say(f"booted; {Path('/proc/uptime').read_text().split()[0]} s since the kernel's start")
    wanted = (WORK / "steps").read_text().split()
    planned = [[[step for step in lane if not wanted or step.name in wanted] for lane in stage] for stage in stages()]
    every = [step for stage in planned for lane in stage for step in lane]

    def run_lane(lane: list[Step]) -> None:
        for step in lane:
            run_step(step)
            write_status(every, finished=False)

    for stage in planned:
        with ThreadPoolExecutor() as lanes:
            list(lanes.map(run_lane, stage))
    journal = subprocess.run(["journalctl", "--no-pager", "-b"], capture_output=True, check=False)
    (RESULTS / "journal.log").write_bytes(journal.stdout)
    write_status(every, finished=True)
    return 0


def say(text: str) -> None:
    """Show a line to the people at the lab's host."""
    with CONSOLE:
        Path("/dev/ttyS0").write_text(f"lab: {text}\r\n")


def show_pulse() -> None:
    """Write to the console again and again, whatever the steps do."""
    while True:
        time.sleep(PULSE)
        with CONSOLE:
            Path("/dev/ttyS0").write_text("still running\r\n")


def run_step(step: Step) -> None:
    """Run one step. Its output goes to its file, which is followed: no process that outlives it can hold it up."""
    say(f"{step.name}: begins")
    started = time.monotonic()
    try:
        step.outcome = carry_out(step, started)
    except OSError as error:
        step.outcome = f"failed: could not be run: {error}"
    step.seconds = time.monotonic() - started
    say(f"{step.name}: {step.outcome}, {step.seconds:.0f} s")


def carry_out(step: Step, started: float) -> str:
    """Run a step's command, begun when ``time.monotonic()`` was ``started``; returns its outcome.

    Raises:
        OSError: it cannot be started, or its output not be kept.
    """
    file = RESULTS / f"{step.name}.log"
    with file.open("wb") as output, file.open("rb") as follower:
        process = subprocess.Popen(
            step.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        while process.poll() is None and time.monotonic() - started < step.limit:
            time.sleep(1)
            if step.told:
                tell_of(step.name, follower)
        in_time = process.returncode is not None
        if not in_time:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if step.told:
            tell_of(step.name, follower)
    if not in_time:
        return f"not finished within {step.limit:g} s"
    return "passed" if process.returncode == 0 else f"failed: exit status {process.returncode}"


def tell_of(name: str, follower: BinaryIO) -> None:
    """Show the whole lines that a step has written since."""
    while line := follower.readline():
        if not line.endswith(b"\n"):
            follower.seek(-len(line), os.SEEK_CUR)
            return
        if text := line.decode(errors="replace").strip():
            say(f"{name} | {text[:150]}")


def write_status(planned: list[Step], *, finished: bool) -> None:
    """What the host reads."""
    data = {"finished": finished, "steps": [asdict(step) for step in planned]}
    with STATUS:
        (RESULTS / "status.json").write_text(json.dumps(data, indent=1))
        os.sync()


if __name__ == "__main__":
    sys.exit(main())
