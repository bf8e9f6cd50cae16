"""Running the tools that build images: what is said when one is missing or fails, and that none outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from workloads.image import ImageError
from workloads.image.tools import NoNetworkError, remove_tree, run


def sh(script: str, **options) -> str:
    return run(["sh", "-c", script], doing="testing", **options)


def test_output_comes_back():
    assert sh('echo "$WORD"; cat', environment={"WORD": "a b"}, stdin="read") == "a b\nread"


@pytest.mark.parametrize(
    ("tool", "package"), [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("apt-get", "apt")]
)
def test_a_missing_tool_names_its_package(monkeypatch, tool, package):
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(
        ImageError, match=rf"{tool} is missing, and testing needs it: install the Debian package {package}$"
    ):
        run([tool, "--version"], doing="testing")


def test_a_failure_shows_status_and_last_lines():
    with pytest.raises(ImageError, match=r"(?s)testing failed: sh ended with status 3\n.*line 20$") as caught:
        sh("for n in $(seq 20); do echo line $n >&2; done; exit 3")
    assert "line 8" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    ["tar: x: Cannot write: No space left on device", "mke2fs: Could not allocate block in ext2 filesystem"],
)
def test_a_full_disk_is_said_plainly(said):
    with pytest.raises(ImageError, match="the disk is full"):
        sh(f"echo '{said}' >&2; exit 1")


@pytest.mark.parametrize(
    "said", ["Temporary failure resolving 'x'", "Could not connect to x:80", "Network is unreachable"]
)
def test_no_network_is_said_plainly(said):
    with pytest.raises(NoNetworkError, match="no network"):
        sh(f"""echo "E: {said}" >&2; exit 100""")


def test_a_tree_is_removed_whole(tmp_path):
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "file").write_text("")
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


CALLER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from workloads.image.tools import run
run(
    ["sh", "-c", "trap '' INT TERM; exec 9>$PIPE; sleep 60 & echo started >&9; wait"],
    doing="t",
    environment={"PIPE": sys.argv[1]},
)
"""


def read_until(pipe: int, expected: bytes) -> None:
    """Wait for ``expected`` from a pipe that may have no writer yet; nothing means that it has none any more."""
    deadline = time.monotonic() + 20
    while True:
        with suppress(BlockingIOError):  # somebody holds it open and has not written
            if os.read(pipe, 100) == expected:
                return
        assert time.monotonic() < deadline, f"{expected!r} did not come"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's tools get a process namespace")
def test_no_tool_outlives_its_caller(tmp_path, number):
    """The tool and its child hold a pipe open, which is closed when both are gone."""
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        caller = subprocess.Popen([sys.executable, "-c", CALLER, tmp_path / "pipe"], stderr=subprocess.DEVNULL)
        read_until(pipe, b"started\n")
        caller.send_signal(number)
        caller.wait(20)
        read_until(pipe, b"")
    finally:
        os.close(pipe)
