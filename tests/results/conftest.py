from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_runs import RunBuilder, run_record

from results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store").open(create=True) as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> RunBuilder:
    return RunBuilder(store, run_record())
