from __future__ import annotations

from collections.abc import Sequence

import pytest
from stored_runs import RunBuilder

from results.compare import compare
from results.limits import is_limit, limits_of, sentence, tolerance, total
from results.records import Sample


def given(limit: str, asked: float, given: float, unit: str) -> list[Sample]:
    return [
        Sample(f"limit.{limit}.asked", asked, unit, "neutral"),
        Sample(f"limit.{limit}.given", given, unit, "neutral"),
        Sample(f"limit.{limit}.error", 100 * (given / asked - 1), "%", "neutral"),
    ]


def limit_trials(
    run: RunBuilder, arm: str, limit: str, asked: float, values: Sequence[float], unit: str, **options: object
) -> None:
    for block, value in enumerate(values):
        run.trial(block, arm, *given(limit, asked, value, unit), cpu_time=1.0, **options)  # type: ignore[arg-type]


def test_what_was_given_is_the_median_and_every_error_is_kept(run: RunBuilder) -> None:
    limit_trials(run, "container", "cpus", 0.5, [0.49, 0.51, 0.505], "CPUs")
    (found,) = limits_of(run.frame)
    assert (found.limit, found.arm, found.unit, found.asked, found.given) == ("cpus", "container", "CPUs", 0.5, 0.505)
    assert found.errors == pytest.approx((-2.0, 2.0, 1.0))
    assert found.error == pytest.approx(1.0)
    assert not found.emulated


def test_limits_are_in_the_documented_order_and_arms_in_the_suites(run: RunBuilder) -> None:
    for limit in ("net.ingress", "io.write_bytes", "memory", "cpus"):
        for arm in ("vm", "container"):
            limit_trials(run, arm, limit, 1e6, [1e6], "bytes/s", accel="tcg" if arm == "vm" else "none")
    found = limits_of(run.frame)
    assert [limit.limit for limit in found[::2]] == ["cpus", "memory", "io.write_bytes", "net.ingress"]
    assert [(limit.arm, limit.emulated) for limit in found[:2]] == [("container", False), ("vm", True)]


def test_a_limit_that_two_cases_measured_has_two_entries(run: RunBuilder) -> None:
    for size in ("64k", "4k"):
        limit_trials(run, "vm", "io.read_bytes", 1e7, [9e6], "bytes/s", workload="fio", params={"bs": size})
    assert [found.params for found in limits_of(run.frame)] == ["bs=4k", "bs=64k"]


@pytest.mark.parametrize(
    ("limit", "error", "outcome"),
    [
        ("cpus", 2.9, "met"),
        ("cpus", -2.9, "met"),
        ("cpus", 3.1, "exceeded"),
        ("cpus", -3.1, "not reached"),
        ("memory", 9.9, "met"),
        ("net.egress", -10.1, "not reached"),
        ("io.read_ops", 10.1, "exceeded"),
    ],
)
def test_an_outcome_goes_by_the_limits_tolerance(run: RunBuilder, limit: str, error: float, outcome: str) -> None:
    limit_trials(run, "vm", limit, 100.0, [100 + error], "bytes/s")
    assert limits_of(run.frame)[0].outcome == outcome


def test_an_unknown_limit_has_the_wider_tolerance() -> None:
    assert tolerance("of_the_future") == 10.0


def test_a_sentence_names_what_was_not_met(run: RunBuilder) -> None:
    limit_trials(run, "vm", "cpus", 1.0, [1.0], "CPUs", workload="spin")
    limit_trials(run, "vm", "net.egress", 1e8, [8.58e7], "bit/s", workload="iperf3")
    limit_trials(run, "container", "cpus", 1.0, [1.0], "CPUs", workload="spin")
    found = limits_of(run.frame)
    assert sentence(found, "vm") == "1 of 2 limits met; net.egress not reached (-14.2 %)."
    assert sentence(found, "container") == "1 of 1 limits met."
    assert sentence(found, "native") == ""
    assert [total(found, arm) for arm in ("vm", "native")] == ["1 of 2 met", "not measured"]


def test_a_run_without_limits_has_none(run: RunBuilder) -> None:
    assert limits_of(run.frame) == []
    assert limits_of(run.trial(0, "native", time=1.0).frame) == []


def test_limits_are_compared_with_nothing(run: RunBuilder) -> None:
    for arm in ("native", "vm"):
        limit_trials(run, arm, "cpus", 1.0, [1.0] * 6, "CPUs")
    assert {one.metric for one in compare(run.frame, "native")} == {"cpu_time"}
    assert is_limit("limit.cpus.error")
    assert not is_limit("limits")
