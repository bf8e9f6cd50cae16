from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.progress import PlainProgress, QuietProgress, TimeEstimate, format_remaining


def make_trial(number, arm, case="null", block=1):
    return SimpleNamespace(number=number, arm=SimpleNamespace(name=arm), case=SimpleNamespace(label=case), block=block)


def make_plan(*trials):
    return SimpleNamespace(trials=trials, seed=1)


def test_estimate_uses_trials_alike_then_the_arm_then_all():
    trials = [make_trial(1, "vm"), make_trial(2, "vm"), make_trial(3, "vm", "fio"), make_trial(4, "native")]
    estimate = TimeEstimate(make_plan(*trials))
    assert estimate.remaining_seconds() is None
    estimate.finished(trials[0], 10.0)
    assert estimate.remaining_seconds() == pytest.approx(30.0)
    estimate.finished(trials[3], 2.0)
    assert estimate.remaining_seconds() == pytest.approx(20.0)
    estimate.finished(trials[2], 30.0)
    assert estimate.remaining_seconds() == pytest.approx(10.0)


def test_estimate_ends_at_zero():
    trials = [make_trial(1, "vm"), make_trial(2, "native")]
    estimate = TimeEstimate(make_plan(*trials))
    for trial in trials:
        estimate.finished(trial, 1.0)
    assert estimate.remaining_seconds() == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.2, "about 1 s left"),
        (59, "about 59 s left"),
        (150, "about 2 min left"),
        (7200, "about 2.0 h left"),
    ],
)
def test_time_left_reads_as_a_person_says_it(seconds, text):
    assert format_remaining(seconds) == text


@pytest.mark.parametrize("observer", [QuietProgress(), PlainProgress(verbose=False)])
def test_a_failed_trial_is_always_told(observer, capsys):
    trial = make_trial(1, "vm", "fio rw=write")
    observer.planned("a-run", make_plan(trial))
    observer.trial_finished(trial, SimpleNamespace(status="failed", error="fio: no space"), 1.0)
    said = capsys.readouterr()
    assert "fio rw=write in vm" in said.out + said.err
    assert "fio: no space" in said.out + said.err
