"""Workloads that size themselves, by what a trial's limits and parameters are, before they start their tool."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from workloads.fields import Scalar
from workloads.loader import load_workload
from workloads.model import HOST_VALUES

HOST = dict.fromkeys(HOST_VALUES, "of the host")
MEMORY = 512 * 2**20


@pytest.fixture
def asked_of(tmp_path: Path) -> Path:
    """A directory with programs that say what is asked of them, and do nothing."""
    for name in ("fio", "mariadbd", "setpriv"):
        (tmp_path / name).write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def said(command: tuple[str, ...] | None, programs: Path) -> list[str]:
    assert command is not None
    path = {"PATH": f"{programs}:/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=path).stdout.splitlines()


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({"size": "1G"}, 2**30),
        ({"size": "1536k"}, 1536 * 2**10),
        ({"size": "16G", "jobs": 8}, 2 * 2**30),
        ({"size": "1M", "jobs": 3}, 85 * 4096),  # a third, in whole blocks
    ],
)
def test_each_job_of_fio_has_a_part_of_the_file(params: Mapping[str, Scalar], part: int, asked_of: Path) -> None:
    fio = load_workload("fio")
    resolved = fio.resolve(params)
    commands = fio.commands(resolved, server_address=None, cpus=1, memory=MEMORY, host=HOST)
    asked = said(commands.run, asked_of)
    assert {f"--size={part}", f"--offset_increment={part}", f"--numjobs={resolved['jobs']}"} <= set(asked)
    assert [f"--size={resolved['size']}"] == [each for each in commands.prepare[0] if each.startswith("--size=")]


def test_a_database_takes_a_quarter_of_the_memory_and_every_client(asked_of: Path) -> None:
    mysql, postgres = load_workload("mysql"), load_workload("postgres")
    given = {"server_address": "10.1.2.3", "cpus": 1.0, "memory": MEMORY, "host": HOST}
    asked = said(mysql.commands(mysql.resolve({"threads": 300}), **given).server, asked_of)
    assert {"--innodb-buffer-pool-size=134217728", "--max-connections=310"} <= set(asked)
    asked = said(postgres.commands(postgres.resolve({"clients": 300}), **given).server, asked_of)
    assert {"shared_buffers=131072kB", "max_connections=310", "listen_addresses=*"} <= set(asked)


@pytest.mark.parametrize(("size", "expected"), [("1M", 2**20), ("1500k", 1500 * 2**10), ("3000001", 3000001)])
def test_a_text_to_compress_has_the_bytes_that_are_asked_for(
    size: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.noun").write_bytes(b"some words of a text\n" * 40_000)
    (tmp_path / "index.noun").write_bytes(b"and more of it\n" * 10)
    monkeypatch.setattr("workloads.model.SCRATCH_PATH", str(tmp_path))
    compression = load_workload("compression")
    commands = compression.commands(
        compression.resolve({"size": size}), server_address=None, cpus=1, memory=MEMORY, host=HOST
    )
    (prepare,) = commands.prepare
    shell = [*prepare[:-1], prepare[-1].replace("/usr/share/wordnet", str(tmp_path))]
    subprocess.run(shell, check=True, timeout=60)
    assert (tmp_path / "text").stat().st_size == expected
