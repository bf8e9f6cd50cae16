"""Running the programs that build an image, and saying what is wrong when one fails."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from workloads.image.errors import ImageError

_PACKAGE_OF = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "mke2fs": "e2fsprogs",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Debian packages of programs that are not named like their package."""

_ENDING_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_ALL_TOGETHER = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child", "--")
"""A process namespace, because mmdebstrap has children that outlive it, and ends for no signal that it can catch."""

_NO_SPACE = re.compile(r"No space left on device|Could not allocate (?:block|inode)|don't have enough free space")
_NO_NETWORK = re.compile(
    r"Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|Network is unreachable"
    r"|Connection (?:failed|refused|timed out)|No route to host"
)
_SHOWN_LINES = 12

SPACE_NEEDED = 2
"""GB that a build must find free: it takes about half of that while it runs, and the image a fifth."""


class NoNetworkError(ImageError):
    """What the build needs could not be fetched because the network or a server could not be reached."""


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    doing: str,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
) -> str:
    """Run a program to its end and return its standard output. Should this process die, it dies too.

    Args:
        argv: program and arguments; system directories are searched for it.
        doing: what it is run for, for messages: "installing the packages".
        environment: variables on top of this process's.
        stdin: what it reads.
        cwd: where it runs.

    Raises:
        ImageError: it is not installed, or failed: with the last lines that it wrote.
        NoNetworkError: it failed because something could not be reached.
    """
    program = next(
        Path(word).name for word in argv if Path(word).name not in {"unshare"} and not str(word).startswith("-")
    )
    search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    for needed in {str(argv[0]), program}:
        if not shutil.which(needed, path=search):
            package = _PACKAGE_OF.get(needed, needed)
            raise ImageError(f"{needed} is missing, and {doing} needs it: install the Debian package {package}")
    done = _finish(
        [*_ENDING_WITH_US, *(_ALL_TOGETHER if os.geteuid() == 0 else ()), *argv],
        stdin,
        cwd,
        {**os.environ, "PATH": search, "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    if done.returncode != 0:
        raise _failure(program, doing, done)
    return done.stdout


def _finish(
    argv: Sequence[str | os.PathLike[str]], stdin: str, cwd: Path | None, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run to the end. An exception, such as Ctrl-C, goes on only when all processes have ended and let go of files."""
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=cwd,
        env=environment,
        process_group=0,
    ) as process:
        try:
            output, errors = process.communicate(stdin)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)


def as_root(argv: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """The command line that runs ``argv`` as root: for others than root, in a user namespace of their own.

    With the ids that the host lends to the user, where it does; without them all files there are the user's own.
    """
    if os.geteuid() == 0:
        return list(argv)
    return ["unshare", "--user", *(["--map-auto"] if _lends_ids() else []), "--map-root-user", *argv]


def _lends_ids() -> bool:
    """Whether this user has an entry in ``/etc/subuid`` (subuid(5)) and the program to use it."""
    try:
        owners = {str(os.geteuid()), pwd.getpwuid(os.geteuid()).pw_name}
        entries = Path("/etc/subuid").read_text().splitlines()
    except (KeyError, OSError):
        return False
    return shutil.which("newuidmap") is not None and any(line.partition(":")[0] in owners for line in entries)


def require_space(directory: Path) -> None:
    """Check that a build has room. On a full disk not every tool ends: apt 2.6 waits for ever for its own helper.

    Raises:
        ImageError: there is not.
    """
    free = shutil.disk_usage(directory).free
    if free < SPACE_NEEDED * 10**9:
        raise ImageError(
            f"the disk is too full to build an image: {directory} has {free / 10**9:.1f} GB free; "
            f"free some space, or set BENCH_CACHE to a directory with {SPACE_NEEDED} GB free"
        )


def remove_tree(directory: Path) -> None:
    """Remove a directory, but nothing that is mounted in it; others may own files in it (see ``as_root``)."""
    run(as_root(["rm", "-rf", "--one-file-system", "--", directory]), doing=f"removing {directory}")


def _failure(program: str, doing: str, done: subprocess.CompletedProcess[str]) -> ImageError:
    said = f"{done.stdout}\n{done.stderr}".strip()
    if _NO_SPACE.search(said):
        return ImageError(
            f"{doing} failed: the disk is full; free some space, "
            f"or set BENCH_CACHE to a directory with {SPACE_NEEDED} GB free"
        )
    lines = said.splitlines()[-_SHOWN_LINES:]
    text = "\n".join(f"  {line}" for line in lines)
    if unreachable := _NO_NETWORK.search(said):
        return NoNetworkError(
            f"{doing} failed: no network, or the package server does not answer ({unreachable[0]}); "
            f"an image is built once with network, and used offline from then on\n{text}"
        )
    return ImageError(f"{doing} failed: {program} ended with status {done.returncode}\n{text}")
