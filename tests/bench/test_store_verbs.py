"""What the command line does with a store as a whole: remove runs, and carry them to another."""

from __future__ import annotations

import json
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
            (store.run_directory(name) / "suite.yaml").write_text(f"name: {name}\narms: {{}}\n")
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


def test_runs_are_carried_to_another_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, other, file = a_store(tmp_path / "ours", *RUNS), str(tmp_path / "other"), str(tmp_path / "runs.tar.xz")
    assert run_command_line(["export", "--bundle", "--all", "-o", file, "--store", str(ours)]) == 0
    assert capsys.readouterr().out == f"{file}: 3 runs\n"
    assert run_command_line(["import", file, "--store", other, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("imported") == 3
    assert not Path(other).exists()
    assert run_command_line(["import", file, "--store", other, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told[0] == {"what": "run", "name": RUNS[0], "action": "imported", "reason": ""}
    assert names_in(Path(other)) == list(RUNS)
    for verb in ("show", "compare"):
        printed = []
        for directory in (str(ours), other):
            assert run_command_line([verb, RUNS[1], "--format", "json", "--store", directory]) == 0
            printed.append(capsys.readouterr().out)
        assert printed[0] == printed[1]
    assert run_command_line(["import", str(ours), file, "--store", other]) == 0
    assert capsys.readouterr().out.count("it is there already") == 6


def test_what_was_imported_before_a_damaged_bundle_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, other = a_store(tmp_path / "ours", RUNS[0]), a_store(tmp_path / "other", RUNS[1])
    (tmp_path / "damaged.tar").write_bytes(b"x" * 4096)
    code = run_command_line(["import", str(ours), str(tmp_path / "damaged.tar"), "--store", str(other)])
    said = capsys.readouterr()
    assert code == 2
    assert f"{RUNS[0]}" in said.out
    assert "damaged.tar is damaged, or no bundle" in said.err
    assert names_in(other) == list(RUNS[:2])


def test_a_refused_run_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, other = a_store(tmp_path / "ours", RUNS[0]), a_store(tmp_path / "other", RUNS[0])
    (other / "runs" / RUNS[0] / "suite.yaml").write_text("another")
    assert run_command_line(["import", str(ours), "--store", str(other)]) == 2
    assert "refused" in capsys.readouterr().out


def test_reports_against_other_runs_do_not_travel_and_make_no_other_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, file = a_store(tmp_path / "store", *RUNS[:2]), tmp_path / "run.tar"
    assert run_command_line(["export", "--bundle", RUNS[1], "-o", str(file), "--store", str(directory)]) == 0
    before = file.read_bytes()
    assert run_command_line(["report", RUNS[0], RUNS[1], "--store", str(directory)]) == 0
    place = directory / "runs" / RUNS[1] / "report" / f"against-{RUNS[0]}" / "report.html"
    assert str(place) in capsys.readouterr().out
    assert place.is_file()
    assert run_command_line(["import", str(file), "--store", str(directory)]) == 0
    assert "it is there already" in capsys.readouterr().out
    assert run_command_line(["export", "--bundle", RUNS[1], "-o", str(file), "--store", str(directory)]) == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["export", RUNS[0], RUNS[1]], "add --bundle"),
        (["export", "--all"], "add --bundle"),
        (["export", "--bundle", "--all", RUNS[0], "-o", "x.tar"], "--all is every run"),
        (["export", "--bundle"], "name it with --output"),
        (["export", "--bundle", "--format", "csv", "-o", "x.tar"], "a bundle has a form of its own"),
        (["export", "--bundle", "-o", "x.zip"], "ends in .tar, .tar.gz, .tar.xz"),
        (["import"], "FROM"),
        (["import", "no/such/file"], "no/such/file"),
        (["import", "."], "no store in ."),
    ],
)
def test_a_mistake_is_one_message(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = a_store(tmp_path / "store", *RUNS[:2])
    monkeypatch.chdir(tmp_path)
    assert run_command_line([*arguments, "--store", str(directory)]) == 2
    assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("csv", "arm,n,x\nnative,2,\nvm,2,\n"),
        ("markdown", "| arm | n | x |\n|---|---|---|\n| native | 2 |  |\n| vm | 2 |  |\n"),
        ("json", '[\n{"arm": "native", "n": 2, "x": null},\n{"arm": "vm", "n": 2, "x": null}\n]\n'),
    ],
)
def test_a_query_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, expected: str) -> None:
    directory = str(a_store(tmp_path / "store", RUNS[0]))
    question = "SELECT arm, n, NULL AS x FROM points ORDER BY arm"
    assert run_command_line(["query", question, "--store", directory, "--format", form]) == 0
    assert capsys.readouterr().out == expected
    assert run_command_line(["query", question, "--store", directory]) == 0
    assert capsys.readouterr().out.split() == ["arm", "n", "x", "native", "2", "vm", "2"]
    assert run_command_line(["query", "SELECT '<script>', 'a|b*'", "--store", directory, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.endswith("\n| &lt;script&gt; | a\\|b\\* |\n")
    assert run_command_line(["query", "DELETE FROM run", "--store", directory]) == 2
    assert "a query may only read" in capsys.readouterr().err
