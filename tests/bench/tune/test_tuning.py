"""Tuning and putting back, on trees that stand for hosts, also across crashes and beside others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tuned_hosts import CPU, THP, FakeHost

from bench.tune.journal import Entry, held, read_journal, state_directory
from bench.tune.step import FileStep, Host
from bench.tune.steps import STEPS
from bench.tune.tuning import choose_steps, offers, tune, tuned_steps, untune
from runtimes.base import HostError

KSM = "/sys/kernel/mm/ksm/run"
NUMA = "/proc/sys/kernel/numa_balancing"
HERE = Path(__file__).parent


@pytest.fixture
def fake(tmp_path):
    return FakeHost(tmp_path / "host")


@pytest.fixture
def state(tmp_path):
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


def outcomes(changes):
    return {(change.step, change.place): change.outcome for change in changes}


def test_everything_is_set_and_put_back(fake, state):
    before = fake.content()
    changes = tune(fake.host, state, STEPS)
    assert {change.outcome for change in changes} == {"set", "as wanted"}
    assert fake.read(f"{CPU}/cpu3/cpufreq/scaling_governor") == "performance"
    assert fake.read("/proc/irq/11/smp_affinity_list") == "0-1"
    assert tuned_steps(fake.host, state) == tuple(step.name for step in STEPS)
    restored = untune(fake.host, state)
    # The kernel shows the brackets again, which this tree does not.
    fake.write(f"{THP}/enabled", f"[{fake.read(f'{THP}/enabled')}] madvise never")
    assert fake.content() == before
    assert {change.outcome for change in restored} == {"restored"}
    assert read_journal(state) is None
    assert tuned_steps(fake.host, state) == ()
    assert untune(fake.host, state) == []


def test_the_journal_is_written_before_anything_is_changed(fake, state, monkeypatch):
    seen = []
    write = Path.write_text

    def watched(path, text):
        if path.is_relative_to(fake.root):
            journal = read_journal(state)
            seen.append(any(place == "/" + str(path.relative_to(fake.root))
                            for places in journal.entries.values() for place in places))  # fmt: skip
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", watched)
    tune(fake.host, state, choose_steps(["governor", "page-merging"]))
    assert seen == [True] * 5


def test_a_dry_run_changes_nothing(fake, state):
    before = fake.content()
    changes = tune(fake.host, state, STEPS, dry_run=True)
    assert outcomes(changes)["page-merging", KSM] == "would set"
    assert fake.content() == before
    assert list(state.iterdir()) == []
    tune(fake.host, state, STEPS)
    tuned = fake.content()
    assert {change.outcome for change in untune(fake.host, state, dry_run=True)} == {"would restore"}
    assert fake.content() == tuned
    assert read_journal(state) is not None


def test_tuned_twice_the_first_values_are_put_back(fake, state):
    tune(fake.host, state, choose_steps(["page-merging"]))
    fake.write(KSM, "2")  # somebody else, in between
    tune(fake.host, state, choose_steps(["page-merging", "numa-balancing"]))
    assert read_journal(state).entries["page-merging"][KSM] == Entry(saved="1", tuned="0")
    untune(fake.host, state)
    assert (fake.read(KSM), fake.read(NUMA)) == ("1", "1")


def test_interrupts_are_moved_again_for_other_cpus(fake, state):
    steps = choose_steps(["interrupts"])
    tune(fake.host, state, steps)
    other = FakeHost(fake.root, {"/proc/irq/9/smp_affinity_list": "0-1"})
    object.__setattr__(other.host, "measured", frozenset({1}))
    tune(other.host, state, steps)
    assert fake.read("/proc/irq/9/smp_affinity_list") == "0"
    assert read_journal(state).entries["interrupts"]["/proc/irq/9/smp_affinity_list"].saved == "0-3"


@pytest.mark.parametrize(
    ("others", "value", "left"), [("tell", "2", True), ("leave", "2", False), ("overwrite", "1", False)]
)
def test_what_somebody_else_has_changed_is_not_overwritten_blindly(fake, state, others, value, left):
    tune(fake.host, state, choose_steps(["page-merging", "numa-balancing"]))
    fake.write(KSM, "2")
    changes = untune(fake.host, state, others=others)
    assert fake.read(KSM) == value
    assert fake.read(NUMA) == "1"
    told = next(change for change in changes if change.place == KSM)
    if others != "overwrite":
        assert (told.outcome, told.before, told.after) == ("changed by others", "2", "1")
        assert told.detail == "it was set to 0"
    journal = read_journal(state)
    assert (journal is not None) == left
    if left:
        assert list(journal.entries) == ["page-merging"]
        assert untune(fake.host, state, others="overwrite")[0].outcome == "restored"


def test_a_value_that_the_kernel_refuses_is_told_and_is_not_in_the_journal(fake, state):
    class Refusing(FileStep):
        def apply(self, host, place, value):
            raise OSError(1, "Operation not permitted")

    refusing = Refusing("page-merging", "", [KSM], "0", absent="")
    (change,) = tune(fake.host, state, [refusing])
    assert (change.outcome, change.detail, change.failed) == ("refused", "Operation not permitted", True)
    assert read_journal(state) is None
    refusing.insists = False
    (change,) = tune(fake.host, state, [refusing])
    assert (change.outcome, change.failed) == ("kept by the kernel", False)


def test_what_the_kernel_makes_of_a_value_is_what_is_put_back_from(fake, state):
    class Rounding(FileStep):
        def apply(self, host, place, value):
            super().apply(host, place, "7" if value == "0" else value)

    rounding = Rounding("page-merging", "", [KSM], "0", absent="")
    (change,) = tune(fake.host, state, [rounding])
    assert (change.outcome, change.detail) == ("refused", "the kernel made it 7")
    (change,) = untune(fake.host, state, steps=[rounding])
    assert (change.outcome, fake.read(KSM)) == ("restored", "1")


def test_after_the_host_was_started_anew_there_is_nothing_to_put_back(fake, state):
    tune(fake.host, state, choose_steps(["page-merging"]))
    fake.write("/proc/sys/kernel/random/boot_id", "boot-2")
    assert tuned_steps(fake.host, state) == ()
    assert untune(fake.host, state) == []
    assert fake.read(KSM) == "0"
    assert read_journal(state) is None


def test_a_journal_of_an_earlier_boot_is_not_gone_on_with(fake, state):
    tune(fake.host, state, choose_steps(["page-merging"]))
    fake.write("/proc/sys/kernel/random/boot_id", "boot-2")
    tune(fake.host, state, choose_steps(["numa-balancing"]))
    assert list(read_journal(state).entries) == ["numa-balancing"]


DYING = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from bench.tune.step import FileStep
from bench.tune.steps import STEPS
from bench.tune.tuning import tune
from tuned_hosts import FakeHost

left = {changes}

write = FileStep.apply
def apply(self, host, place, value):
    global left
    if left == 0 and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, host, place, value)
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
FileStep.apply = apply
host = FakeHost(Path({root!r}), dict.fromkeys(__import__("tuned_hosts").FILES)).host
tune(host, Path({state!r}), STEPS)
"""


