"""What a run shows while it goes on: live on a terminal, plain lines elsewhere, nothing when asked to be quiet."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from results.left_out import left_out_lines

if TYPE_CHECKING:
    from rich.console import Console

    from bench.plan import Plan, Trial
    from bench.stopping import Outlook
    from results.records import TrialRecord


class RunObserver(Protocol):
    """Who is told what a run does. Nothing that it does can change the run."""

    def preparing(self, what: str) -> None:
        """Something that comes before the first trial, or between trials, has begun."""

    def planned(self, run: str, plan: Plan) -> None:
        """The run has an id, and this is what it will do."""

    def trial_started(self, trial: Trial) -> None:
        """A trial has begun."""

    def trial_finished(self, trial: Trial, record: TrialRecord, seconds: float) -> None:
        """A trial has ended, well or not, and is in the store."""

    def block_finished(self, block: int, outlook: Outlook) -> None:
        """All trials of a block have ended, and this is what is known of how many more there will be."""


class TimeEstimate:
    """How long the rest of a plan takes, by the mean of the trials alike that are done.

    Attributes:
        blocks: how many there will be in all, as far as is known.
    """

    def __init__(self, plan: Plan) -> None:
        self.blocks = plan.sampling.min_blocks
        self._plan = plan
        self._done = 0
        self._seconds: dict[tuple[str, str], list[float]] = defaultdict(list)

    @property
    def trials(self) -> int:
        """How many there will be in all, as far as is known."""
        return self.blocks * self._plan.trials_a_block

    def finished(self, trial: Trial, seconds: float) -> None:
        """Count one trial as done."""
        self._done += 1
        self._seconds[trial.arm.name, trial.case.label].append(seconds)

    def remaining_seconds(self) -> float | None:
        """Seconds left; None as long as nothing is known."""
        if not self._seconds:
            return None
        by_arm: dict[str, list[float]] = defaultdict(list)
        for (arm, _), values in self._seconds.items():
            by_arm[arm].extend(values)
        overall = fmean(value for values in by_arm.values() for value in values)

        def expected(trial: Trial) -> float:
            alike = self._seconds.get((trial.arm.name, trial.case.label)) or by_arm.get(trial.arm.name)
            return fmean(alike) if alike else overall

        begun, into = divmod(self._done, self._plan.trials_a_block)
        seconds = sum(expected(trial) for trial in self._plan.block(begun + 1)[into:]) if begun < self.blocks else 0.0
        whole = sum(expected(trial) for trial in self._plan.block(1))
        return seconds + max(self.blocks - begun - 1, 0) * whole


def format_remaining(seconds: float | None) -> str:
    """Time left as a person says it: ``about 3 min left``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"


def describe_trial(trial: Trial) -> str:
    """A trial in a few words: block, workload with its parameters, arm."""
    return f"block {trial.block}: {trial.case.label} in {trial.arm.name}"


def describe_run(run: str, plan: Plan) -> str:
    """What a run will do, in a few words."""
    return f"run {run}: {plan.sampling.describe()}, {plan.trials_a_block} trials each, seed {plan.seed}"


def describe_outlook(outlook: Outlook) -> str:
    """How many blocks there will be, as far as is known."""
    return f"about {outlook.blocks} blocks in all"


class QuietProgress:
    """Says nothing but failures, on standard error."""

    def preparing(self, what: str) -> None:
        pass

    def planned(self, run: str, plan: Plan) -> None:
        for note in left_out_lines(plan.left_out):
            print(f"note: {note}", file=sys.stderr)

    def trial_started(self, trial: Trial) -> None:
        pass

    def trial_finished(self, trial: Trial, record: TrialRecord, seconds: float) -> None:
        if record.status == "failed":
            print(f"failed: {describe_trial(trial)}: {record.error}", file=sys.stderr)

    def block_finished(self, block: int, outlook: Outlook) -> None:
        pass


