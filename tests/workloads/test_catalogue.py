"""The catalogue's commands against the real tools, where this machine has them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from workloads.fields import Scalar
from workloads.loader import load_workload
from workloads.model import HOST_VALUES
from workloads.parsers import parse

HOST = dict.fromkeys(HOST_VALUES, "of the host")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sysbench-cpu", {}),
        ("sysbench-cpu", {"threads": 2, "max_prime": 1000}),
        ("sysbench-memory", {}),
        ("sysbench-memory", {"operation": "read", "access": "rnd", "block": "4k"}),
        *(("fio", {"rw": rw, "size": "4M"}) for rw in ("read", "write", "randread", "randwrite", "rw", "randrw")),
        ("fio", {"rw": "write", "bs": "1M", "iodepth": 4, "size": "4M"}),
        ("fio", {"rw": "randrw", "iodepth": 4, "jobs": 3, "size": "4M"}),
        ("openssl", {"threads": 2}),
        ("openssl", {"algorithm": "sha256"}),
        ("zstd", {}),
    ],
)
def test_the_tool_takes_the_command_and_the_parser_its_output(
    name: str, params: dict[str, Scalar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workloads.model.SCRATCH_PATH", str(tmp_path))
    workload = load_workload(name)
    resolved = workload.resolve({**params, "runtime": 1})
    commands = workload.commands(resolved, server_address=None, cpus=1, memory=1 << 28, host=HOST)
    assert commands.run is not None
    completed = subprocess.run(commands.run, capture_output=True, text=True, check=True, timeout=60)
    parsed = parse(workload, completed.stdout, host_cpu=1.0)
    assert [item.name for item in parsed] == list(workload.metrics)
    assert all(item.value > 0 for item in parsed)


def run_with(tool: str, script: str, name: str, params: dict[str, Scalar], directory: Path) -> tuple[int, str]:
    """Status and output of workload ``name`` where ``script`` stands for ``tool``; its prepared files are empty."""
    (directory / "bin").mkdir()
    (directory / "bin" / tool).write_text(f"#!/bin/sh\n{script}\n")
    (directory / "bin" / tool).chmod(0o755)
    for prepared in ("text", "inserts.sql", "reads.sql"):
        (directory / prepared).touch()
    workload = load_workload(name)
    commands = workload.commands(workload.resolve(params), server_address=None, cpus=1, memory=1 << 28, host=HOST)
    assert commands.run is not None
    environment = {**os.environ, "PATH": f"{directory / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(commands.run, capture_output=True, text=True, check=False, timeout=60, env=environment)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("name", "tool"),
    [("7zip", "7z"), ("build", "make"), ("compression", "xz"), ("openssl", "openssl"), ("sqlite", "sqlite3")],
)
def test_a_script_fails_with_its_tool_and_shows_no_figure(
    name: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workloads.model.SCRATCH_PATH", str(tmp_path))
    assert run_with(tool, "exit 3", name, {}, tmp_path) == (3, "")


def test_openssl_gives_no_sum_that_lacks_a_process(tmp_path: Path) -> None:
    script = "exec /usr/bin/openssl speed -elapsed -mr -multi 1 -seconds 1 -bytes 16 -evp sha256"
    assert run_with("openssl", script, "openssl", {"threads": 2}, tmp_path) == (1, "")
