"""Named runs for others to be held against."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING

from results.errors import StoreError
from results.history.series import JOINABLE, Joinable

if TYPE_CHECKING:
    from results.records import RunRecord
    from results.store import Store

_WORDS = {"suite_hash": "version of the suite", "image": "image", "host_fingerprint": "host"}
_OPTIONS = {"suite_hash": "suite", "image": "image", "host_fingerprint": "host"}


def named_run(store: Store, name: str, run: RunRecord, joined: Collection[Joinable] = ()) -> RunRecord:
    """The run with this name, to hold ``run`` against.

    Args:
        store: open.
        name: of the baseline.
        run: what it is for.
        joined: in what the two may differ.

    Raises:
        StoreError: there is no such name, or it is the run itself, or the two are not of the same thing.
    """
    baselines = {each.name: each for each in store.baselines()}
    if name not in baselines:
        near = difflib.get_close_matches(name, baselines, n=1)
        there = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(baselines) or 'none yet'}"
        raise StoreError(f"no baseline {name!r} in {store.directory}; {there}; `bench baseline set NAME RUN` names one")
    theirs = store.resolve(baselines[name].run)
    if theirs.id == run.id:
        raise StoreError(
            f"baseline {name!r} is run {run.id} itself: name a later run, or give the name to an earlier one by "
            "`bench baseline set NAME RUN`"
        )
    if theirs.suite != run.suite:
        raise StoreError(f"baseline {name!r} is a run of suite {theirs.suite}, and {run.id} one of {run.suite}")
    unlike = [each for each in JOINABLE if each not in joined and getattr(theirs, each) != getattr(run, each)]
    if unlike:
        what = " and ".join(f"another {_WORDS[each]}" for each in unlike)
        how = " ".join(f"--join {_OPTIONS[each]}" for each in unlike)
        raise StoreError(f"baseline {name!r} (run {theirs.id}) is of {what} than {run.id}: compare them with {how}")
    return theirs
