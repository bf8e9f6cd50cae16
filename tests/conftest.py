"""What holds for every test: which part of them it belongs to, and how long a property's example may take."""

from __future__ import annotations

import pytest
from hypothesis import settings

REAL = ("host", "guest", "lab")
"""Markers of tests that use the machine itself, where others at the same time would be seen and felt."""

# The first example of a test may import a library, and any of them meet a busy host.
settings.register_profile("busy host", deadline=None)
settings.load_profile("busy host")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        choices=("pure", "real"),
        help=f"only tests with none of the markers {', '.join(REAL)}, or only those with one",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part = config.getoption("part")
    if part is None:
        return
    chosen, left = [], []
    for item in items:
        real = any(item.get_closest_marker(marker) for marker in REAL)
        (chosen if real == (part == "real") else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = chosen
