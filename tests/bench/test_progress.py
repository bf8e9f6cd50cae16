from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.progress import PlainProgress, QuietProgress, TimeEstimate, format_remaining
from bench.sampling import Sampling
from bench.stopping import Outlook


def make_trial(number, arm, case="null", block=1):
    return SimpleNamespace(number=number, arm=SimpleNamespace(name=arm), case=SimpleNamespace(label=case), block=block)


def make_plan(*trials, blocks=1):
    """A plan whose every block is these trials."""
    sampling = Sampling.fixed(blocks)
    return SimpleNamespace(
        block=lambda number: trials, trials_a_block=len(trials), sampling=sampling, seed=1, left_out={}
    )


def test_estimate_uses_trials_alike_then_the_arm_then_all():
    trials = [make_trial(1, "vm"), make_trial(2, "native"), make_trial(3, "vm", "fio"), make_trial(4, "vm")]
    estimate = TimeEstimate(make_plan(*trials))
    assert estimate.remaining_seconds() is None
    estimate.finished(trials[0], 10.0)
    assert estimate.remaining_seconds() == pytest.approx(30.0)
    estimate.finished(trials[1], 2.0)
    assert estimate.remaining_seconds() == pytest.approx(20.0)
    estimate.finished(trials[2], 30.0)
    assert estimate.remaining_seconds() == pytest.approx(10.0)


def test_estimate_ends_at_zero():
    trials = [make_trial(1, "vm"), make_trial(2, "native")]
    estimate = TimeEstimate(make_plan(*trials))
    for trial in trials:
        estimate.finished(trial, 1.0)
    assert estimate.remaining_seconds() == 0


def test_estimate_counts_the_blocks_that_are_expected():
    trials = [make_trial(1, "vm"), make_trial(2, "native")]
    estimate = TimeEstimate(make_plan(*trials, blocks=3))
    estimate.finished(trials[0], 10.0)
    estimate.finished(trials[1], 1.0)
    assert (estimate.trials, estimate.remaining_seconds()) == (6, pytest.approx(22.0))
    estimate.finished(trials[0], 10.0)
    assert estimate.remaining_seconds() == pytest.approx(12.0)
    estimate.blocks = 5
    assert (estimate.trials, estimate.remaining_seconds()) == (10, pytest.approx(34.0))


def test_a_line_tells_when_the_number_of_blocks_is_expected_to_change(capsys):
    trial = make_trial(1, "vm")
    progress = PlainProgress(verbose=False)
    progress.planned("a-run", make_plan(trial, blocks=10))
    progress.block_finished(9, Outlook(None, 10))
    progress.block_finished(10, Outlook(None, 14))
    progress.trial_finished(trial, SimpleNamespace(status="ok", error=None), 1.0)
    progress.block_finished(14, Outlook("all known", 14))
    said = capsys.readouterr().out
    assert said.count("blocks in all") == 1
    assert "block 10 done: about 14 blocks in all" in said
    assert "[1/14]" in said
    assert "all known" in said


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
