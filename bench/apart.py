"""A run that is carried out by a process of its own, for a caller that has more to do than that run.

An ordinary user's run moves its process into a user namespace for good, and can only do so while the process has one
thread (:mod:`bench.measure`). Who has judged runs has numpy's threads, and who goes on afterwards wants to be outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import RunError
from bench.interruption import one_interruption
from results.errors import StoreError
from runtimes.base import HostError, InstanceError
from runtimes.watchdog import killed_after
from workloads.errors import InvalidInput
from workloads.image.errors import ImageError

if TYPE_CHECKING:
    from bench.runner import RunResult

MEASURING_ERRORS = (InvalidInput, HostError, StoreError, RunError, InstanceError, ImageError)
"""What a run can end with that a user can mend."""

_END_PATIENCE = 240.0
"""Seconds for a run to end in order when it was asked to; a service manager gives the night five minutes."""

_INTERRUPTED = 128 + signal.SIGINT

_MAIN = "import sys; from bench.apart import main; main(*sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Errand:
    """What to measure.

    Attributes:
        store: the store's directory.
        directories: of workloads that are not shipped.
        quiet: whether to show no progress.
        suite: its name or file; empty where a run is confirmed.
        confirms: id of the run some of which is carried out again to confirm it; empty for a run of its own.
        arms: where a run is confirmed, the arms to run besides the baseline.
        workloads: where a run is confirmed, those to run.
    """

    store: str
    directories: tuple[str, ...]
    quiet: bool
    suite: str = ""
    confirms: str = ""
    arms: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()


def measure_apart(errand: Errand) -> RunResult:
    """Have a run carried out. SIGINT, SIGTERM and SIGHUP end it in order, as they end a run in this process.

    Raises:
        KeyboardInterrupt: the end was asked for before there was a run.
        RunError: the process ended and told of no run; or as below.
        InvalidInput, HostError, StoreError, InstanceError, ImageError: as :func:`bench.measure.measure`.
    """
    from bench.runner import RunResult

    told, asked_to_end = bytearray(), ""
    with one_interruption(), _process(errand) as (process, answers):
        try:
            _read(answers, told)
            process.wait()
        except KeyboardInterrupt as interruption:
            asked_to_end = str(interruption)
            process.send_signal(signal.Signals[asked_to_end])
            with killed_after(_END_PATIENCE, process.kill):
                _read(answers, told)
                process.wait()
    answer = json.loads(told) if told else {}
    if "run" in answer:
        result = RunResult(**answer)
        result.interrupted = result.interrupted or bool(asked_to_end)
        return result
    if asked_to_end or process.returncode == _INTERRUPTED:
        raise KeyboardInterrupt(asked_to_end)
    if "error" in answer:
        raise {kind.__name__: kind for kind in MEASURING_ERRORS}[answer["error"]](answer["text"])
    raise RunError(
        f"the process that was to measure ended with exit status {process.returncode} and told of no run; what it said "
        "on standard error shows why"
    )


@contextmanager
def _process(errand: Errand) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process at work, and where it answers. It is in a session of its own, so that Ctrl-C reaches it once."""
    answers, answer = os.pipe()
    try:
        command = [sys.executable, "-P", "-c", _MAIN, str(answer), json.dumps(asdict(errand))]
        try:
            process = subprocess.Popen(command, pass_fds=[answer], stdin=subprocess.DEVNULL, start_new_session=True)
        finally:
            os.close(answer)
        with process:
            yield process, answers
    finally:
        os.close(answers)


def _read(descriptor: int, told: bytearray) -> None:
    """All that is written, also if it is gone on with after an interruption."""
    while chunk := os.read(descriptor, 4096):
        told += chunk


def main(answer: str, errand: str) -> None:
    """The process: carry out what the JSON says, and write what came of it to the file descriptor ``answer``."""
    from runtimes.syscalls import be_told_of_parents_end

    os.set_inheritable(int(answer), False)
    with one_interruption() as interruption:
        be_told_of_parents_end(signal.SIGTERM)
        try:
            told = asdict(_carried_out(Errand(**json.loads(errand))))
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
        except MEASURING_ERRORS as error:
            kind = next(each for each in MEASURING_ERRORS if isinstance(error, each))
            told = {"error": kind.__name__, "text": str(error)}
        interruption.keep_out()
        with os.fdopen(int(answer), "w") as stream:
            stream.write(json.dumps(told))


def _carried_out(errand: Errand) -> RunResult:
    from bench.progress import open_progress
    from workloads.loader import open_catalogue

    progress = partial(open_progress, quiet=errand.quiet, verbose=False)
    catalogue = open_catalogue(map(Path, errand.directories))
    if errand.confirms:
        from bench.rerun import measure_part_again

        store = Path(errand.store)
        return measure_part_again(store, errand.confirms, errand.arms, errand.workloads, catalogue, progress)

    from bench.measure import measure
    from bench.plan import make_plan
    from bench.privileges import check_privileges
    from bench.suite import load_suite

    suite = load_suite(errand.suite, catalogue=catalogue)
    plan = make_plan(suite)
    check_privileges(suite, plan, [errand.suite, *(f"--workloads={directory}" for directory in errand.directories)])
    return measure(suite, plan, Path(errand.store), progress)
