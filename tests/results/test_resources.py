"""Arms that had other CPUs or another amount of memory are not compared without a word."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from results.resources import counting_note, marked, resource_warnings

MIB = 1 << 20


def trial(arm, status="ok", **facts):
    return SimpleNamespace(arm=arm, status=status, facts={name: str(value) for name, value in facts.items()})


def run(**arms):
    return [trial(arm, cpus_usable=cpus, memory_usable=memory) for arm, (cpus, memory) in arms.items()]


def test_equal_arms_need_no_word():
    assert resource_warnings(run(native=(1, 512 * MIB), container=(1, 512 * MIB)), "native") == {}


@pytest.mark.parametrize(
    ("size", "kept"), [(128 * MIB, 30 * MIB), (512 * MIB, 43 * MIB), (8192 * MIB, 200 * MIB), (512 * MIB, 64 * MIB)]
)
def test_what_a_guests_kernel_keeps_is_no_difference(size, kept):
    assert resource_warnings(run(native=(1, size), vm=(1, size - kept)), "native") == {}


def test_other_cpus_and_other_memory_are_told_with_both_figures():
    warnings = resource_warnings(run(native=(2, 1024 * MIB), vm=(1, 512 * MIB), half=(0.5, 1024 * MIB)), "native")
    assert warnings == {
        "vm": (
            "not the same CPUs: vm can use 1, native 2",
            "not the same memory: vm can use 512 MiB, native 1.00 GiB",
        ),
        "half": ("not the same CPUs: half can use 0.5, native 2",),
    }


def test_trials_that_failed_or_do_not_tell_are_passed_over():
    trials = [
        *run(native=(1, 512 * MIB)),
        trial("container", status="failed", cpus_usable=2),
        trial("vm"),
        trial("odd", cpus_usable="many"),
    ]
    assert resource_warnings(trials, "native") == {}


def test_the_comparisons_of_the_arm_get_the_warning_and_no_others():
    from results.compare import Comparison

    def comparison(arm):
        return Comparison(
            "null", "", "startup_time", "s", "lower", arm, "native", 6, 1.0, 0.9, 1.1, 0.5, "same", ("few",), 1.0, 1.0,
            "none", primary=True,
        )  # fmt: skip

    trials = run(native=(1, 512 * MIB), container=(1, 512 * MIB), vm=(2, 512 * MIB))
    container, vm = marked([comparison("container"), comparison("vm")], trials, "native")
    assert container.warnings == ("few",)
    assert vm.warnings == ("few", "not the same CPUs: vm can use 2, native 1")


def test_processors_that_are_seen_and_cannot_be_used_are_told_once():
    trials = [trial("native", cpus_online=8), trial("container", cpus_online=8), trial("vm", cpus_online=1)]
    note = counting_note(trials)
    assert note is not None
    assert "native 8, container 8, vm 1" in note
    assert counting_note(trials[:2]) is None
    assert counting_note([trial("native")]) is None
