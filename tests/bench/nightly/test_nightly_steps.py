"""A night over a store with a history: the real steps, with a run that is made up and a host that is quiet."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from site_history import add_night, without_waiting_for_the_disk

from bench.finding import Check
from bench.nightly.night import carry_out
from bench.nightly.steps import Steps, Wishes
from bench.runner import RunResult
from bench.suite import load_suite
from results.store import Store

NIGHTS = 24
"""So many are in the store; from the twentieth on the container is slower by a tenth (``site_history.STEP``)."""

SUITE = """
name: nightly
baseline: native
limits: {cpus: 1, memory: 64M}
arms: {native: {runtime: native}, container: {runtime: container}}
workloads: [null]
"""


@pytest.fixture
def night(tmp_path, monkeypatch):
    """Carries out a night; ``findings`` are the doctor's."""
    monkeypatch.setattr("bench.nightly.steps.examine_apart", lambda: night.findings)
    (tmp_path / "suite.yaml").write_text(SUITE)
    store_directory = tmp_path / "store"

    class Night:
        findings: list[Check] = []
        directory = tmp_path
        store = store_directory

        def fill(self, nights):
            with Store(store_directory).open(create=True) as store:
                without_waiting_for_the_disk(store)
                for each in range(nights):
                    add_night(store, each)

        def measure(self):
            """Tonight: the next night of the history."""
            with Store(store_directory).open(create=True) as store:
                without_waiting_for_the_disk(store)
                return RunResult(add_night(store, len(store.runs())))

        def carry_out(self, measure=None, **wishes):
            wished = {
                "site": None, "keep": None, "baseline": None, "confirm": False, "fail_inconclusive": False,
                "allow_noisy": False, **wishes,
            }  # fmt: skip
            suite = load_suite(str(tmp_path / "suite.yaml"))
            with ExitStack() as held:
                steps = Steps(Wishes(suite, store_directory, **wished), measure or self.measure, held)
                return carry_out(steps.in_order())

    night = Night()
    return night