class PlainProgress:
    """One line an event, for logs. ``verbose`` tells also when a trial begins."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._estimate: TimeEstimate | None = None

    def _say(self, text: str) -> None:
        print(time.strftime("%H:%M:%S"), text, flush=True)

    def preparing(self, what: str) -> None:
        self._say(what)

    def planned(self, run: str, plan: Plan) -> None:
        self._estimate = TimeEstimate(plan)
        self._say(describe_run(run, plan))
        for note in left_out_lines(plan.left_out):
            self._say(f"note: {note}")

    def trial_started(self, trial: Trial) -> None:
        if self._verbose:
            self._say(f"{self._place(trial)} begins {describe_trial(trial)}")

    def trial_finished(self, trial: Trial, record: TrialRecord, seconds: float) -> None:
        assert self._estimate is not None
        self._estimate.finished(trial, seconds)
        left = format_remaining(self._estimate.remaining_seconds())
        outcome = "ok" if record.status == "ok" else f"FAILED: {record.error}"
        self._say(f"{self._place(trial)} {describe_trial(trial)}: {outcome} ({seconds:.1f} s; {left})")

    def block_finished(self, block: int, outlook: Outlook) -> None:
        assert self._estimate is not None
        if outlook.stop is not None:
            self._say(outlook.stop)
        elif outlook.blocks != self._estimate.blocks:
            self._say(f"block {block} done: {describe_outlook(outlook)}")
        self._estimate.blocks = outlook.blocks

    def _place(self, trial: Trial) -> str:
        assert self._estimate is not None
        return f"[{trial.number}/{self._estimate.trials}]"


class LiveProgress:
    """A display that is redrawn in place: what runs now, what is done, time left; failures stay above it."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        self._verbose = verbose
        self._estimate: TimeEstimate | None = None
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", style="cyan"),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, left="")

    @contextmanager
    def shown(self) -> Iterator[LiveProgress]:
        """Show it for as long as the context lasts."""
        with self._progress:
            yield self

    def preparing(self, what: str) -> None:
        self._progress.update(self._task, description=_plain(what))
        if self._verbose:
            self._progress.console.print(what, markup=False, style="dim")

    def planned(self, run: str, plan: Plan) -> None:
        self._estimate = TimeEstimate(plan)
        self._progress.update(self._task, total=self._estimate.trials, completed=0)
        self._progress.console.print(describe_run(run, plan), markup=False)
        for note in left_out_lines(plan.left_out):
            self._progress.console.print(f"note: {note}", markup=False, style="yellow")

    def trial_started(self, trial: Trial) -> None:
        self._progress.update(self._task, description=_plain(describe_trial(trial)))

    def trial_finished(self, trial: Trial, record: TrialRecord, seconds: float) -> None:
        assert self._estimate is not None
        self._estimate.finished(trial, seconds)
        left = format_remaining(self._estimate.remaining_seconds())
        self._progress.update(self._task, advance=1, left=left)
        if record.status == "failed":
            failure = f"failed: {describe_trial(trial)}: {record.error}"
            self._progress.console.print(failure, markup=False, style="red")
        elif self._verbose:
            self._progress.console.print(f"{describe_trial(trial)}: ok ({seconds:.1f} s)", markup=False, style="dim")

    def block_finished(self, block: int, outlook: Outlook) -> None:
        assert self._estimate is not None
        if outlook.stop is not None:
            self._progress.console.print(outlook.stop, markup=False)
        elif self._verbose and outlook.blocks != self._estimate.blocks:
            self._progress.console.print(f"block {block} done: {describe_outlook(outlook)}", markup=False, style="dim")
        self._estimate.blocks = outlook.blocks
        left = format_remaining(self._estimate.remaining_seconds())
        self._progress.update(self._task, total=self._estimate.trials, left=left)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def open_progress(*, quiet: bool, verbose: bool) -> Iterator[RunObserver]:
    """The right observer for where standard output goes."""
    if quiet:
        yield QuietProgress()
        return
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        with LiveProgress(console, verbose=verbose).shown() as live:
            yield live
    else:
        yield PlainProgress(verbose=verbose)