@pytest.mark.parametrize("changes", [0, 3, 8])
@pytest.mark.parametrize("before", [True, False])
def test_killed_in_the_middle_everything_is_put_back(fake, state, changes, before):
    untouched = fake.content()
    script = DYING.format(here=str(HERE), changes=changes, before=before, root=str(fake.root), state=str(state))
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, cwd=HERE.parents[2])
    assert killed.returncode == -signal.SIGKILL
    journal = read_journal(state)
    noted = {place: entry for places in journal.entries.values() for place, entry in places.items()}
    files = {place: text for place, text in fake.content().items() if place != "/proc/swaps"}
    changed = [place for place, text in files.items() if text != untouched[place]]
    assert len(changed) == changes + (not before)
    # Where a change was made, its value was noted before.
    assert set(changed) <= set(noted)
    assert {change.outcome for change in untune(fake.host, state)} <= {"restored", "was back already"}
    after = fake.content()
    after[f"{THP}/enabled"] = untouched[f"{THP}/enabled"]
    assert after == untouched
    assert read_journal(state) is None


def test_a_journal_that_is_cut_off_is_an_error_with_a_way_out(state):
    (state / "tuned.json").write_text('{"version": 1, "boot":')
    with pytest.raises(HostError, match="is damaged"):
        read_journal(state)
    (state / "tuned.json").write_text(json.dumps({"version": 2}))
    with pytest.raises(HostError, match="version 2, this program knows 1"):
        read_journal(state)


def test_only_one_at_a_time(fake, state):
    with held(state), pytest.raises(HostError, match="another bench tune or untune is at work"):
        tune(fake.host, state, STEPS)


def test_what_is_on_offer(fake, state):
    tune(fake.host, state, choose_steps(["page-merging"]))
    found = {offer.step.name: offer for offer in offers(fake.host, state)}
    assert found["page-merging"].places == {KSM: ("0", "0")}
    assert found["page-merging"].tuned == {KSM: Entry("1", "0")}
    assert found["aslr"].places == {"/proc/sys/kernel/randomize_va_space": ("2", "0")}


def test_where_the_journal_is(monkeypatch):
    monkeypatch.delenv("BENCH_STATE", raising=False)
    assert state_directory() == Path("/var/lib/bench")
    monkeypatch.setenv("BENCH_STATE", "here")
    assert state_directory() == Path.cwd() / "here"


@pytest.mark.host
def test_page_merging_of_this_host(state):
    """For real, and only for a moment: merging costs nobody anything but some CPU time."""
    if os.geteuid() != 0 or Host().read(KSM) is None:
        pytest.skip("needs root, and a kernel with KSM")
    before = Host().read(KSM)
    try:
        Path(KSM).write_text("1")
        (change,) = tune(Host(), state, choose_steps(["page-merging"]))
        assert (change.outcome, Path(KSM).read_text()) == ("set", "0\n")
        (change,) = untune(Host(), state)
        assert (change.outcome, Path(KSM).read_text()) == ("restored", "1\n")
    finally:
        Path(KSM).write_text(before)
