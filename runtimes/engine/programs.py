"""Finding the programs of container engines, and running those that answer at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtimes.base import HostError, InstanceError, UnavailableError
from runtimes.rootless import is_unprivileged

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ENVIRONMENT: Mapping[str, str] = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"}
"""What every program of an engine finds in its environment, whatever the harness was started under."""

_PATIENCE = 60.0
"""Seconds that a program may take which is to answer at once."""

_LAST_LINES = 5


COMMAND_NAME = "engine-argv"
"""The file in an instance's directory that tells how the engine was called, a line each argument."""


def save_command(directory: Path, argv: Sequence[str]) -> None:
    """Keep how an engine was called with the other artefacts of an instance."""
    (directory / COMMAND_NAME).write_text("".join(f"{word}\n" for word in argv))


class _NoAnswerError(UnavailableError):
    """A program has not ended in time."""


def find_program(name: str, package: str | None, search: str | None = None) -> Path:
    """Where a program is.

    Args:
        name: of the program, or a path to it, from the working directory on.
        package: the Debian package that has it, if one does.
        search: the directories to look for a name in, as ``$PATH`` has them; without it those that root has on Debian,
            and then those of ``$PATH``.

    Raises:
        UnavailableError: there is none of this name.
        HostError: there is none at this path.
    """
    if "/" in name:
        path = Path(name).absolute()
        if not os.access(path, os.X_OK) or path.is_dir():
            raise HostError(f"program: there is none at {path} that could be executed; expected a name or a path")
        return path
    found = shutil.which(name, path=search or f"{_PATH}:{os.environ.get('PATH', '')}")
    if found is None:
        raise UnavailableError(f"{name} is not installed", fix=f"apt-get install {package}" if package else "")
    return Path(found)


def require_root(runtime: str) -> None:
    """Find out whether we are the host's root.

    Raises:
        HostError: we are not.
    """
    if is_unprivileged():
        raise HostError(f"the runtime {runtime} needs root; run it as root, or use the runtime container")


def first_line(argv: Sequence[str | Path]) -> str:
    """The first line that a program answers with, such as its version.

    Raises:
        UnavailableError: it failed, or said nothing.
    """
    done = _run(argv)
    said = done.stdout.strip().splitlines()
    if done.returncode != 0 or not said:
        raise UnavailableError(f"{' '.join(map(str, argv))} fails here: {_last_words(done) or 'it says nothing'}")
    return said[0]


def run_program(argv: Sequence[str | Path], *, check: bool = True, environment: Mapping[str, str] = ENVIRONMENT) -> str:
    """Run a program to its end, outside of what is measured; what it said on standard output.

    Args:
        argv: the program and its arguments.
        check: whether its failure is one of the instance.
        environment: all of its environment.

    Raises:
        InstanceError: it failed.
    """
    try:
        done = _run(argv, environment)
    except _NoAnswerError as error:
        raise InstanceError(str(error)) from error
    if check and done.returncode != 0:
        raise InstanceError(
            f"{Path(argv[0]).name} {argv[1] if len(argv) > 1 else ''} failed: {_last_words(done)}",
            details=f"$ {' '.join(map(str, argv))}\n{done.stderr}",
        )
    return done.stdout


def refusal(argv: Sequence[str | Path], expected: str = "") -> str | None:
    """Run a program to its end; its last words if it failed, None if it did not.

    Args:
        argv: the program and its arguments.
        expected: what it has to say; it has failed without.

    Raises:
        UnavailableError: it cannot be executed, or does not end.
    """
    done = _run(argv)
    if done.returncode == 0 and expected in done.stdout:
        return None
    return _last_words(done) if done.returncode != 0 else "it ended well, and ran nothing"


def _run(argv: Sequence[str | Path], environment: Mapping[str, str] = ENVIRONMENT) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
            env=dict(environment),
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the harness
        )
    except subprocess.TimeoutExpired as error:
        raise _NoAnswerError(f"{Path(argv[0]).name} has not answered within {_PATIENCE:g} s") from error
    except OSError as error:
        raise UnavailableError(f"{argv[0]} cannot be executed: {error.strerror}") from error


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return " ".join(lines[-_LAST_LINES:]) or f"exit status {done.returncode}"
