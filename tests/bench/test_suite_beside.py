"""Suites whose workloads have neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.neighbours import check_placements
from bench.plan import make_plan
from bench.suite import load_suite
from bench.suite_model import Suite
from runtimes.base import HostError
from runtimes.placement import Placer, make_placer
from runtimes.topology import Cpu, Topology
from workloads.errors import InvalidInput

SUITE = """\
name: shared
baseline: native
limits: {cpus: 1, memory: 256M}
arms: {native: {runtime: native}, vm: {runtime: vm, limits: {cpus: 2}}}
workloads:
  - workload: sysbench-cpu
    params: {threads: [1, 2]}
    beside:
      - cpu-burn
      - {workload: fio, params: {rw: write, size: 8M}, arm: vm}
  - null
sampling: {blocks: 1, seed: 1}
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(directory: Path, text: str = SUITE, **overrides: object) -> Suite:
    (directory / "s.yaml").write_text(text)
    return load_suite("./s.yaml", **overrides)  # type: ignore[arg-type]


def test_every_combination_is_a_case_alone_and_beside_each_neighbour(directory: Path) -> None:
    plan = make_plan(load(directory))
    assert [case.label for case in plan.cases] == [
        "sysbench-cpu threads=1",
        "sysbench-cpu threads=1 beside=cpu-burn",
        "sysbench-cpu threads=1 beside=fio(rw:write size:8M)@vm",
        "sysbench-cpu threads=2",
        "sysbench-cpu threads=2 beside=cpu-burn",
        "sysbench-cpu threads=2 beside=fio(rw:write size:8M)@vm",
        "null",
    ]
    assert plan.trials_a_block == 14
    assert plan.cases[1].shown_params["beside"] == "cpu-burn"
    assert "beside" not in plan.cases[0].shown_params


def test_the_image_and_the_disk_are_for_the_neighbour_too(directory: Path) -> None:
    plan = make_plan(load(directory))
    assert {"fio", "sysbench"} <= set(plan.packages())
    assert plan.cases[0].scratch_in_all is None
    assert (plan.cases[2].scratch, plan.cases[2].scratch_in_all) == (None, plan.cases[2].neighbour.scratch)
    described = plan.describe()
    assert described["cases"][2]["params"]["beside"] == "fio(rw:write size:8M)@vm"
    assert described["cases"][2]["scratch"] == plan.cases[2].scratch_in_all


def test_the_stored_suite_is_read_back_as_the_same(directory: Path) -> None:
    suite = load(directory)
    again = load(directory, suite.as_yaml())
    assert again == suite
    assert again.hash == suite.hash
    assert again.uses[0].beside[1].params == {"rw": "write", "size": "8M"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      - cpu-burn\n", ""),
        ("rw: write", "rw: read"),
        (", arm: vm", ""),
        (", arm: vm", ", arm: vm, cpus: apart"),
        ("      - cpu-burn\n", "      - {workload: cpu-burn, params: {runtime: 3}}\n"),
    ],
)
def test_a_neighbour_is_part_of_what_is_measured(directory: Path, old: str, new: str) -> None:
    assert load(directory, SUITE.replace(old, new)).hash != load(directory).hash


def test_neighbours_in_arms_that_are_left_out_are_left_out(directory: Path) -> None:
    suite = load(directory, arms=["native"])
    assert [each.identity for each in suite.uses[0].beside] == ["cpu-burn"]
    assert len(load(directory, workloads=["null"]).uses) == 1


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("- cpu-burn", "- cpu-brn", "workloads[0].beside[0]: unknown workload 'cpu-brn'"),
        ("rw: write", "rw: wite", "beside[1].params.rw"),
        ("rw: write", "rw: [write, read]", "beside[1].params.rw"),
        ("arm: vm}", "arm: kvm}", "beside[1].arm: no arm 'kvm'"),
        ("arm: vm}", "cpus: alone}", "beside[1].cpus"),
        ("- cpu-burn", "- null", "beside[0]: null runs nothing, so it disturbs nobody"),
        ("- cpu-burn", "- cpu-burn\n      - cpu-burn", "the neighbour cpu-burn stands in the list already"),
        ("  - null", "  - {workload: null, beside: [cpu-burn]}", "null runs nothing, so there is nothing to disturb"),
        ("arm: vm}", "arm: vm, who: me}", "unknown key"),
    ],
)
def test_a_neighbour_that_cannot_be_is_refused_at_its_place(
    directory: Path, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        load(directory, SUITE.replace(old, new))
    assert complaint in str(error.value)


def test_one_whose_client_is_outside_needs_a_network(directory: Path) -> None:
    text = SUITE.replace("{runtime: native}", "{runtime: container, network: none}")
    load(directory, text)
    with pytest.raises(InvalidInput, match="iperf3: the client is outside"):
        load(directory, text.replace("- cpu-burn", "- iperf3"))


def test_one_that_is_to_be_apart_needs_cores_of_its_own(directory: Path) -> None:
    suite = load(directory, SUITE.replace("- cpu-burn", "- {workload: cpu-burn, cpus: apart}"))

    def host(cores: int) -> Placer:
        return make_placer(Topology(tuple(Cpu(number, (number,), (0,), 0) for number in range(cores))))

    check_placements(suite, host(5))
    with pytest.raises(HostError, match=r"sysbench-cpu beside cpu-burn\+apart in vm: .* wants 2 .* 1 are left"):
        check_placements(suite, host(4))
    check_placements(replace(suite, uses=(replace(suite.uses[0], beside=()),)), host(1))
