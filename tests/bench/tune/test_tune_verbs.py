"""``bench tune`` and ``untune`` on a tree that stands for a host."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from tuned_hosts import FakeHost

from bench.cli.tune import tune, untune

KSM = "/sys/kernel/mm/ksm/run"


@pytest.fixture
def fake(tmp_path, monkeypatch):
    fake = FakeHost(tmp_path / "host")
    monkeypatch.setattr("bench.tune.step.Host", lambda **facts: fake.host)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("BENCH_STATE", str(tmp_path / "state"))
    return fake


def call(verb, *arguments):
    result = CliRunner().invoke(verb, arguments, standalone_mode=False, catch_exceptions=False)
    return result.return_value or 0, result.output


def test_all_that_is_safe_and_back_again(fake):
    before = fake.content()
    status, output = call(tune, "--format", "json")
    told = json.loads(output)
    assert status == 0
    assert {change["step"] for change in told["changes"]} == {
        "smt", "governor", "turbo", "huge-pages", "page-merging", "swap", "numa-balancing", "watchdog", "interrupts",
    }  # fmt: skip
    assert told["not_here"] == {}
    assert fake.read(KSM) == "0"
    status, output = call(untune, "--format", "json")
    assert status == 0
    assert {change["outcome"] for change in json.loads(output)["changes"]} == {"restored"}
    changed = {place for place, text in fake.content().items() if text != before[place]}
    assert changed == {"/sys/kernel/mm/transparent_hugepage/enabled"}  # the tree does not put brackets


def test_named_steps_and_aslr(fake):
    _, output = call(tune, "--format", "json", "--aslr", "page-merging", "--dry-run")
    changes = json.loads(output)["changes"]
    assert [(change["step"], change["outcome"]) for change in changes] == [
        ("page-merging", "would set"),
        ("aslr", "would set"),
    ]


def test_what_is_shown(fake):
    call(tune, "page-merging")
    _, output = call(tune, "--show", "--format", "json")
    rows = {row["place"]: row for row in json.loads(output)}
    row = rows[KSM]
    assert (row["step"], row["now"], row["tuned"], row["saved"]) == ("page-merging", "0", "0", "1")
    assert not rows["/proc/sys/kernel/randomize_va_space"]["unasked"]
    _, table = call(tune, "--show")
    assert "and 3 more" in table  # the governors


def test_exit_status_where_others_have_changed_something(fake):
    call(tune, "page-merging")
    fake.write(KSM, "2")
    status, output = call(untune)
    assert status == 1
    assert "changed by others" in output
    assert "--changed overwrite" in output
    status, _ = call(untune, "--changed", "leave")
    assert (status, fake.read(KSM)) == (0, "2")
    assert "nothing to put back" in call(untune)[1]


def test_who_is_not_root_is_told(fake, monkeypatch):
    from runtimes.base import HostError

    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(HostError, match="run it as root"):
        call(tune)
    assert call(tune, "--dry-run")[0] == 0
