from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from stored_runs import RunBuilder

from results.checks import Tally, checks_of, claim, sentence, total
from results.compare import compare
from results.export import export_run
from results.records import Sample
from results.terminal.compare import compare_json
from results.terminal.show import show_json


def checks(**claims: float) -> list[Sample]:
    return [Sample(name, value, "check", "higher", primary=True) for name, value in claims.items()]


def check_trials(run: RunBuilder, arm: str, claims: Mapping[str, list[float]], accel: str = "none") -> None:
    """A trial for every value of a claim."""
    for block in range(max(map(len, claims.values()))):
        values = {name: series[block] for name, series in claims.items() if block < len(series)}
        run.trial(block, arm, *checks(**values), workload="isolation", accel=accel, cpu_time=1.0)


@pytest.fixture
def checked(run: RunBuilder) -> RunBuilder:
    check_trials(run, "vm", {"cannot_mount": [1, 1, 1]}, accel="tcg")
    check_trials(
        run, "container", {"cannot_load_a_module": [1, 1, 1], "cannot_mount": [1, 0, 1], "own_uids": [0, 0, 0]}
    )
    return run


def test_claims_stand_in_the_workloads_order_and_arms_in_the_suites(checked: RunBuilder) -> None:
    (isolation,) = checks_of(checked.frame)
    assert (isolation.workload, isolation.arms) == ("isolation", ("native", "container", "vm"))
    assert list(isolation.claims) == ["cannot_load_a_module", "cannot_mount", "own_uids"]
    assert isolation.emulated == {"vm"}


def test_a_claim_that_fails_in_one_trial_is_broken(checked: RunBuilder) -> None:
    (isolation,) = checks_of(checked.frame)
    assert {metric: tally.words for metric, tally in isolation.of_arm("container").items()} == {
        "cannot_load_a_module": "holds",
        "cannot_mount": "broken in 1 of 3",
        "own_uids": "broken",
    }
    assert [isolation.total(arm) for arm in isolation.arms] == ["not checked", "1 of 3 hold", "1 of 1 hold"]


def test_a_trial_holds_only_if_every_iteration_does(run: RunBuilder) -> None:
    samples = [Sample("own_uids", value, "check", "higher", place) for place, value in enumerate((1.0, 0.0, 1.0))]
    run.trial(0, "container", *samples)
    (found,) = checks_of(run.frame)
    assert found.claims["own_uids"]["container"] == Tally(held=0, n=1)


@pytest.mark.parametrize("value", [0.0, 0.5, 2.0, -1.0])
def test_nothing_but_one_holds(run: RunBuilder, value: float) -> None:
    run.trial(0, "container", *checks(own_uids=value))
    (found,) = checks_of(run.frame)
    assert not found.claims["own_uids"]["container"].holds


def test_each_case_has_checks_of_its_own_sorted_as_people_do(run: RunBuilder) -> None:
    for depth in (16, 2):
        run.trial(0, "native", *checks(deep=1), workload="probe", params={"depth": depth})
    assert [found.params for found in checks_of(run.frame)] == ["depth=2", "depth=16"]
    assert total(checks_of(run.frame), "native") == "2 of 2 hold"


def test_a_run_without_checks_has_none(run: RunBuilder) -> None:
    assert checks_of(run.frame) == []
    assert checks_of(run.trial(0, "native", time=1.0).frame) == []


def test_a_sentence_names_what_is_broken(checked: RunBuilder) -> None:
    found = checks_of(checked.frame)
    assert sentence(found, "container") == "1 of 3 claims hold; broken: cannot mount (in 1 of 3 trials); own uids."
    assert sentence(found, "vm") == "1 of 1 claims hold."
    assert sentence(found, "native") == ""


def test_a_sentence_does_not_list_more_than_can_be_read(run: RunBuilder) -> None:
    run.trial(0, "native", *checks(**{f"claim_{number}": 0 for number in range(9)}, last=1))
    run.trial(0, "container", *checks(**{f"claim_{number}": 0 for number in range(9)}))
    found = checks_of(run.frame)
    assert sentence(found, "native").endswith("claim 4; claim 5; and 3 more.")
    assert sentence(found, "container") == "none of 9 claims holds."


def test_a_claim_reads_as_words() -> None:
    assert claim("cannot_load_a_host_module") == "cannot load a host module"


def test_checks_are_compared_with_nothing(run: RunBuilder) -> None:
    for arm, held in (("native", 0.0), ("container", 1.0)):
        check_trials(run, arm, {"own_uids": [held] * 6})
    assert {one.metric for one in compare(run.frame, "native")} == {"cpu_time"}
    assert {row["metric"] for row in compare_json(run.store, run.record)} == {"cpu_time"}


def test_the_values_stay_in_json_and_export(checked: RunBuilder, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    summaries = show_json(checked.store, checked.record)["summaries"]
    assert isinstance(summaries, list)
    row = next(row for row in summaries if (row["metric"], row["arm"]) == ("cannot_mount", "container"))
    assert (row["unit"], row["minimum"], row["maximum"], row["n"]) == ("check", 0.0, 1.0, 3)
    export_run(checked.store, checked.record, "json")
    rows = json.loads(capfdbinary.readouterr().out)
    assert [row["value"] for row in rows if row["metric"] == "cannot_mount"] == [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]
