"""The page of the catalogue."""

from __future__ import annotations

from pathlib import Path

from workloads.loader import load_catalogue
from workloads.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "workloads.md"


def sections() -> dict[str, str]:
    parts = PAGE.read_text().split("\n## ")
    return {part.partition("\n")[0]: part for part in parts[1:]}


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == reference(load_catalogue()), "run 'make docs'"


def test_every_workload_is_told_in_full() -> None:
    found = sections()
    catalogue = load_catalogue()
    assert list(found) == list(catalogue)
    for name, workload in catalogue.items():
        assert workload.description in found[name]
        assert workload.source in found[name]
        for word in (*workload.parameters, *workload.metrics, *workload.packages, *workload.tags):
            assert f"`{word}`" in found[name], (name, word)


def test_every_tag_has_its_workloads() -> None:
    table = PAGE.read_text().partition("\n## ")[0]
    for name, workload in load_catalogue().items():
        for tag in workload.tags:
            (row,) = (line for line in table.splitlines() if line.startswith(f"| `{tag}` |"))
            assert f"[{name}](#{name})" in row


def test_no_row_of_a_table_is_broken_by_what_is_in_it() -> None:
    """Rows of one table have the same number of cells."""
    tables = [block.splitlines() for block in PAGE.read_text().split("\n\n") if block.startswith("|")]
    assert len(tables) > len(load_catalogue())
    for rows in tables:
        assert len({row.count("|") for row in rows}) == 1, rows[0]
