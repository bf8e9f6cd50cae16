"""Limits as a share of the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.host import host_cpus, host_memory
from bench.suite import load_suite
from bench.suite_model import Suite
from workloads.errors import InvalidInput

MIB = 2**20

SUITE = """\
name: shares
baseline: native
limits: {cpus: %s, memory: %s}
arms:
  native: {runtime: native}
  half: {runtime: native, limits: {cpus: 50%%, memory: 50%%}}
workloads: [null]
"""


def load(directory: Path, cpus: str = "100%", memory: str = "100%") -> Suite:
    (directory / "s.yaml").write_text(SUITE % (cpus, memory))
    return load_suite(str(directory / "s.yaml"))


@pytest.fixture
def large_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.suite_file.host_cpus", lambda: 7)
    monkeypatch.setattr("bench.suite_file.host_memory", lambda: 1001 * MIB + 12345)


@pytest.mark.usefixtures("large_host")
@pytest.mark.parametrize(
    ("cpus", "memory", "given"),
    [
        ("100%", "100%", (7, 1001)),
        ("50%", "50%", (3, 500)),
        ("14%", "12.5%", (1, 125)),
        ("1%", "1%", (1, 10)),
        ("'50 %'", "'50 %'", (3, 500)),
        ("0.5", "50%", (0.5, 500)),
    ],
)
def test_a_share_is_whole_cpus_and_whole_mebibytes(
    tmp_path: Path, cpus: str, memory: str, given: tuple[float, int]
) -> None:
    limits = load(tmp_path, cpus, memory).limits
    assert (limits.cpus, limits.memory / MIB) == given


@pytest.mark.usefixtures("large_host")
def test_a_share_is_recorded_as_what_it_came_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = load(tmp_path)
    assert suite.as_data()["limits"] == {"cpus": 7, "memory": "1001M"}
    assert suite.as_data()["arms"]["half"]["limits"] == {"cpus": 3, "memory": "500M"}
    (tmp_path / "run.yaml").write_text(suite.as_yaml())
    monkeypatch.setattr("bench.suite_file.host_cpus", lambda: 64)
    again = load_suite(str(tmp_path / "run.yaml"))
    assert again == suite
    assert load(tmp_path).hash != again.hash


@pytest.mark.parametrize(
    ("cpus", "memory", "said"),
    [
        ("0%", "50%", "3:16: limits.cpus: expected more than 0% and at most 100%, got '0%'"),
        ("101%", "50%", "3:16: limits.cpus: expected more than 0% and at most 100%, got '101%'"),
        ("'%'", "50%", "3:16: limits.cpus: expected a share such as 50%, got '%'"),
        ("-5%", "50%", "3:16: limits.cpus: expected a share such as 50%, got '-5%'"),
        ("1G%", "50%", "3:16: limits.cpus: expected a share such as 50%, got '1G%'"),
        ("1", "0%", "3:27: limits.memory: expected more than 0% and at most 100%, got '0%'"),
        ("1", "100.5%", "3:27: limits.memory: expected more than 0% and at most 100%, got '100.5%'"),
        ("1", "half%", "3:27: limits.memory: expected a share such as 50%, got 'half%'"),
        ("1", "0.000001%", "3:27: limits.memory: expected between 4M and 64T of memory"),
    ],
)
def test_a_wrong_share(tmp_path: Path, cpus: str, memory: str, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        load(tmp_path, cpus, memory)
    assert str(error.value) == f"{tmp_path}/s.yaml:{said}"


def test_the_whole_host_can_be_asked_for(tmp_path: Path) -> None:
    limits = load(tmp_path).limits
    assert limits.cpus == host_cpus()
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    assert host_memory() == int(total.split()[1]) * 1024
    assert 0 <= host_memory() - limits.memory < MIB
