"""Limits that make no sense or cannot be given, as a user meets them: one line, exit code 2, nothing left."""

from __future__ import annotations

import os
import re

import pytest
from leftovers import leftovers

from bench.cli import run_command_line

SUITE = """
name: bad
baseline: one
limits: {cpus: 1, memory: 64M}
arms:
  one: %s
workloads: [null]
sampling: {blocks: 1}
"""

ABSURD = 10**30

WRONG = [
    ("{cpus: 0}", "cpus: expected 0.01 or more, got 0"),
    ("{cpus: -1}", "cpus: expected 0.01 or more, got -1"),
    ("{cpus: 0.001}", "cpus: expected 0.01 or more, got 0.001"),
    (f"{{cpus: {ABSURD}}}", "cpus: expected 8192 or less, got 1000"),
    ("{cpus: 1.0e+30}", "cpus: expected 8192 or less, got 1e+30"),
    ("{cpus: .inf}", "cpus: expected a number"),
    ("{cpus: .nan}", "cpus: expected a number"),
    ("{cpuset: -1}", "cpuset: expected CPU numbers from 0 to 8191, as a list or as in 0-3,6"),
    ("{cpuset: 8192}", "cpuset: expected CPU numbers from 0 to 8191"),
    ("{cpuset: '0-99999'}", "cpuset: expected CPU numbers from 0 to 8191"),
    (f"{{cpuset: {ABSURD}}}", "cpuset: expected CPU numbers from 0 to 8191"),
    ("{cpuset: '5-1'}", "cpuset: expected CPU numbers from 0 to 8191"),
    ("{cpu_weight: 0}", "cpu_weight: expected 1 or more, got 0"),
    ("{cpu_weight: 10001}", "cpu_weight: expected 10000 or less, got 10001"),
    ("{memory: 0}", "memory: expected between 4M and 64T of memory"),
    ("{memory: -1}", "memory: expected a size of at least 0 bytes, got -1"),
    ("{memory: 1.5}", "memory: expected a size such as 512M or 4k, got 1.5"),
    (f"{{memory: {ABSURD}}}", "memory: expected between 4M and 64T of memory"),
    ("{memory: 999999999T}", "memory: expected between 4M and 64T of memory"),
    ("{memory_swap: -1}", "memory_swap: expected a size of at least 0 bytes, got -1"),
    (f"{{memory_swap: {ABSURD}}}", "memory_swap: expected at most 64T of swap"),
    ("{pids: 0}", "pids: expected 1 or more, got 0"),
    ("{pids: 1.5}", "pids: expected a whole number, got 1.5"),
    (f"{{pids: {ABSURD}}}", "pids: expected 4194304 or less, got 1000"),
    ("{io: 0}", "io: expected a mapping, got 0"),
    ("{io: {read_bytes: 0}}", "io.read_bytes: expected between 4k and 1T, in bytes a second"),
    ("{io: {write_bytes: -1}}", "io.write_bytes: expected a size of at least 0 bytes, got -1"),
    (f"{{io: {{write_bytes: {ABSURD}}}}}", "io.write_bytes: expected between 4k and 1T, in bytes a second"),
    ("{io: {read_ops: 0}}", "io.read_ops: expected 1 or more, got 0"),
    (f"{{io: {{write_ops: {ABSURD}}}}}", "io.write_ops: expected 1000000000 or less, got 1000"),
    ("{io: {reads: 1}}", "io.reads: unknown key; expected one of read_bytes, write_bytes, read_ops, write_ops"),
    ("{net: 0}", "net: expected a bandwidth with its unit, such as 0Mbit, got 0"),
    ("{net: 0Mbit}", "net: expected between 8kbit and 1Tbit a second"),
    ("{net: -5Mbit}", "net: expected a bandwidth such as 100Mbit, got '-5Mbit'"),
    (f"{{net: {{ingress: {10**19}Mbit}}}}", "net.ingress: expected between 8kbit and 1Tbit a second"),
    ("{net: {upload: 1Mbit}}", "net.upload: unknown key; expected one of ingress, egress"),
    ("{cpu: 3}", "cpu: unknown key; expected one of cpus, cpuset, cpu_weight, memory, memory_swap, pids, io, net"),
    ("[]", "expected a mapping, got a list"),
]
"""Limits of an arm, and what is said of them."""

NOT_HERE = [
    ("{cpus: 8192}", r"cpus: 8192 CPUs cannot be given; expected more than 0 and at most \d+"),
    ("{cpuset: 8191}", r"cpuset: no CPU 8191 for us on this host; expected CPUs out of \[0.*\]"),
    ("{cpus: 2, cpuset: [0, 8191]}", r"cpuset: no CPU 8191 for us on this host; expected CPUs out of \[0.*\]"),
    ("{memory: 64T}", r"memory: 70368744177664 bytes of memory cannot be given; the host has \d+"),
    (
        "{memory_swap: 64T}",
        r"memory_swap: (70368744177664 bytes of swap cannot be given|this kernel|cannot be)",
    ),
]
"""Limits that make sense, though on no host that these tests are run on."""


@pytest.fixture
def run_with(tmp_path, monkeypatch, capsys):
    """Run a suite with this arm; the one line that is said, with exit code 2."""
    monkeypatch.chdir(tmp_path)

    def run(arm):
        (tmp_path / "s.yaml").write_text(SUITE % arm)
        assert run_command_line(["run", "s.yaml", "--store", "store"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert list(tmp_path.glob("store/runs/*")) == []
        return line

    return run


@pytest.mark.parametrize(("limits", "said"), WRONG)
def test_a_limit_that_makes_no_sense_is_refused_with_its_place(run_with, tmp_path, limits, said):
    line = run_with(f"{{runtime: container, limits: {limits}}}")
    assert re.match(r"bench: s\.yaml:6:\d+: arms\.one\.limits", line)
    assert said in line
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("limits", "said"), NOT_HERE)
def test_a_limit_that_this_host_cannot_give_is_refused_with_its_place(run_with, limits, said):
    before = leftovers()
    line = run_with(f"{{runtime: container, limits: {limits}}}")
    assert re.match(rf"bench: s\.yaml:6:\d+: arms\.one\.limits: {said}", line)
    assert leftovers() == before


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("{runtime: native, limits: {net: 1Mbit}}", "arm one: .*net"),
        ("{runtime: container, network: none, limits: {net: 1Mbit}}", "arm one: .*net"),
        ("{runtime: vm, limits: {memory: 128M, pids: 10}}", "arm one: .*pids"),
        ("{runtime: vm, limits: {memory: 64M}}", "arm one: .*its kernel needs 80 MiB"),
    ],
)
def test_a_limit_that_a_runtime_cannot_enforce_is_refused_with_its_arm(run_with, arm, said):
    before = leftovers()
    assert re.match(f"bench: {said}", run_with(arm))
    assert leftovers() == before


def test_a_scratch_disk_for_which_there_is_no_room_is_told_before_an_image_is_built(tmp_path, monkeypatch, capsys):
    path = tmp_path / "huge.yaml"
    path.write_text(SUITE.replace("[null]", "[{workload: fio, params: {size: 1T}}]").replace("%s", "{runtime: native}"))
    monkeypatch.setattr("bench.images.prepare_image", lambda *_: pytest.fail("an image was built"))
    assert run_command_line(["run", str(path), "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert "fio size=1T: its scratch disk takes" in said
    assert "set BENCH_SCRATCH" in said
