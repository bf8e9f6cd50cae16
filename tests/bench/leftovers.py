"""Everything of ours that can be on the host, in whichever namespaces it is."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from runtimes.facilities import scratch_parent
from workloads.image.cache import cache_directory


def leftovers():
    """What there is now, by kind; every list is empty on a host where nothing of ours goes on."""
    return {
        "processes": sorted(_processes()),
        "mounts": sorted(_mounts()),
        "links": sorted(_links()),
        "loop devices": [path for path in _backing_files() if "bench-" in path or str(cache_directory()) in path],
        "cgroups": sorted(map(str, _cgroups())),
        "run directories": [path.name for path in Path("/run").iterdir() if path.name.startswith("bench-")],
        "scratch disks": [path.name for path in scratch_parent().iterdir() if path.name.startswith("bench-")],
    }


def _each_process():
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and int(directory.name) != os.getpid():
            yield directory


def _processes():
    """Processes in cgroups of ours, and those that run our agent, our launcher, our emulator or a guest of ours."""
    for directory in _each_process():
        try:
            cgroups = (directory / "cgroup").read_text()
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        signs = ("/usr/lib/bench/agent", "runtimes.launcher", "guest=bench-")
        if "/bench-" in cgroups or any(sign in command for sign in signs):
            yield f"{directory.name} {command.strip()}"


def _in_each_namespace(kind):
    """One process for every namespace of a kind that there is."""
    seen = {}
    for directory in [Path("/proc/1"), *_each_process()]:
        try:
            seen.setdefault((directory / "ns" / kind).readlink(), directory)
        except OSError:
            continue
    return seen.values()


def _mounts():
    for process in _in_each_namespace("mnt"):
        try:
            lines = (process / "mounts").read_text().splitlines()
        except OSError:
            continue
        yield from (line for line in lines if "bench-" in line)


def _links():
    for process in _in_each_namespace("net"):
        try:
            lines = (process / "net/dev").read_text().splitlines()[2:]
        except OSError:
            continue
        names = (line.partition(":")[0].strip() for line in lines)
        yield from (name for name in names if name.startswith("bench"))


def _backing_files():
    listed = subprocess.run(["losetup", "--json", "--list"], capture_output=True, text=True, check=True).stdout
    return [device["back-file"] for device in json.loads(listed or '{"loopdevices": []}')["loopdevices"]]


def _cgroups():
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (Path(directory) / name for name in names if name.startswith("bench-"))
