"""What stands out is run again for real, only that, and in the same image."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from leftovers import leftovers
from ordinary_user import USER, build_image, grant, new_user

from bench.cli import run_command_line
from bench.nightly.line import read_line
from results.records import RunRecord
from results.store import Store

pytestmark = pytest.mark.host

SUITE = """
name: tiny
baseline: native
limits: {cpus: 1, memory: 256M}
arms: {native: {runtime: native}, container: {runtime: container, network: none}}
workloads: ["null"%s]
sampling: {blocks: 6, seed: 1}
"""
PACKAGED = """
name: packaged
description: Has a package, and so another image than without it.
packages: [sysbench]
run: [sysbench, --version]
parser: regex
metrics: {version: {unit: "1", better: higher, primary: true, pattern: 'sysbench (\\d+)'}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two runs of two workloads, the earlier one with a tenth of its times."""
    directory = tmp_path_factory.mktemp("confirm")
    (directory / "mine").mkdir()
    (directory / "mine" / "packaged.yaml").write_text(PACKAGED)
    (directory / "suite.yaml").write_text(SUITE % ", packaged")
    store = directory / "store"
    for name in ("earlier", "now"):
        run = ["run", str(directory / "suite.yaml"), "--workloads", str(directory / "mine"), "--no-report", "-q"]
        assert run_command_line([*run, "--store", str(store)]) == 0
        assert run_command_line(["baseline", "set", name, "latest", "--store", str(store)]) == 0
    _scale(store, "earlier")
    return store


def test_a_regression_is_measured_again(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = leftovers()
    run = _runs(store, "tiny")[0]
    assert _confirmed(store, capsys, run.id, "--baseline", "earlier")[:2] == (3, True)
    (rerun,) = _runs(store, "tiny-confirm")
    with Store(store).open(create=False) as opened:
        trials = [(trial.arm, trial.workload) for trial in opened.trials(rerun.id)]
    assert (rerun.status, rerun.image, len(trials)) == ("complete", run.image, 12)
    assert set(trials) == {("native", "null"), ("container", "null")}
    assert leftovers() == before


def test_nothing_is_measured_where_nothing_stands_out(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reruns = _runs(store, "tiny-confirm")
    assert _confirmed(store, capsys, _runs(store, "tiny")[0].id)[:2] == (0, None)
    assert _runs(store, "tiny-confirm") == reruns


def test_nothing_is_measured_in_another_image(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, reruns = _runs(store, "tiny")[0], _runs(store, "tiny-confirm")
    with _of_image(store, "0" * 16):
        _, confirmed, notes = _confirmed(store, capsys, run.id, "--baseline", "earlier")
    assert confirmed is None
    assert f"could not be run again: run {run.id} cannot be repeated: it ran image 0000000000000000" in notes[-1]
    assert _runs(store, "tiny-confirm") == reruns


@pytest.mark.slow
def test_a_night_of_an_ordinary_user_looks_twice(tmp_path: Path) -> None:
    suite = (SUITE % "").replace("seed: 1", "seed: %d")
    with new_user(build_image(suite % 1, tmp_path), suite) as make:
        user = make(lent=True)
        store = user.home / "store"
        asked = ["home/suite.yaml", "--store", store]
        first = user.bench("run", *asked, "--no-report", "-q", grant=grant())
        assert first.returncode == 0, first.stderr
        assert user.bench("baseline", "set", "earlier", "latest", "--store", store).returncode == 0
        _scale(store, "earlier")
        night = user.bench("nightly", *asked, "--allow-noisy", "--baseline", "earlier", "--confirm", grant=grant())
        assert night.returncode == 3, night.stdout + night.stderr
        said = read_line(night.stdout)
        assert (said["status"], night.stderr) == ("regression", "")
        found = json.loads((store / "runs" / said["run"] / "report" / "regress.json").read_text())["findings"]
        starts = {each["arm"]: each["confirmed"] for each in found if each["metric"] == "startup_time"}
        assert starts["container"] is True
        assert len(_runs(store, "tiny-confirm")) == 1
        assert {path.stat().st_uid for path in store.rglob("*")} == {USER}
        assert user.leftovers() == []


def _confirmed(store: Path, capsys: pytest.CaptureFixture[str], *about: str) -> tuple[int, bool | None, list[str]]:
    """Exit code of ``bench regress --confirm`` about starts of containers, what the rerun said, and the notes."""
    capsys.readouterr()
    what = ["--metric", "startup_time", "--arm", "container", "--workload", "null"]
    asked = ["regress", *about, *what, "--confirm", "--format", "json", "--store", str(store)]
    code = run_command_line(asked)
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    return code, finding["confirmed"], finding["notes"]


def _runs(store: Path, suite: str) -> list[RunRecord]:
    """The runs of a suite, newest first."""
    with Store(store).open(create=False) as opened:
        return [run for run in opened.runs() if run.suite == suite]


@contextmanager
def _of_image(store: Path, image: str) -> Iterator[None]:
    """Have all runs be of another image."""
    true = _runs(store, "tiny")[0].image
    _change(store, "UPDATE run SET image = ?", image)
    try:
        yield
    finally:
        _change(store, "UPDATE run SET image = ?", true)


def _scale(store: Path, name: str) -> None:
    run = "SELECT trial.id FROM trial JOIN baseline USING (run) WHERE name = ?"
    _change(store, f"UPDATE sample SET value = value / 10 WHERE trial IN ({run})", name)


def _change(store: Path, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(store / "bench.sqlite")) as database:
        database.execute(statement, values)
        database.commit()
