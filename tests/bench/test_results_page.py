"""What docs/results.md says is so, is all there is, and works as written."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from stored_runs import RunBuilder, run_record
from whole_runs import fill_all

from bench.cli import run_command_line
from results.bundle.form import VERSION
from results.database import SCHEMA_VERSION
from results.frame import COLUMNS
from results.query import open_for_queries
from results.store import Store

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("results")
    with Store(directory / "bench-results").open(create=True) as store:
        fill_all(store)
        for number, name in enumerate(("20261126-114700-cccc", "20261127-114700-dddd")):
            made = RunBuilder(store, run_record(id=name, started=f"2026-11-{26 + number}T11:47:00+00:00"))
            for block in range(1, 7):
                for place, arm in enumerate(("native", "container", "vm")):
                    made.trial(block, arm, startup_time=[1.0 + place + block / 100], params={"size": "4k"})
            (store.run_directory(name) / "suite.yaml").write_text("arms: {}\n")
            store.finish_run(name, "complete", "2026-11-28T00:00:00+00:00", "6 blocks")
    return directory


def described(heading: str) -> dict[str, list[str]]:
    """The names in the first column of each table of a section, by the bold name before it."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    parts = re.split(r"^\*\*`(\w+)`\*\*", section, flags=re.MULTILINE)[1:]
    return {
        name: [
            column for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for column in re.findall(r"`(\w+)`", row)
        ]
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_it_names_every_table_and_every_column_with_its_type(directory: Path) -> None:
    with closing(sqlite3.connect(directory / "bench-results" / "bench.sqlite")) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE TABLE%'")]
        there = {table: {row[1]: row[2] for row in database.execute(f"PRAGMA table_info({table})")} for table in tables}
    said = described("Tables")
    assert {table: sorted(columns) for table, columns in said.items()} == {
        table: sorted(columns) for table, columns in there.items()
    }
    for row in re.findall(r"^\| (`[^|]*) \| ([A-Z, ]+) \| ", PAGE, re.MULTILINE):
        names, kinds = re.findall(r"`(\w+)`", row[0]), row[1].split(", ")
        kinds = kinds * len(names) if len(kinds) == 1 else kinds
        for name, kind in zip(names, kinds, strict=True):
            assert any(columns.get(name) == kind for columns in there.values()), (name, kind)


def test_it_tells_the_present_versions() -> None:
    assert f"`PRAGMA user_version`, at present {SCHEMA_VERSION})" in PAGE
    assert f"bundle (at present {VERSION})" in PAGE


def test_it_names_every_view_with_its_columns(directory: Path) -> None:
    with open_for_queries(directory / "bench-results" / "bench.sqlite") as asked:
        tables = asked.tables()
    assert tables["samples"] == [*COLUMNS, "is_primary"]
    for view in ("trial_values", "points"):
        (row,) = re.findall(rf"^\| `{view}` \|.*$", PAGE, re.MULTILINE)
        assert re.findall(r"`(\w+)`", row)[1:] == tables[view]
    assert f"`{','.join(COLUMNS)}`" in PAGE


def test_it_names_every_key_of_the_verbs(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = PAGE.split("\n## JSON of the verbs\n")[1].split("\n## ")[0]
    shown, compared = section.split("`bench compare")
    for verb, text in (("show", shown), ("compare", compared)):
        assert run_command_line([verb, "--format", "json", "--store", str(directory / "bench-results")]) == 0
        found = json.loads(capsys.readouterr().out)
        keys = set(found) | set(found["summaries"][0]) if verb == "show" else set(found[0])
        assert keys <= set(re.findall(r"`(\w+)`", text)), verb
        rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(
            found if verb == "show" else found[0]
        )


def test_it_names_every_member_of_a_bundle(directory: Path, tmp_path: Path) -> None:
    arguments = ["export", "--bundle", "--all", "-o", str(tmp_path / "all.tar")]
    assert run_command_line([*arguments, "--store", str(directory / "bench-results")]) == 0
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = {re.sub(r"^runs/[^/]+/(files/)?.*?([^/]*)$", r"runs/<id>/\1\2", name) for name in archive.getnames()}
    names = {re.sub(r"files/.*", "files/…", name) for name in names}
    section = PAGE.split("\n## Bundles\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert names == {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_its_commands_and_code_work_as_written(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.delenv("BENCH_STORE", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    found: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "docs/results.md", "exec"), found)
    assert list(found["medians"].columns) == ["container", "native", "vm"]  # type: ignore[attr-defined]
    assert len(found["samples"]) == 18  # type: ignore[arg-type]
    assert found["nights"].shape == found["points"].shape == (2, 3)  # type: ignore[attr-defined]
    assert (found["nights"].to_numpy() == found["points"].to_numpy()).all()  # type: ignore[attr-defined]
    for line in re.findall(r"^    (bench query .*)$", PAGE, re.MULTILINE):
        question = re.findall(r'"(.*)"', line)[0]
        assert run_command_line(["query", question]) == 0
        assert capsys.readouterr().out
