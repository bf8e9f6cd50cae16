"""OCI runtimes as programs, and whether one of them runs on this host, which a trial container shows."""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.base import UnavailableError
from runtimes.cgroup import describe_version, open_cgroups
from runtimes.engine.oci_config import VERSION
from runtimes.engine.programs import find_program, first_line, refusal
from runtimes.leftovers import PREFIX, held_directory, note_cgroups, run_parents

_NEEDED = ("/usr", "/bin", "/lib", "/lib64")
"""Directories of the host in which a program lies with all that it is linked to."""

PACKAGED = ("runc", "crun")
"""The OCI runtimes that Debian has, each in a package of its name; others are named by their paths."""

_WORD = "contained"

_TRIAL = ("/usr/bin/echo", _WORD)

_TRIAL_CGROUP = "trial"


@dataclass(frozen=True, slots=True)
class OciProgram:
    """An OCI runtime that runs here.

    Attributes:
        path: of its program.
        version: the first line of what it says of that.
    """

    path: Path
    version: str


def require_oci_program(name: str) -> OciProgram:
    """Find one, and have it run a container that ends at once.

    Args:
        name: of its program, or a path to it.

    Raises:
        UnavailableError: it is not there, or does not run on this host.
        HostError: we cannot make control groups here.
    """
    path = find_program(name, name if name in PACKAGED else None)
    version = first_line([path, "--version"])
    words = _refusal(path)
    if words is not None:
        raise UnavailableError(f"{path.name} does not run containers on this host: {words}")
    return OciProgram(path, version)


@functools.cache
def _refusal(program: Path) -> str | None:
    """What an OCI runtime says when it is to run a container; None if it does."""
    run = f"{PREFIX}{secrets.token_hex(4)}"
    bundle = run_parents()[0] / run
    call = (program, "--root", bundle / "states")
    with held_directory(bundle):
        note_cgroups(bundle, run)
        with _cgroups_path(run) as path:
            (bundle / "rootfs").mkdir()
            (bundle / "config.json").write_text(json.dumps(_trial_config(path)))
            try:
                return refusal([*call, "run", "--bundle", bundle, run], _WORD)
            finally:
                refusal([*call, "delete", "--force", run])


@contextmanager
def _cgroups_path(run: str) -> Iterator[str]:
    """Where the cgroup of the trial is to be: with version 1 below our own, with version 2 where it has controllers."""
    if describe_version() != "v2":
        yield run
        return
    with open_cgroups(run) as cgroups:
        tree = cgroups.new_tree(run)
        try:
            yield tree.oci_path_of(_TRIAL_CGROUP)
        finally:
            tree.whole.kill()
            tree.whole.remove()


def _trial_config(cgroup: str) -> dict[str, Any]:
    """A ``config.json`` that asks for little: what a runtime refuses then is the host, not an option."""
    mounts = [
        {"destination": each, "type": "bind", "source": each, "options": ["rbind", "ro"]}
        for each in _NEEDED
        if Path(each).is_dir()
    ]
    return {
        "ociVersion": VERSION,
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(_TRIAL),
            "env": [],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            *mounts,
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "cgroupsPath": cgroup},
    }
