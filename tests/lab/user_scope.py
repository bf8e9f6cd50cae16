"""A scope of an ordinary user's systemd that outlives the command in it, so that it shows what the command has left.

With the last process in a scope, systemd removes all cgroups below it, whoever made them.
"""

from __future__ import annotations

import shlex
from pathlib import Path

_HOLD = (
    "held=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/held; mkdir $held; "
    "sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >$held/cgroup.procs; exec "
)
"""Puts a process into a cgroup below the scope's own, which the command then has for itself."""


def in_held_scope(command: str) -> str:
    """A shell command that runs another in a delegated scope, as the README tells it, which is held open."""
    return f"systemd-run --user --scope --quiet -p Delegate=yes sh -c {shlex.quote(_HOLD + command)}"


def left_in_held_scopes(uid: int) -> list[Path]:
    """The cgroups of runs in a user's scopes; those that were held open end now."""
    own = Path(f"/sys/fs/cgroup/user.slice/user-{uid}.slice")
    held = list(own.rglob("held"))
    left = [path for path in own.rglob("bench-*") if path.is_dir()]
    for cgroup in held:
        (cgroup / "cgroup.kill").write_text("1")
    assert held, "the scope has gone, and all that was left in it"
    return left
