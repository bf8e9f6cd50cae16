"""The catalogue's commands against the real tools, where this machine has them."""

from __future__ import annotations

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
