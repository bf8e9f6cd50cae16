"""A store with a history, and a browser to look at its site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from report_browser import open_browser
from selenium.webdriver.remote.webdriver import WebDriver
from site_history import NIGHTS, add_night, without_waiting_for_the_disk

from results.site import write_site
from results.store import Store


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's directory; not to be changed."""
    directory = tmp_path_factory.mktemp("history") / "store"
    with Store(directory).open(create=True) as store:
        without_waiting_for_the_disk(store)
        for night in range(NIGHTS):
            add_night(store, night)
        add_night(store, NIGHTS, suite="other & more", status="partial", host_fingerprint="beef", stop_reason="broken")
    return directory


@pytest.fixture(scope="session")
def site(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of that store."""
    directory = tmp_path_factory.mktemp("site") / "site"
    with Store(history).open(create=False) as store:
        write_site(store, directory)
    return directory


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Store]:
    """An open store with two nights, to be changed."""
    with Store(tmp_path / "store").open(create=True) as store:
        without_waiting_for_the_disk(store)
        add_night(store, 0)
        add_night(store, 1)
        yield store


@pytest.fixture(scope="session")
def browser() -> Iterator[WebDriver]:
    with open_browser() as driver:
        yield driver
