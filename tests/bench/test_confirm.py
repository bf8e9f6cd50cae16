"""What stands out is run again for real, and only that."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from leftovers import leftovers

from bench.cli import run_command_line
from results.store import Store

pytestmark = pytest.mark.host

SUITE = """
name: tiny
baseline: native
limits: {cpus: 1, memory: 256M}
arms: {native: {runtime: native}, container: {runtime: container, network: none}}
workloads: ["null"]
sampling: {blocks: 6, seed: 1}
"""


@pytest.mark.parametrize(("was", "code", "confirmed"), [(0.1, 3, True), (None, 0, None)])
def test_a_regression_is_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], was: float | None, code: int, confirmed: bool | None
) -> None:
    """``was``: how long starts of the baseline took, relative to now; None leaves the figures as they are."""
    before = leftovers()
    (tmp_path / "suite.yaml").write_text(SUITE)
    store = tmp_path / "store"
    options = ["--store", str(store)]
    for name in ("earlier", "now"):
        assert run_command_line(["run", str(tmp_path / "suite.yaml"), "--no-report", "-q", *options]) == 0
        assert run_command_line(["baseline", "set", name, "latest", *options]) == 0
    if was is not None:
        _scale(store, "earlier", was)
    capsys.readouterr()
    asked = ["regress", "latest", "--baseline", "now" if was is None else "earlier"]
    found_code = run_command_line(
        [*asked, "--metric", "startup_time", "--arm", "container", "--confirm", "--format", "json", *options]
    )
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found_code, finding["confirmed"]) == (code, confirmed)
    with Store(store).open(create=False) as opened:
        reruns = [run for run in opened.runs() if run.suite == "tiny-confirm"]
        arms = [{trial.arm for trial in opened.trials(run.id)} for run in reruns]
    assert arms == ([] if was is None else [{"native", "container"}])
    assert leftovers() == before


def _scale(store: Path, name: str, factor: float) -> None:
    with closing(sqlite3.connect(store / "bench.sqlite")) as database:
        database.execute(
            "UPDATE sample SET value = value * ? WHERE trial IN (SELECT trial.id FROM trial JOIN baseline USING (run)"
            " WHERE name = ?)",
            (factor, name),
        )
        database.commit()
