"""A user of this host who is not root, with a home, and with as much granted as a test wants."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtimes.cgroup.hierarchy import Hierarchies
from runtimes.rootless import grant_v1, grant_v2

ROOT = Path(__file__).parents[2]
BENCH = Path(sys.executable).with_name("bench")
USER = 54321
_FIRST_LENT = 3_000_000


def build_image(suite: str, directory: Path) -> Path:
    """The directory of a suite's image, in root's cache."""
    path = directory / "suite.yaml"
    path.write_text(suite)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    built = subprocess.run([BENCH, "image", "build", path], capture_output=True, text=True, check=True, env=environment)
    return Path(built.stdout.split()[-1]).parent


@contextmanager
def new_user(image: Path, suite: str) -> Iterator[Callable[..., OrdinaryUser]]:
    """Makes a user, with the arguments of :class:`OrdinaryUser`, who has the image and the suite.

    ``suite.yaml`` has one second in the place of the suite's ``%d``, ``long.yaml`` sixty. In the end nothing of the
    user's must be left.
    """
    with tempfile.TemporaryDirectory(prefix="test-user-", dir="/var/tmp") as directory:
        made = []

        def make(**granted) -> OrdinaryUser:
            user = OrdinaryUser(Path(directory), **granted)
            made.append(user)
            user.give_image(image)
            (user.home / "suite.yaml").write_text(suite % 1)
            (user.home / "long.yaml").write_text(suite % 60)
            return user

        yield make
        withdraw()
        assert made[0].leftovers() == []


class OrdinaryUser:
    """One whom the host lends ids if ``lent``; the files that say so are this user's alone, in a mount namespace.

    With ``taps``, /dev/net/tun is everybody's there, as udev has it.
    """

    def __init__(self, directory: Path, *, lent: bool, taps: bool = False) -> None:
        self.home = directory / "home"
        self.home.mkdir()
        os.chown(self.home, USER, USER)
        directory.chmod(0o755)
        self._directory = directory
        self._lent = lent
        self._taps = taps

    def give_image(self, image: Path) -> None:
        """Have a copy of an image in the user's cache, as root gives one to a user."""
        place = self.home / ".cache/bench/images" / image.name
        shutil.copytree(image, place, ignore=shutil.ignore_patterns("root*-*", "root.lock"))
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.home], check=True)

    def command(self, *arguments, grant: str = "") -> list[str]:
        """The command line by which root has the user run ``bench``; the pid is that of ``bench`` from first to last.

        Args:
            arguments: of ``bench``.
            grant: what is typed before, with sudo.
        """
        steps = [
            grant.replace("sudo ", ""),
            "exec unshare --mount sh -euc " + shlex.quote(self._own_view() + 'exec "$@"') + " sh"
            f" setpriv --reuid {USER} --regid {USER} --clear-groups"
            f" env -i PATH={os.environ['PATH']} HOME={self.home} PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1"
            f" BENCH_STORE={self.home}/store {BENCH} {shlex.join(map(str, arguments))}",
        ]
        return ["sh", "-euc", "\n".join(steps)]

    def bench(self, *arguments, grant: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, grant=grant),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            cwd=self._directory,
        )

    def _own_view(self) -> str:
        """Shell commands: the interpreter and this tree where the user can read them, and a user of that name."""
        steps = ["mount --make-rprivate /"]
        needed = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
        needed = {path for path in needed if not any(other in path.parents for other in needed)}
        for top in {hidden for path in needed if (hidden := _hidden(path))}:
            below = [path for path in needed if path == top or top in path.parents]
            for number, path in enumerate(below):
                shelf = self._directory / f"shelf{top.name}{number}"
                shelf.mkdir(exist_ok=True)
                steps.append(f"mount --bind {path} {shelf}")
            steps.append(f"mount -t tmpfs -o mode=0755 tmpfs {top}")
            for number, path in enumerate(below):
                steps.append(f"mkdir -p {path}; mount --move {self._directory}/shelf{top.name}{number} {path}")
        if self._taps:
            node = self._directory / "tun"
            steps.append(f"[ -e {node} ] || mknod -m 0666 {node} c 10 200; mount --bind {node} /dev/net/tun")
        name = f"tester:x:{USER}:{USER}::{self.home}:/bin/sh\n"
        group = f"tester:x:{USER}:\n"
        files = {"passwd": Path("/etc/passwd").read_text() + name, "group": Path("/etc/group").read_text() + group}
        if self._lent:
            files |= dict.fromkeys(("subuid", "subgid"), f"tester:{_FIRST_LENT}:65536\n")
        else:
            files |= dict.fromkeys(("subuid", "subgid"), "")
        for file, text in files.items():
            (self._directory / file).write_text(text)
            steps.append(f"if [ -e /etc/{file} ]; then mount --bind {self._directory}/{file} /etc/{file}; fi")
        return "\n".join(steps) + "\n"

    def processes(self) -> list[str]:
        """The user's processes, those of lent ids too."""
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                owner = directory.stat().st_uid
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (directory / "stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if (owner == USER or _FIRST_LENT <= owner < _FIRST_LENT + 65536) and state != "Z":
                found.append(f"{directory.name} {command}")
        return found

    def leftovers(self) -> list[str]:
        """What there is of the user's on the host besides the home."""
        places = [Path("/tmp"), Path("/var/tmp")]
        files = [path for place in places for path in place.glob("bench-*") if path.lstat().st_uid == USER]
        return [*self.processes(), *map(str, (*files, *self.cgroups()))]

    def cgroups(self) -> list[Path]:
        """Those that runs made in what is the user's."""
        return [path for own in _own_cgroups() for path in own.iterdir() if path.is_dir() and path.name != "shell"]


def grant() -> str:
    """The command that gives the user cgroups, as ``bench`` tells it where no systemd is in charge of them."""
    found = Hierarchies.of_this_thread()
    if "memory" in found.v1:
        return grant_v1(found, USER)
    assert found.v2_top is not None
    return grant_v2(found.v2_top, USER)


def withdraw() -> None:
    """Remove the user's cgroups; fails if something is left in them."""
    for own in _own_cgroups():
        if (own / "shell").is_dir():
            (own / "shell").rmdir()
        own.rmdir()


def _own_cgroups() -> list[Path]:
    found = Hierarchies.of_this_thread()
    parents = {*found.v1.values(), *([found.v2_top] if found.v2_top else [])}
    return [own for parent in parents if (own := parent / f"bench-user-{USER}").is_dir()]


def _hidden(path: Path) -> Path | None:
    """The topmost directory on the way to a path that others may not go through."""
    return next((part for part in (*reversed(path.parents), path) if not part.stat().st_mode & 0o001), None)
