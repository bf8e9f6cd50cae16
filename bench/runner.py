"""The runner: carries out a plan, trial by trial, and stores each one before the next begins."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import __version__
from bench.errors import RunError
from bench.host import host_values, namespaces
from bench.images import as_runtime_image
from bench.manifest import RunManifest
from bench.neighbours import check_placements
from bench.noise.probe import NoiseProbe, open_probe
from bench.placing import expected_placer, measured_cpus, placement_data
from bench.stopping import after_block, looks
from bench.trial import carry_out
from bench.trials.attempt import OpenArm, TrialContext
from results.errors import StoreError
from results.precision import precisions
from results.records import RunRecord, new_run_id
from runtimes.base import HostError, UnavailableError

if TYPE_CHECKING:
    from bench.interruption import Interruption
    from bench.plan import Plan, Trial
    from bench.progress import RunObserver
    from bench.suite_model import Suite
    from results.store import Store
    from runtimes.base import Runtime
    from runtimes.facilities import Facilities
    from workloads.image import BuiltImage


@dataclass(slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        run: its id.
        failed: how many trials failed.
        interrupted: whether a person or the system stopped it.
    """

    run: str
    failed: int = 0
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class _OpenRun:
    """What carrying out a plan needs, all of it open."""

    arms: Mapping[str, OpenArm]
    context: TrialContext
    store: Store
    observer: RunObserver
    manifest: RunManifest
    interruption: Interruption
    probe: NoiseProbe


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def host_name_of(run: str) -> str:
    """The name by which a run's things on the host are known: short, since socket paths must be."""
    return "bench-" + hashlib.sha256(run.encode()).hexdigest()[:8]


def check_arms(suite: Suite) -> dict[str, str]:
    """Find out, before an image is built, whether this host can give what the arms ask for.

    Returns:
        Arms whose runtime this host does not have, and why.

    Raises:
        HostError: it cannot; the message names the place of the limits in the suite, or the arm.
    """
    unavailable: dict[str, str] = {}
    from runtimes.facilities import check_host
    from runtimes.registry import load_runtime

    for arm in suite.arms:
        try:
            check_host([arm.limits])
        except HostError as error:
            raise HostError(f"{suite.place(arm.name)}: {error}") from error
        try:
            load_runtime(arm.runtime).check(arm.options, arm.limits)
        except UnavailableError as error:
            unavailable[arm.name] = str(error)
        except HostError as error:
            raise HostError(f"arm {arm.name}: {error}") from error
    check_placements(suite, expected_placer(suite.arms))
    return unavailable


def check_scratch_space(plan: Plan) -> None:
    """Find out, before an image is built, whether there is room for the largest scratch disk.

    Raises:
        HostError: there is not; the message names the workload.
    """
    from runtimes.facilities import scratch_parent

    largest = max(plan.cases, key=lambda case: case.scratch_in_all or 0)
    needed, parent = largest.scratch_in_all, scratch_parent()
    if needed is None or not parent.is_dir():
        return
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise HostError(
            f"{largest.label}: its scratch disk takes {needed >> 20} MiB, and {parent} has {free >> 20} free; "
            "make room, or set BENCH_SCRATCH to a directory on another disk"
        )


def execute(
    suite: Suite, plan: Plan, image: BuiltImage, store: Store, observer: RunObserver, interruption: Interruption
) -> RunResult:
    """Carry out a plan. An interruption ends it in order: what was measured stays and is marked partial.

    Raises:
        HostError: an arm cannot run here; then nothing was started and nothing stored.
        RunError: something failed that concerns the whole run; what was measured until then stays.
    """
    from runtimes.facilities import open_facilities, reclaim
    from workloads.image import hold_image, hold_kernels

    result = RunResult(new_run_id())
    outside = namespaces()
    began = False
    try:
        reclaim()
        with ExitStack() as stack:
            stack.enter_context(hold_image(image.id))
            stack.enter_context(hold_kernels(image.kernels.values()))
            observer.preparing("making the run's bridge, mounts and launcher")
            limits = [arm.limits for arm in suite.arms]
            facilities = stack.enter_context(open_facilities(host_name_of(result.run), as_runtime_image(image), limits))
            stack.enter_context(_kept_to(facilities.harness_cpus))
            arms = _open_arms(stack, suite, facilities, observer)
            manifest = RunManifest()
            store.add_run(_record(result.run, suite, plan, image, manifest.fingerprint))
            began = True
            directory = store.run_directory(result.run)
            host = host_values(outside, namespaces())
            context = TrialContext(result.run, directory, facilities, facilities.image, host, arms)
            with _ended(store, result):
                manifest.open(directory, suite, image, placement_data(facilities.placer, suite.arms), plan.left_out)
                observer.planned(result.run, plan)
                probe = open_probe(facilities, measured_cpus(facilities.placer, suite.arms))
                opened = _OpenRun(arms, context, store, observer, manifest, interruption, probe)
                _carry_out_plan(plan, opened, result)
            interruption.keep_out()
    except (HostError, StoreError, OSError) as error:
        if not began:
            interruption.check()
            raise
        raise RunError(f"run {result.run} ended early: {error}") from error
    return result


