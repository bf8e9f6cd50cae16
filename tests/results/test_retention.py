from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from stored_runs import run_record

from results.retention import Keep, outdated, parse_keep

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def _nights(statuses, suite="nightly"):
    """A run a night, the last one last night."""
    count = len(statuses)
    return [
        run_record(
            id=f"{suite}-{night}",
            suite=suite,
            status=status,
            started=(NOW - timedelta(days=count - night)).isoformat(),
        )
        for night, status in enumerate(statuses)
    ]


def _gone(runs, keep, protected=()):
    return [run.id for run in outdated(runs, "nightly", keep, protected, ["nightly-confirm"], NOW)]


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("30", Keep(30, None)),
        ("90d", Keep(None, timedelta(days=90))),
        ("12w", Keep(None, timedelta(weeks=12))),
        ("36h", Keep(None, timedelta(hours=36))),
    ],
)
def test_what_is_kept_is_a_number_or_an_age(text, keep):
    assert parse_keep(text) == keep


@pytest.mark.parametrize("text", ["", "0", "-3", "0d", "90 days", "1.5d", "d", "all"])
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="90d"):
        parse_keep(text)


def test_the_newest_complete_runs_stay():
    assert _gone(_nights(["complete"] * 5), Keep(2, None)) == ["nightly-0", "nightly-1", "nightly-2"]


def test_a_month_of_failures_does_not_push_the_good_runs_out():
    runs = _nights(["failed", "complete", "complete", *["failed"] * 30])
    assert _gone(runs, Keep(2, None)) == ["nightly-0"]


def test_by_age():
    assert _gone(_nights(["complete"] * 5), parse_keep("3d")) == ["nightly-0", "nightly-1"]


def test_the_newest_run_and_the_newest_complete_one_stay_whatever_their_age():
    assert _gone(_nights(["complete", "complete", "partial", "failed"]), parse_keep("1h")) == ["nightly-0", "nightly-2"]


def test_baselines_stay():
    assert _gone(_nights(["complete"] * 5), Keep(1, None), {"nightly-1"}) == ["nightly-0", "nightly-2", "nightly-3"]


def test_other_suites_and_runs_that_go_on_are_left_alone():
    runs = [*_nights(["running", "complete", "complete"]), *_nights(["complete"] * 9, "other")]
    assert _gone(runs, Keep(1, None)) == ["nightly-1"]


def test_fewer_runs_than_are_kept():
    assert _gone(_nights(["failed", "complete"]), Keep(3, None)) == []
    assert _gone([], Keep(3, None)) == []


def test_what_belongs_to_a_night_goes_with_it():
    runs = [*_nights(["complete"] * 4), *_nights(["complete"] * 4, "nightly-confirm")]
    assert _gone(runs, Keep(2, None)) == ["nightly-0", "nightly-confirm-0", "nightly-1", "nightly-confirm-1"]
