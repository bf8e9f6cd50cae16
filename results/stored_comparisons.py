"""The comparisons of a stored run, with all that its store knows of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from results.compare import Comparison, compare_run
from results.errors import SelectionError
from results.noise import disturbed_blocks
from results.resources import marked
from results.selection import nearest

if TYPE_CHECKING:
    import pandas as pd

    from results.records import RunRecord
    from results.store import Store


def comparisons_of(store: Store, run: RunRecord, frame: pd.DataFrame, baseline: str | None = None) -> list[Comparison]:
    """Every arm of a run against its baseline, or another of its arms, in the order of :func:`results.compare.compare`.

    By the run's own practical threshold, and with warnings where blocks were disturbed or arms had other resources.

    Args:
        store: open.
        run: of the store.
        frame: the run's, from :meth:`results.store.Store.frame`.
        baseline: the arm to divide by; None for the run's own baseline.

    Raises:
        SelectionError: the run has no such arm.
        StoreError: the store cannot be read.
    """
    if frame.empty:
        return []
    chosen = run.baseline if baseline is None else baseline
    if chosen not in run.arms:
        raise SelectionError(f"run {run.id} has no arm {chosen!r}; {nearest(chosen, run.arms)}")
    compared = compare_run(frame, replace(run, baseline=chosen), disturbed_blocks(store.noise(run.id)))
    return marked(compared, store.trials(run.id), chosen)
