"""The tools that our container is compared with, one class each: how it is told to start the agent, and what of it must
be made or removed outside of the clock.

Each starts the agent in ``Ground.root``, an overlay over the run's image that is mounted before the clock starts. That
favours the peers: our container mounts its own while the clock runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from oci import write_bundle

from runtimes.base import AGENT_PATH, Limits
from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.facilities import Facilities
from runtimes.nspawn import AS_IT_IS, WITHOUT_SYSTEMD

_CRUN_STATE = Path("/run/crun")
"""Made by crun whatever it is asked to do, and whatever place it is told."""


class PeerAbsentError(Exception):
    """A peer does not run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What peers are given.

    Attributes:
        facilities: the run's.
        directory: for their own files; in memory.
        root: a writable overlay over the image.
        limits: what an instance may use, where the peer can limit that.
    """

    facilities: Facilities
    directory: Path
    root: Path
    limits: Limits


@contextmanager
def open_ground(facilities: Facilities, limits: Limits) -> Iterator[Ground]:
    """Mount the peers' root, in the run's mount namespace, and unmount it at the end."""
    directory = facilities.directory / "peers"
    with _no_new(_CRUN_STATE, directory), ExitStack() as stack:
        directory.mkdir()
        stack.enter_context(_mounted("tmpfs", directory))
        upper, work, root = (directory / name for name in ("upper", "work", "root"))
        for path in (upper, work, root):
            path.mkdir()
        stack.enter_context(_mounted("overlay", root, f"lowerdir={facilities.root},upperdir={upper},workdir={work}"))
        yield Ground(facilities, directory, root, limits)


@contextmanager
def _mounted(kind: str, target: Path, options: str = "mode=0755") -> Iterator[None]:
    subprocess.run(["mount", "-t", kind, "-o", options, "bench-peers", target], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@contextmanager
def _no_new(*directories: Path) -> Iterator[None]:
    """Remove at the end those of these directories that were not there before, each empty by then."""
    new = [path for path in directories if not path.exists()]
    try:
        yield
    finally:
        for path in new:
            with suppress(FileNotFoundError):
                path.rmdir()


class Peer(ABC):
    """One way to start the agent.

    Attributes:
        name: the word for it in the figures' keys.
        program: what is executed, by name or path.
        stream: the descriptor under which the agent finds its stream.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    stream: ClassVar[int] = 3

    def __init__(self, ground: Ground) -> None:
        found = shutil.which(self.program)
        if found is None:
            raise PeerAbsentError(f"{self.program} is not installed: setup/install.sh benchmark")
        self.ground = ground
        self.path = found

    def version(self) -> str:
        """What the program says of its version, first line."""
        finished = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=True)
        return finished.stdout.splitlines()[0]

    @abstractmethod
    def arguments(self, number: int) -> tuple[str, ...]:
        """Its arguments for the start with this number."""

    @contextmanager
    def surroundings(self, number: int) -> Iterator[None]:
        """What one start needs around it, outside of the clock; at the end nothing of the start is left."""
        yield

    @property
    def agent(self) -> tuple[str, ...]:
        """The agent's command line inside."""
        return AGENT_PATH, "--fd", str(self.stream)


class Floor(Peer):
    """vfork and execve of the agent, in no isolation at all: what no container can be faster than."""

    name = "floor"
    program = AGENT_PATH

    def __init__(self, ground: Ground) -> None:
        self.path = f"{ground.facilities.root}{AGENT_PATH}"

    def version(self) -> str:
        return "posix_spawn(3)"

    def arguments(self, number: int) -> tuple[str, ...]:
        return self.agent[1:]


