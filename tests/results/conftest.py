from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from stored_runs import RunBuilder, run_record

from results.store import Store

# The first example of a test may import a library, and any of them meet a busy host.
settings.register_profile("busy host", deadline=None)
settings.load_profile("busy host")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store").open(create=True) as opened:
        yield opened


@pytest.fixture
def run(store: Store) -> RunBuilder:
    return RunBuilder(store, run_record())
