"""The runner: carries out a plan, trial by trial, and stores each one before the next begins."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench import __version__, fairness
from bench.host import collect_facts, fingerprint
from bench.trial import OpenArm, TrialContext, carry_out
from results.records import RunRecord, new_run_id

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.progress import RunObserver
    from bench.suite import Suite
    from results.store import Store
    from runtimes.base import Image, Runtime
    from runtimes.facilities import Facilities


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


@dataclass(slots=True)
class _Fairness:
    """What the arms saw from inside, written to ``host.json`` as it becomes known."""

    path: Path
    facts: Mapping[str, str]
    observed: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, arm: str, seen: dict[str, str]) -> None:
        self.observed[arm] = seen
        self.write()

    def write(self) -> None:
        document = {
            "fingerprint": fingerprint(self.facts),
            "facts": dict(self.facts),
            "fairness": fairness.differences(self.observed),
        }
        self.path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def host_name_of(run: str) -> str:
    """The name by which a run's things on the host are known: short, since socket paths must be."""
    return "bench-" + hashlib.sha256(run.encode()).hexdigest()[:8]


def _open_arms(stack: ExitStack, suite: Suite, facilities: Facilities, observer: RunObserver) -> dict[str, OpenArm]:
    from runtimes.registry import load_runtime

    arms: dict[str, OpenArm] = {}
    for arm in suite.arms:
        observer.preparing(f"opening arm {arm.name} ({arm.runtime})")
        runtime: Runtime = stack.enter_context(load_runtime(arm.runtime).open(facilities, arm.options))
        arms[arm.name] = OpenArm(arm=arm, runtime=runtime)
    return arms


def execute(suite: Suite, plan: Plan, image: Image, store: Store, observer: RunObserver) -> RunResult:
    """Carry out a plan. An interruption ends it in order: what was measured stays and is marked partial.

    Raises:
        HostError: an arm cannot run here; then nothing was started and nothing stored.
        StoreError: a trial could not be stored.
    """
    from runtimes.facilities import open_facilities, reclaim
    from workloads.image import hold_image

    reclaim()
    run = new_run_id()
    with ExitStack() as stack:
        stack.enter_context(hold_image(image.id))
        observer.preparing("making the run's bridge, mounts and launcher")
        facilities = stack.enter_context(open_facilities(host_name_of(run), image))
        arms = _open_arms(stack, suite, facilities, observer)
        facts = collect_facts()
        store.add_run(_record(run, suite, plan, image, fingerprint(facts)))
        directory = store.run_directory(run)
        (directory / "suite.yaml").write_text(suite.as_yaml())
        manifest = _Fairness(directory / "host.json", facts)
        manifest.write()
        observer.planned(run, plan)
        with _finished(store, RunResult(run)) as result:
            context = TrialContext(run=run, directory=directory, facilities=facilities, image=image)
            _carry_out_plan(suite, plan, arms, context, store, observer, manifest, result)
    return result


def _record(run: str, suite: Suite, plan: Plan, image: Image, host: str) -> RunRecord:
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
        arms=tuple(arm.name for arm in suite.arms),
    )


@contextmanager
def _finished(store: Store, result: RunResult) -> Iterator[RunResult]:
    """Whatever ends a run, the store says how it ended."""
    try:
        yield result
    except KeyboardInterrupt:
        result.interrupted = True
        store.finish_run(result.run, "partial", _now(), "interrupted")
    except BaseException as error:
        store.finish_run(result.run, "failed", _now(), f"{type(error).__name__}: {error}")
        raise


def _carry_out_plan(
    suite: Suite,
    plan: Plan,
    arms: Mapping[str, OpenArm],
    context: TrialContext,
    store: Store,
    observer: RunObserver,
    manifest: _Fairness,
    result: RunResult,
) -> None:
    began = time.monotonic()
    budget = suite.sampling.time_budget
    block = 1
    for trial in plan.trials:
        if trial.block != block:
            used = time.monotonic() - began
            if budget is not None and used > budget:
                reason = f"time budget of {budget:.0f} s used up after block {block} ({used:.0f} s)"
                store.finish_run(result.run, "complete", _now(), reason)
                return
            block = trial.block
        observer.trial_started(trial)
        trial_began = time.monotonic()
        outcome = carry_out(trial, arms[trial.arm.name], context, observe=trial.arm.name not in manifest.observed)
        store.add_trial(outcome.record, outcome.samples)
        if outcome.observed:
            manifest.add(trial.arm.name, outcome.observed)
        result.failed += outcome.record.status == "failed"
        observer.trial_finished(trial, outcome.record, time.monotonic() - trial_began)
    store.finish_run(result.run, "complete", _now(), f"all {plan.blocks} blocks done")
