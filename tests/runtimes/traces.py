"""Runs of tests, and what they could leave on the host."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from pathlib import Path

from runtimes.leftovers import scratch_parent

temporary_directory = Path("/nowhere")
"""Where this session's temporary files are; conftest.py sets it."""


def new_run_name():
    """A name on the host for a test's run."""
    return f"bench-{secrets.token_hex(4)}"


def host_traces(facilities):
    """Everything of ours that the host has now: comparable, and readable when it differs."""
    return {
        "mounts": sorted(line.split()[4] for line in Path("/proc/thread-self/mountinfo").read_text().splitlines()),
        "loops": sorted(
            path for path in loop_files() if not path.startswith(f"{scratch_parent()}/") or facilities.run in path
        ),
        "interfaces": sorted(
            line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
        ),
        "cgroups": sorted(
            str(path) for top in facilities.cgroups.directories for path in top.iterdir() if path.is_dir()
        ),
        "directory": sorted(path.name for path in facilities.directory.iterdir()),
        "scratch directory": sorted(path.name for path in facilities.scratch_directory.iterdir()),
        "processes": sorted(pid for top in facilities.cgroups.directories for pid in pids_below(top)),
        "descriptors": count("/proc/self/fd"),
        "threads": threading.active_count(),
    }


def count(directory):
    return sum(1 for _ in Path(directory).iterdir())


def idle_descriptors(pid):
    """How many descriptors a process has while nothing is asked of it: it may just have started, or be clearing up."""
    readings = []
    for _ in range(40):
        readings.append(count(f"/proc/{pid}/fd"))
        time.sleep(0.005)
    return min(readings)


def runs(pid):
    """Whether a process still runs: one that has ended, and waits for init to notice, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids_below(top):
    return [int(pid) for file in [*top.rglob("cgroup.procs")] for pid in file.read_text().split()]


def loop_files():
    """Files attached to loop devices by this session's tests, and not by whoever else uses this host."""
    for notes in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(FileNotFoundError):
            path = notes.read_text().strip()
            if path.startswith((f"{temporary_directory}/", f"{scratch_parent()}/bench-")):
                yield path
