from __future__ import annotations

import os
import subprocess

import pytest

from runtimes import compiler
from runtimes.agent import build
from runtimes.base import HostError


@pytest.mark.host
def test_the_binary_needs_nothing_else_to_run(agent_binary):
    assert list(agent_binary.parent.iterdir()) == [agent_binary]
    result = subprocess.run(["chroot", agent_binary.parent, "/agent"], capture_output=True, timeout=10, check=False)
    assert result.returncode == 2
    assert b"usage: agent" in result.stderr


def test_a_running_agent_is_replaced(tmp_path):
    first = build.build_agent(tmp_path / "new" / "directory")
    with first.open("rb") as running:
        second = build.build_agent(first.parent)
        assert second == first
        assert os.fstat(running.fileno()).st_ino != second.stat().st_ino


def test_no_compiler_is_a_host_error_that_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "COMPILER", "bench-no-such-compiler")
    with pytest.raises(HostError, match=r"bench-no-such-compiler.*apt-get install"):
        build.build_agent(tmp_path)


def test_a_failed_build_leaves_the_old_binary_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "agent").write_bytes(b"old")
    monkeypatch.setattr(compiler, "FLAGS", ("--no-such-flag",))
    with pytest.raises(HostError, match="--no-such-flag"):
        build.build_agent(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "agent"]
    assert (tmp_path / "agent").read_bytes() == b"old"


def test_the_digest_follows_sources_and_flags(tmp_path, monkeypatch):
    original = build.source_digest()
    assert original == build.source_digest()
    for path in build._SOURCE_DIRECTORY.glob("*.[ch]"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "_SOURCE_DIRECTORY", tmp_path)
    assert build.source_digest() == original
    with (tmp_path / "wire.h").open("a") as header:
        header.write("\n")
    changed = build.source_digest()
    assert changed != original
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-g"))
    assert build.source_digest() not in {original, changed}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--fd",),
        ("--fd", "x"),
        ("--fd", ""),
        ("--fd", "99999999999"),
        ("--fd", "3", "--device", "/dev/null"),
        ("--fd", "3", "--stdio"),
        ("-v",),
    ],
)
def test_a_wrong_command_line_is_answered_by_the_usage(agent_binary, arguments):
    result = subprocess.run([agent_binary, *arguments], capture_output=True, text=True, timeout=10, check=False)
    assert result.returncode == 2
    assert "usage: agent (--fd N | --device PATH | --stdio) [--power-off]" in result.stderr


def test_a_device_that_is_not_there_is_named(agent_binary):
    command = [agent_binary, "--device", "/dev/bench-none"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert result.returncode == 1
    assert "cannot open /dev/bench-none" in result.stderr
