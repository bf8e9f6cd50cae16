"""The comparisons of a stored run, with all that its store knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.compare import Comparison, compare_run
from results.noise import disturbed_blocks
from results.resources import marked

if TYPE_CHECKING:
    import pandas as pd

    from results.records import RunRecord
    from results.store import Store


def comparisons_of(store: Store, run: RunRecord, frame: pd.DataFrame) -> list[Comparison]:
    """Every arm of a run against its baseline, in the order of :func:`results.compare.compare`.

    By the run's own practical threshold, and with warnings where blocks were disturbed or arms had other resources.

    Args:
        store: open.
        run: of the store.
        frame: the run's, from :meth:`results.store.Store.frame`.

    Raises:
        StoreError: the store cannot be read.
    """
    if frame.empty:
        return []
    compared = compare_run(frame, run, disturbed_blocks(store.noise(run.id)))
    return marked(compared, store.trials(run.id), run.baseline)
