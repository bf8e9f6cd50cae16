"""Everything of ours that can be on the host."""

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
        "processes": _processes(),
        "mounts": [line for line in Path("/proc/1/mounts").read_text().splitlines() if "bench-" in line],
        "loop devices": [path for path in _backing_files() if "bench-" in path or str(cache_directory()) in path],
        "cgroups": sorted(map(str, _cgroups())),
        "links": [link for link in _links() if "bench" in link],
        "namespaces": [path.name for path in _names("/run/netns") if path.name.startswith("bench-")],
        "run directories": [path.name for path in _names("/run") if path.name.startswith("bench-")],
        "scratch disks": [path.name for path in _names(scratch_parent()) if path.name.startswith("bench-")],
    }


def _names(directory):
    directory = Path(directory)
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _processes():
    """Processes in cgroups of ours, and those that run our agent, our launcher or a guest of ours."""
    found = []
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            cgroups = (directory / "cgroup").read_text()
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        ours = (
            "/bench-" in cgroups,
            "/usr/lib/bench/agent" in command,
            "runtimes/launcher" in command,
            "guest=bench-" in command,
        )
        if any(ours):
            found.append(f"{directory.name} {command.strip()}")
    return found


def _backing_files():
    listed = subprocess.run(["losetup", "--json", "--list"], capture_output=True, text=True, check=True).stdout
    return [device["back-file"] for device in json.loads(listed or '{"loopdevices": []}')["loopdevices"]]


def _cgroups():
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (Path(directory) / name for name in names if name.startswith("bench-"))


def _links():
    shown = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout
    return [link["ifname"] for link in json.loads(shown)]
