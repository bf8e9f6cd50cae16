"""Limits asked for against limits given, from a trial's samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.asked_limits import MEASURABLE, check_limit, limit_samples
from results.records import Sample
from runtimes.base import IoLimits, Limits, NetLimits
from workloads.document import InvalidValue
from workloads.loader import load_workload

ALL = Limits(
    cpus=0.5,
    cpuset=(),
    memory=2**28,
    io=IoLimits(read_bytes=10 * 2**20, write_bytes=5 * 2**20, read_ops=400, write_ops=100),
    net=NetLimits(ingress=100_000_000, egress=50_000_000),
)
NONE = Limits(cpus=1, cpuset=(), memory=2**28)


def samples(name, value, unit, limits=ALL):
    limit = {name: "figure"}
    return {one.metric: one for one in limit_samples(limit, limits, [Sample("figure", value, unit, "higher")])}


@pytest.mark.parametrize(
    ("name", "value", "unit", "asked", "given_", "told"),
    [
        ("cpus", 0.49, "CPUs", 0.5, 0.49, "CPUs"),
        ("memory", 256, "MiB", 2**28, 2**28, "bytes"),
        ("memory", 200_000_000, "bytes", 2**28, 200_000_000, "bytes"),
        ("io.read_bytes", 10.5, "MB/s", 10 * 2**20, 10_500_000, "bytes/s"),
        ("io.write_bytes", 5, "MiB/s", 5 * 2**20, 5 * 2**20, "bytes/s"),
        ("io.read_ops", 404, "requests/s", 400, 404, "requests/s"),
        ("io.write_ops", 99, "requests/s", 100, 99, "requests/s"),
        ("net.ingress", 0.095, "Gbit/s", 100_000_000, 95_000_000, "bit/s"),
        ("net.egress", 50, "Mbit/s", 50_000_000, 50_000_000, "bit/s"),
    ],
)
def test_asked_given_and_error_are_in_the_limits_own_unit(name, value, unit, asked, given_, told):
    found = samples(name, value, unit)
    assert list(found) == [f"limit.{name}.{what}" for what in ("asked", "given", "error")]
    assert found[f"limit.{name}.asked"].value == asked
    assert found[f"limit.{name}.given"].value == pytest.approx(given_)
    assert found[f"limit.{name}.error"].value == pytest.approx((given_ / asked - 1) * 100)
    assert [one.unit for one in found.values()] == [told, told, "%"]
    assert {(one.better, one.primary) for one in found.values()} == {("neutral", False)}


@given(
    st.sampled_from([("cpus", "CPUs"), ("io.read_ops", "requests/s"), ("net.egress", "bit/s")]), st.floats(-99, 1000)
)
def test_the_error_is_that_of_what_was_given(limit, error):
    name, unit = limit
    asked = samples(name, 1, unit)[f"limit.{name}.asked"].value
    found = samples(name, asked * (1 + error / 100), unit)
    assert found[f"limit.{name}.error"].value == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in MEASURABLE if "." in name])
def test_an_arm_without_the_limit_gives_nothing(name):
    assert samples(name, 1, "requests/s", NONE) == {}


def test_an_optional_metric_that_is_missing_gives_nothing():
    assert list(limit_samples({"cpus": "figure"}, ALL, [])) == []


@pytest.mark.parametrize("name", MEASURABLE)
def test_one_arm_with_the_limit_is_enough(name):
    shows = {"cpus": ("cpu-burn", "cpus_used"), "memory": ("memory-fill", "filled")}
    shows |= {f"io.{what}_bytes": ("fio", "mb_per_second") for what in ("read", "write")}
    shows |= {f"io.{what}_ops": ("fio", "iops") for what in ("read", "write")}
    shows |= {f"net.{what}": ("iperf3", "gbit_per_second") for what in ("ingress", "egress")}
    workload, metric = shows[name]
    check_limit(name, metric, load_workload(workload), [NONE, ALL])
    if "." in name:
        with pytest.raises(InvalidValue, match="no arm of the suite has a limit on"):
            check_limit(name, metric, load_workload(workload), [NONE])