def _open_arms(stack: ExitStack, suite: Suite, facilities: Facilities, observer: RunObserver) -> dict[str, OpenArm]:
    from runtimes.registry import load_runtime

    arms: dict[str, OpenArm] = {}
    for arm in suite.arms:
        observer.preparing(f"opening arm {arm.name} ({arm.runtime})")
        runtime: Runtime = stack.enter_context(load_runtime(arm.runtime).open(facilities, arm.options))
        arms[arm.name] = OpenArm(arm=arm, runtime=runtime)
    return arms


@contextmanager
def _kept_to(cpus: tuple[int, ...]) -> Iterator[None]:
    """Keep every thread of the harness on these CPUs, away from those that are measured as far as there are others."""

    def threads() -> list[int]:
        return [int(entry.name) for entry in Path("/proc/self/task").iterdir()]

    before = os.sched_getaffinity(0)
    _set_affinity(threads(), set(cpus) & before or before)
    try:
        yield
    finally:
        _set_affinity(threads(), before)


def _set_affinity(threads: list[int], cpus: set[int]) -> None:
    for thread in threads:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(thread, cpus)


def _record(run: str, suite: Suite, plan: Plan, image: BuiltImage, host: str) -> RunRecord:
    return RunRecord(
        id=run,
        suite=suite.name,
        suite_hash=suite.hash,
        baseline=suite.baseline,
        seed=plan.seed,
        image=image.id,
        host_fingerprint=host,
        started=_now(),
        ended=None,
        status="running",
        stop_reason=None,
        version=__version__,
        threshold=suite.sampling.threshold,
        ci_width=suite.sampling.ci_width,
        arms=tuple(arm.name for arm in suite.arms),
    )


@contextmanager
def _ended(store: Store, result: RunResult) -> Iterator[None]:
    """Whatever ends a run early, the store says how it ended."""
    try:
        yield
    except KeyboardInterrupt:
        result.interrupted = True
        store.finish_run(result.run, "partial", _now(), "interrupted")
    except BaseException as error:
        with contextlib.suppress(StoreError):  # it may be what failed
            store.finish_run(result.run, "failed", _now(), f"{type(error).__name__}: {error}")
        raise


def _carry_out_plan(plan: Plan, run: _OpenRun, result: RunResult) -> None:
    began = time.monotonic()
    run.store.add_noise(result.run, run.probe.take(0))
    for block in itertools.count(1):
        _carry_out_block(plan.block(block), run, result)
        run.store.add_noise(result.run, run.probe.take(block))
        looked = looks(plan.sampling, block)
        known = precisions(run.store.frame(result.run), plan.baseline) if looked else ()
        outlook = after_block(plan.sampling, block, time.monotonic() - began, known)
        run.observer.block_finished(block, outlook)
        if outlook.stop is not None:
            break
    run.manifest.close()
    run.store.finish_run(result.run, "complete", _now(), outlook.stop)


def _carry_out_block(trials: Sequence[Trial], run: _OpenRun, result: RunResult) -> None:
    for trial in trials:
        run.observer.trial_started(trial)
        trial_began = time.monotonic()
        outcome = carry_out(trial, run.arms[trial.arm.name], run.context, observe=run.manifest.wants(trial))
        run.interruption.check()
        run.store.add_trial(outcome.record, outcome.samples)
        if outcome.observed:
            run.manifest.observed(trial, outcome.observed)
        result.failed += outcome.record.status == "failed"
        run.observer.trial_finished(trial, outcome.record, time.monotonic() - trial_began)
