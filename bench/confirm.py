"""A second look at what stands out: the trials that are in question, run again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from results.history.regress import Regress, with_rerun
from results.records import CONFIRMING
from results.store import Store

if TYPE_CHECKING:
    from bench.suite_model import Suite


def confirm(store_directory: Path, found: Regress, *, quiet: bool) -> Regress:
    """Run the workloads and arms again that stand out, and judge them by both runs.

    Args:
        store_directory: of the store; the run is added to it, with a suite named after the other's.
        found: what stands out.
        quiet: whether to show no progress.

    Raises:
        InvalidInput: the suite would measure something else by now.
        KeyboardInterrupt: the second run was interrupted, so that nothing is confirmed.
    """
    from bench.measure import measure
    from bench.plan import make_plan
    from bench.privileges import check_privileges
    from bench.progress import open_progress

    suite = questionable(Store(store_directory), found)
    plan = make_plan(suite)
    check_privileges(suite, plan, [])
    result = measure(suite, plan, store_directory, partial(open_progress, quiet=quiet, verbose=False))
    if result.interrupted:
        raise KeyboardInterrupt
    with Store(store_directory).open(create=False) as store:
        return with_rerun(found, store, store.resolve(result.run))


def questionable(store: Store, found: Regress) -> Suite:
    """The suite of the run, with the workloads and arms only that stand out, and the baseline.

    Raises:
        InvalidInput: the run's suite cannot be loaded any more.
    """
    from bench.suite import load_suite

    asked = [each.key for each in found.findings if each.new]
    suite = load_suite(
        str(store.run_directory(found.run.id) / "suite.yaml"),
        arms=sorted({key.arm for key in asked}),
        workloads=sorted({key.workload for key in asked}),
    )
    return replace(suite, name=f"{suite.name}{CONFIRMING}")
