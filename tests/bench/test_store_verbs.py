"""What the command line does with a store as a whole: remove runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_runs import RunBuilder, run_record

from bench.cli import run_command_line
from results.store import Store

RUNS = ("20261124-114700-aaaa", "20261125-114700-bbbb", "20261126-114700-cccc")


def a_store(directory: Path, *names: str) -> Path:
    with Store(directory).open(create=True) as store:
        for name in names:
            made = RunBuilder(store, run_record(id=name, started=f"2026-11-{name[6:8]}T11:47:00+00:00"))
            made.blocks("native", [1.0, 1.1]).blocks("vm", [2.0, 2.1])
            (store.run_directory(name) / "suite.yaml").write_text(f"name: {name}\n")
            store.finish_run(name, "complete", "2026-11-27T00:00:00+00:00", "2 blocks")
    return directory


def names_in(directory: Path) -> list[str]:
    with Store(directory).open(create=False) as store:
        return sorted(run.id for run in store.runs())


def test_runs_are_removed_by_what_they_meant_when_it_was_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = a_store(tmp_path / "store", *RUNS)
    assert run_command_line(["remove", "latest", "20261124", "20261126", "--store", str(directory)]) == 0
    assert capsys.readouterr().out == f"removed {RUNS[2]}\nremoved {RUNS[0]}\n"
    assert names_in(directory) == [RUNS[1]]


def test_nothing_is_removed_where_one_of_the_runs_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = a_store(tmp_path / "store", *RUNS)
    assert run_command_line(["remove", RUNS[0], "20261127", "--store", str(directory)]) == 2
    assert "no run '20261127'" in capsys.readouterr().err
    assert names_in(directory) == list(RUNS)
