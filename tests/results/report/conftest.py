"""A made-up run in a real store, and a real browser to open its report in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_run import HOST, MadeRun
from report_browser import open_browser
from selenium.webdriver.remote.webdriver import WebDriver

from results.records import RunRecord
from results.report import Report, write_report
from results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store").open(create=True) as opened:
        yield opened


@pytest.fixture
def make_run(store: Store) -> Callable[..., RunRecord]:
    """Write a run with the given properties into the store; by default a whole one with an emulated guest."""
    return lambda **properties: MadeRun(**{"host": HOST, **properties}).write(store)


@pytest.fixture(scope="session")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    """The report of a run with the given properties, as files: drawing one takes seconds, so each is written once."""
    reports: dict[str, Report] = {}

    def report(**properties: object) -> Report:
        key = repr(sorted(properties.items()))
        if key not in reports:
            directory = tmp_path_factory.mktemp("report")
            with Store(directory / "store").open(create=True) as store:
                run = MadeRun(**{"host": HOST, **properties}).write(store)  # type: ignore[arg-type]
                reports[key] = write_report(store, run, directory / "report")
        return reports[key]

    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[WebDriver]:
    with open_browser() as driver:
        yield driver