class Runc(Peer):
    """runc in the foreground: it removes the container, and its cgroups, when the agent has ended."""

    name = "runc"
    program = "runc"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._state = ground.directory / f"{self.name}-state"
        self._bundle = ground.directory / f"{self.name}-bundle"
        cpus = ground.facilities.instance_cpus(ground.limits)
        write_bundle(self._bundle, ground.root, self.agent, self._cgroup(), ground.limits, cpus)

    def _cgroup(self) -> str:
        """A path in each hierarchy: on version 2 in the run's cgroup, which hands controllers down."""
        found, name = Hierarchies.of_this_thread(), f"{self.ground.facilities.run}-{self.name}"
        if "memory" in found.v1 or found.v2_top is None:
            return f"/{name}"
        return f"/{self.ground.facilities.cgroups.directories[0].relative_to(found.v2_top)}/{name}"

    def arguments(self, number: int) -> tuple[str, ...]:
        bundle = ("--bundle", str(self._bundle), "--no-new-keyring", "--preserve-fds", "1")
        return "--root", str(self._state), "run", *bundle, self._container(number)

    @contextmanager
    def surroundings(self, number: int) -> Iterator[None]:
        try:
            yield
        finally:
            if (self._state / self._container(number)).exists():
                command = [self.path, "--root", str(self._state), "delete", "--force", self._container(number)]
                subprocess.run(command, check=True)

    def _container(self, number: int) -> str:
        return f"{self.ground.facilities.run}-{number}"


class Crun(Runc):
    """crun, with the same bundle.

    It refuses to run where version 2 is mounted beside the hierarchies of version 1, though it would use those alone:
    so the mount is hidden from it, in the run's mount namespace.
    """

    name = "crun"
    program = "crun"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        found = Hierarchies.of_this_thread()
        self._hidden = found.v2_top if "memory" in found.v1 else None

    @contextmanager
    def surroundings(self, number: int) -> Iterator[None]:
        with ExitStack() as stack:
            if self._hidden is not None:
                stack.enter_context(_mounted("tmpfs", self._hidden))
            stack.enter_context(super().surroundings(number))
            yield


class Bwrap(Peer):
    """bubblewrap with the namespaces of our container, the agent as PID 1.

    It has no cgroups, and gets no seccomp filter, no masked paths and no /sys: all of that is less to do.
    """

    name = "bwrap"
    program = "bwrap"

    def arguments(self, number: int) -> tuple[str, ...]:
        namespaces = (f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup"))
        root = "--bind", str(self.ground.root), "/"
        mounts = "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"
        life = "--as-pid-1", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "bench-peer"
        return *namespaces, *life, *root, *mounts, "--chdir", "/", *self.agent


class Nspawn(Peer):
    """systemd-nspawn, without systemd around it; its stream is the standard input, the one descriptor it passes on."""

    name = "nspawn"
    program = "systemd-nspawn"
    stream = 0

    _OWN = Path("/run/systemd/nspawn")

    def arguments(self, number: int) -> tuple[str, ...]:
        what = "--private-network", f"--machine={self.ground.facilities.run}", f"--directory={self.ground.root}"
        return *WITHOUT_SYSTEMD, *AS_IT_IS, *what, *self.agent

    @contextmanager
    def surroundings(self, number: int) -> Iterator[None]:
        # It moves itself and its payload out of our cgroup, and leaves both cgroups behind.
        with _no_new(*self._cgroups(), self._OWN, self._OWN.parent):
            self._OWN.mkdir(parents=True, exist_ok=True)
            with _mounted("tmpfs", self._OWN):
                yield

    @staticmethod
    def _cgroups() -> list[Path]:
        found = Hierarchies.of_this_thread()
        tops = [path for path in (found.v2, found.v1.get("name=systemd")) if path is not None]
        return [top / name for top in tops for name in ("payload", "supervisor")]


PEERS: tuple[type[Peer], ...] = (Runc, Crun, Bwrap, Nspawn)


def environment() -> dict[str, str]:
    """What every peer is started with: runc looks for a home, and nobody needs more."""
    return {"PATH": os.environ.get("PATH", os.defpath)}
