"""A second look at what stands out: the trials that are in question, run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from results.history.regress import Regress, with_rerun
from results.records import CONFIRMING
from results.store import Store
from workloads.errors import InvalidInput

if TYPE_CHECKING:
    from bench.suite_model import Suite


def confirm(
    store_directory: Path, found: Regress, *, quiet: bool, workload_directories: Sequence[Path] = ()
) -> Regress:
    """Run the workloads and arms again that stand out, and judge them by both runs.

    Args:
        store_directory: of the store; the run is added to it, with a suite named after the other's.
        found: what stands out.
        quiet: whether to show no progress.
        workload_directories: of workloads of the suite that are not shipped.

    Raises:
        InvalidInput: the suite would measure something else by now.
        KeyboardInterrupt: the second run was interrupted, so that nothing is confirmed.
    """
    from bench.measure import measure
    from bench.plan import make_plan
    from bench.privileges import check_privileges
    from bench.progress import open_progress

    path = Store(store_directory).run_directory(found.run.id) / "suite.yaml"
    suite = questionable(path, found, workload_directories)
    plan = make_plan(suite)
    check_privileges(suite, plan, [str(path)])
    result = measure(suite, plan, store_directory, partial(open_progress, quiet=quiet, verbose=False))
    if result.interrupted:
        raise KeyboardInterrupt
    with Store(store_directory).open(create=False) as store:
        return with_rerun(found, store, store.resolve(result.run))


def questionable(path: Path, found: Regress, workload_directories: Sequence[Path] = ()) -> Suite:
    """The suite of the run, with the workloads and arms only that stand out, and the baseline.

    Args:
        path: of the run's ``suite.yaml``.
        found: what stands out.
        workload_directories: of workloads of the suite that are not shipped.

    Raises:
        InvalidInput: the run's suite cannot be loaded any more, or would measure something else.
    """
    from bench.suite import load_suite
    from workloads.loader import open_catalogue

    asked = [each.key for each in found.findings if each.new]
    load = partial(load_suite, str(path), catalogue=open_catalogue(workload_directories))
    if load().hash != found.run.suite_hash:
        raise InvalidInput(
            f"run {found.run.id} cannot be confirmed: a workload's definition, or an option's default, has changed "
            "since, so that its suite would measure something else"
        )
    suite = load(arms=sorted({key.arm for key in asked}), workloads=sorted({key.workload for key in asked}))
    return replace(suite, name=f"{suite.name}{CONFIRMING}")
