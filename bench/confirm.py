"""A second look at what stands out: the trials that are in question, run again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.apart import MEASURING_ERRORS, Errand, measure_apart
from results.history.regress import Regress, with_rerun
from results.store import Store


def confirm(
    store_directory: Path, found: Regress, *, quiet: bool, workload_directories: Sequence[Path] = ()
) -> Regress:
    """Run the workloads and arms again that stand out, and judge them by both runs.

    Where that cannot be done, it is said, on standard error and in the notes, and the verdicts stay as they are.

    Args:
        store_directory: of the store; the run is added to it, with a suite named after the other's.
        found: what stands out.
        quiet: whether to show no progress.
        workload_directories: of workloads of the suite that are not shipped.

    Raises:
        KeyboardInterrupt: the second run was interrupted, so that nothing is confirmed.
    """
    asked = [each.key for each in found.findings if each.new]
    errand = Errand(
        store=str(store_directory),
        directories=tuple(map(str, workload_directories)),
        quiet=quiet,
        confirms=found.run.id,
        arms=tuple(sorted({key.arm for key in asked})),
        workloads=tuple(sorted({key.workload for key in asked})),
    )
    try:
        result = measure_apart(errand)
        if result.interrupted:
            raise KeyboardInterrupt
        with Store(store_directory).open(create=False) as store:
            return with_rerun(found, store, store.resolve(result.run))
    except MEASURING_ERRORS as error:
        print(f"bench: what stands out could not be run again: {error}", file=sys.stderr)
        note = f"could not be run again: {' '.join(str(error).split())}"
        noted = (replace(each, notes=(*each.notes, note)) if each.new else each for each in found.findings)
        return replace(found, findings=tuple(noted))
