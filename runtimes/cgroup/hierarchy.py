"""Where the cgroup hierarchies are mounted, and where in them this process is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REQUIRED_CONTROLLERS: Mapping[int, tuple[str, ...]] = {
    1: ("memory", "cpu", "cpuacct", "cpuset", "freezer"),
    2: ("cpu", "cpuset", "memory"),
}
"""The controllers that runs need, by the version of control groups."""

OPTIONAL_CONTROLLERS: Mapping[int, tuple[str, ...]] = {1: ("pids", "blkio"), 2: ("pids", "io")}
"""Those used where they can be had, for figures, and needed only where a limit asks for one."""

DEVICES = "devices"
"""The controller of version 1 that says which devices may be used; version 2 has programs for it."""


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """The mounted hierarchies, each by the directory of this process's own cgroup.

    Attributes:
        v1: directory by controller, of version 1.
        v2: directory in the unified hierarchy, or None where it is not mounted.
        v2_top: where the unified hierarchy is mounted, or None.
    """

    v1: Mapping[str, Path]
    v2: Path | None
    v2_top: Path | None

    @classmethod
    def of_this_thread(cls) -> Hierarchies:
        """Read them for the calling thread."""
        proc = Path("/proc/thread-self")
        return cls.parse((proc / "cgroup").read_text(), (proc / "mountinfo").read_text())

    def own_and_above(self) -> Iterator[Path]:
        """The directories in the unified hierarchy from our own upwards; none where it is not mounted."""
        if self.v2 is None or self.v2_top is None:
            return
        yield self.v2
        if self.v2 != self.v2_top:
            for parent in self.v2.parents:
                yield parent
                if parent == self.v2_top:
                    return

    @classmethod
    def parse(cls, membership: str, mountinfo: str) -> Hierarchies:
        """Take them from the texts of ``/proc/[pid]/cgroup`` (cgroups(7)) and ``mountinfo`` (proc_pid_mountinfo(5))."""
        paths: dict[str, str] = {}
        for line in membership.splitlines():
            _, controllers, path = line.split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path))
        v1: dict[str, Path] = {}
        v2: Path | None = None
        v2_top: Path | None = None
        for line in mountinfo.splitlines():
            before, _, after = line.partition(" - ")
            _, _, _, root, mounted = (_unescape(text) for text in before.split()[:5])
            fstype, _, options = after.split(" ", 2)
            if fstype == "cgroup2" and "" in paths and v2 is None:
                v2, v2_top = _own_directory(mounted, root, paths[""]), Path(mounted)
            elif fstype == "cgroup":
                for controller in options.split(","):
                    if controller in paths:
                        v1.setdefault(controller, _own_directory(mounted, root, paths[controller]))
        return cls(v1, v2, v2_top)


def _own_directory(mounted: str, root: str, path: str) -> Path:
    """The directory of cgroup ``path`` where a hierarchy's ``root`` is mounted at ``mounted``.

    Inside another container the path may lie outside of what is mounted; the mounted root is then all we have.
    """
    relative = os.path.relpath(path, root)
    return Path(mounted) if relative.startswith("..") else Path(mounted, relative)


def _unescape(text: str) -> str:
    """Undo the octal escapes of mountinfo."""
    return text.encode("latin-1").decode("unicode_escape") if "\\" in text else text
