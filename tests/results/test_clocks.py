from __future__ import annotations

import pytest
from stored_runs import RunBuilder

from results.clocks import clock_warnings


def warnings(run: RunBuilder) -> tuple[str, ...]:
    return clock_warnings(run.store.trials(run.record.id))


def test_arms_may_have_clocksources_of_their_own(run: RunBuilder) -> None:
    for block in range(3):
        run.trial(block, "native", facts={"clocksource": "tsc", "clock_ratio": "0.9990"})
        run.trial(block, "vm", facts={"clocksource": "kvm-clock", "clock_ratio": "1.0400"})
    run.trial(3, "vm")
    assert warnings(run) == ()


def test_an_arm_whose_clocksource_changed_is_named_with_both(run: RunBuilder) -> None:
    for block, source in enumerate(("tsc", "tsc", "acpi_pm")):
        run.trial(block, "native", facts={"clocksource": "tsc"}).trial(block, "vm", facts={"clocksource": source})
    (warning,) = warnings(run)
    assert "trials of vm did not all end on the same clocksource: tsc in 2 trials, acpi_pm in 1 trial." in warning


@pytest.mark.parametrize(
    ("ratio", "right"),
    [("0.9501", True), ("1.0499", True), ("0.9499", False), ("1.0501", False), ("nan", False), ("unknown", False)],
)
def test_a_clock_is_wrong_by_more_than_five_percent(run: RunBuilder, ratio: str, right: bool) -> None:
    run.trial(0, "vm", facts={"clock_ratio": ratio}).trial(1, "vm", facts={"clock_ratio": "1.0"}).trial(2, "vm")
    if right:
        assert warnings(run) == ()
    else:
        (warning,) = warnings(run)
        assert "In 1 of 2 trials of vm" in warning
        assert f"{ratio} in trial 1." in warning


def test_of_many_wrong_clocks_three_are_named(run: RunBuilder) -> None:
    for block in range(5):
        run.trial(block, "vm", facts={"clock_ratio": f"0.{block}"})
    (warning,) = warnings(run)
    assert "0.0 in trial 1, 0.1 in trial 2, 0.2 in trial 3 and 2 more." in warning


def test_failed_trials_give_no_figure_that_could_be_wrong(run: RunBuilder) -> None:
    run.trial(0, "vm", facts={"clocksource": "tsc", "clock_ratio": "1.0"})
    run.trial(1, "vm", facts={"clocksource": "hpet", "clock_ratio": "9.0"}, status="failed")
    assert warnings(run) == ()
