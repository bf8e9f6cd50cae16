"""Suites on hosts that do not have the runtime of every arm."""

from __future__ import annotations

import json

import fake
import pytest
from fake_runs import FAKE_IMAGE

from bench.availability import container_engines, require_all, without_unavailable
from bench.doctor import check_engines
from bench.measure import measure
from bench.plan import make_plan
from bench.progress import open_progress
from bench.runner import check_arms
from results.report import write_report
from results.store import Store
from results.terminal.compare import compare_renderables
from results.terminal.show import show_json, show_renderables
from runtimes.base import HostError, UnavailableError
from runtimes.registry import ENGINES

WITH_MISSING = """
name: small
baseline: one
limits: {cpus: 1, memory: 64M}
arms:
  one: {runtime: fake}
  two: {runtime: fake}
  absent: {runtime: fake, accel: mainframe}
workloads: [./echo.yaml]
sampling: {blocks: 1, seed: 1}
"""

WHY = "mainframe is not installed: apt-get install mainframe"


@pytest.fixture
def suite(suite_run, monkeypatch):
    """One of whose arms cannot be had."""

    def check(cls, options, limits):
        if options.accel == "mainframe":
            raise UnavailableError(WHY)

    monkeypatch.setattr(fake.FakeRuntime, "check", classmethod(check))
    monkeypatch.setattr("runtimes.facilities.check_host", lambda limits: None)
    return suite_run.with_suite(WITH_MISSING).load()


def printed(renderables):
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(*renderables, sep="\n")
    return captured.get()


def test_an_arm_that_cannot_be_had_is_left_out_and_everybody_is_told(suite, suite_run, tmp_path, capsys):
    def progress():
        return open_progress(quiet=False, verbose=False)

    result = measure(suite, make_plan(suite), suite_run.store_directory, progress, lambda tell: FAKE_IMAGE)
    note = f"arm absent was left out: {WHY}"
    assert f"note: {note}" in capsys.readouterr().out
    assert result.failed == 0
    with Store(suite_run.store_directory).open(create=False) as store:
        run = store.resolve(result.run)
        assert run.arms == ("one", "two")
        assert {trial.arm for trial in store.trials(run.id)} == {"one", "two"}
        assert "absent" not in (store.run_directory(run.id) / "suite.yaml").read_text()
        assert f"arm absent: {WHY}" in printed(show_renderables(store, run))
        assert note in printed(compare_renderables(store, run))
        assert show_json(store, run)["left_out"] == {"absent": WHY}
        html = write_report(store, run, tmp_path / "report").html.read_text()
    assert "1 arm of the suite could not be had on this host" in html
    assert WHY in html


def test_what_was_left_out_is_no_part_of_what_was_measured(suite):
    plan = make_plan(suite)
    left, left_plan = without_unavailable(suite, plan, check_arms(suite))
    assert [arm.name for arm in left.arms] == ["one", "two"]
    assert left_plan.suite_hash == left.hash != plan.suite_hash
    assert left_plan.trials_a_block == 2
    assert without_unavailable(left, left_plan, {}) == (left, left_plan)


def test_there_is_no_comparison_without_the_baseline_or_with_it_alone(suite):
    plan = make_plan(suite)
    with pytest.raises(HostError, match="cannot run the baseline one:\n  arm one: it is gone"):
        without_unavailable(suite, plan, {"one": "it is gone"})
    with pytest.raises(HostError, match="no arm but the baseline one:\n  arm two: gone\n  arm absent: gone"):
        without_unavailable(suite, plan, {"two": "gone", "absent": "gone"})


def test_what_must_be_the_same_again_needs_every_arm():
    require_all({})
    with pytest.raises(HostError, match="arm two: it is gone"):
        require_all({"two": "it is gone"})


def test_damage_in_what_is_told_of_arms_is_told(suite_run):
    suite_run.execute()
    with Store(suite_run.store_directory).open(create=False) as store:
        run = store.resolve("latest")
        (store.run_directory(run.id) / "host.json").write_text(json.dumps({"left_out": {"docker": 1}}))
        with pytest.raises(Exception, match=r"host\.json is damaged \(left_out"):
            show_json(store, run)


@pytest.fixture
def bare_host(monkeypatch):
    """One of root's on which no program is installed."""
    monkeypatch.setattr("runtimes.engine.programs.shutil.which", lambda name, path: None)
    monkeypatch.setattr("runtimes.engine.programs.is_unprivileged", lambda: False)


def test_every_engine_is_looked_for_and_its_package_named(bare_host):
    found = dict(container_engines())
    assert {name.partition(",")[0] for name in found} == set(ENGINES)
    assert {"oci, program: runc", "oci, program: crun"} <= set(found)
    # Only such a refusal leaves an arm out, and lets the others be run.
    assert {name: type(why) for name, why in found.items()} == dict.fromkeys(found, UnavailableError)
    assert all(why.fix.startswith("apt-get install ") for why in found.values())


def test_the_doctor_tells_what_to_install(bare_host):
    checks = {check.name: check for check in check_engines()}
    assert (checks["docker"].status, checks["docker"].fix) == ("warning", "apt-get install docker.io")
    assert checks["lxc"].detail == "lxc-start is not installed"
