"""What the lab does when it has booted: one step after the other, with its output and outcome on the second disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

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

RUNTIME_TESTS = (
    "tests/runtimes/test_conformance.py::TestContainer",
    "tests/runtimes/test_cgroup_figures.py",
    "tests/runtimes/vm/test_vm_runtime.py",
)
"""Those outside of tests/lab that cgroup v2 or KVM makes different, as far as there is time for them."""


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


def pytest_step(name: str, *arguments: str, limit: float) -> Step:
    """Tests by pytest, with a JUnit file."""
    options = ["-v", "-p", "no:cacheprovider", f"--junit-xml={RESULTS}/{name}.xml"]
    return Step(name, [sys.executable, "-m", "pytest", *options, *arguments], limit)


def bench_step(name: str, *arguments: str, limit: float, told: bool = True) -> Step:
    """A call of the command line."""
    return Step(name, ["bench", *arguments], limit, told)


def run_suite(name: str) -> Step:
    """A shipped suite, with KVM asked for; all that is told of each trial."""
    return bench_step(name, "run", str(WORK / f"suites/{name}.yaml"), "--blocks", "1", "-v", limit=600)


def steps() -> list[Step]:
    """All of them, in order."""
    return [
        Step("probe", [sys.executable, "tests/lab/inside/probe.py"], limit=300),
        bench_step("doctor", "doctor", "--format", "json", limit=120, told=False),
        run_suite("quick"),
        bench_step("export", "export", "latest", "--format", "csv", "-o", f"{RESULTS}/quick.csv", limit=120),
        run_suite("isolation"),
        run_suite("limits"),
        pytest_step("lab", "tests/lab", "-m", "lab", limit=600),
        pytest_step("runtimes", *RUNTIME_TESTS, limit=1200),
    ]


def main() -> int:
    """Run the steps; the machine powers off afterwards, whatever comes of it."""
    (WORK / "scratch").mkdir(exist_ok=True)

    def say(text: str) -> None:
        with Path("/dev/ttyS0").open("w") as console:
            console.write(f"lab: {text}\r\n")

    say(f"booted; {Path('/proc/uptime').read_text().split()[0]} s since the kernel's start")
    wanted = (WORK / "steps").read_text().split()
    planned = [step for step in steps() if not wanted or step.name in wanted]
    finished = False
    for step in planned:
        run_step(step, say)
        finished = step is planned[-1]
        write_status(planned, finished=finished)
    journal = subprocess.run(["journalctl", "--no-pager", "-b"], capture_output=True, check=False)
    (RESULTS / "journal.log").write_bytes(journal.stdout)
    os.sync()
    return 0


def run_step(step: Step, say) -> None:
    """Run one step, its lines going to its file and to the console."""
    say(f"--- {step.name}")
    started = time.monotonic()
    late = threading.Event()
    with (
        (RESULTS / f"{step.name}.log").open("w") as log,
        subprocess.Popen(
            step.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=ENVIRONMENT,
            start_new_session=True,
        ) as process,
    ):

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(step.limit, end)
        timer.start()
        for line in process.stdout:
            log.write(line)
            log.flush()
            if step.told and line.strip():
                say(line.rstrip()[:150])
        process.wait()
        timer.cancel()
    step.seconds = time.monotonic() - started
    if late.is_set():
        step.outcome = f"not finished within {step.limit:g} s"
    else:
        step.outcome = "passed" if process.returncode == 0 else f"failed: exit status {process.returncode}"
    say(f"=== {step.name}: {step.outcome}, {step.seconds:.0f} s")


def write_status(planned: list[Step], *, finished: bool) -> None:
    """What the host reads."""
    data = {"finished": finished, "steps": [asdict(step) for step in planned]}
    (RESULTS / "status.json").write_text(json.dumps(data, indent=1))
    os.sync()


if __name__ == "__main__":
    sys.exit(main())
