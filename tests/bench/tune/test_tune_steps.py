"""Every step on trees that stand for other hosts."""

from __future__ import annotations

import pytest
from tuned_hosts import CPU, THP, FakeHost

from bench.tune.steps import STEPS
from bench.tune.tuning import choose_steps
from workloads.errors import InvalidInput


def step(name):
    return next(each for each in STEPS if each.name == name)


@pytest.fixture
def make(tmp_path):
    return lambda **changes: FakeHost(tmp_path, changes.get("files")).host


@pytest.mark.parametrize(
    ("name", "present", "wanted"),
    [
        ("smt", {f"{CPU}/smt/control": "on"}, "off"),
        ("governor", {f"{CPU}/cpu{cpu}/cpufreq/scaling_governor": "powersave" for cpu in range(4)}, "performance"),
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": "0"}, "1"),
        ("huge-pages", {f"{THP}/enabled": "always", f"{THP}/defrag": "madvise"}, "madvise"),
        ("page-merging", {"/sys/kernel/mm/ksm/run": "1"}, "0"),
        ("swap", {"/dev/sda2": "on", "/swap file": "on 5"}, "off"),
        ("numa-balancing", {"/proc/sys/kernel/numa_balancing": "1"}, "0"),
        ("watchdog", {"/proc/sys/kernel/nmi_watchdog": "1"}, "0"),
        ("aslr", {"/proc/sys/kernel/randomize_va_space": "2"}, "0"),
    ],
)
def test_what_a_step_shows_wants_and_puts_back(make, name, present, wanted):
    host, each = make(), step(name)
    assert each.missing(host) == ""
    assert each.show(host) == present
    assert each.wanted(host) == dict.fromkeys(present, wanted)
    for place, value in each.wanted(host).items():
        each.apply(host, place, value)
    assert set(each.show(host).values()) <= {wanted}
    for place, value in present.items():
        each.apply(host, place, value)
    assert each.show(host) == present


def test_interrupts_go_to_cpus_that_are_not_measured(make):
    host, each = make(), step("interrupts")
    assert each.wanted(host) == {"/proc/irq/9/smp_affinity_list": "0-1", "/proc/irq/11/smp_affinity_list": "0-1"}


@pytest.mark.parametrize(
    ("name", "files", "reason"),
    [
        ("smt", {f"{CPU}/smt/control": "notsupported"}, "SMT is notsupported here"),
        ("smt", {f"{CPU}/smt/control": "forceoff"}, "SMT is forceoff here"),
        ("smt", {f"{CPU}/smt/control": None}, "no SMT control"),
        (
            "governor",
            {f"{CPU}/cpu{cpu}/cpufreq/{name}": None
             for cpu in range(4) for name in ("scaling_governor", "scaling_available_governors")},
            "does not set frequencies",
        ),
        (
            "governor",
            {f"{CPU}/cpu0/cpufreq/scaling_available_governors": "powersave"},
            "has no governor performance",
        ),
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": None}, "no driver here can switch turbo"),
        ("huge-pages", {f"{THP}/enabled": None, f"{THP}/defrag": None}, "the kernel has none"),
        ("page-merging", {"/sys/kernel/mm/ksm/run": None}, "no KSM"),
        ("swap", {"/proc/swaps": "Filename"}, "there is no swap"),
        ("swap", {"/proc/meminfo": "MemAvailable: 60000 kB"}, "0 MiB are swapped out, and memory has 58 MiB"),
        ("numa-balancing", {"/proc/sys/kernel/numa_balancing": None}, "does not balance"),
        ("watchdog", {"/proc/sys/kernel/nmi_watchdog": None}, "no NMI watchdog"),
        ("interrupts", {f"{CPU}/online": "2-3"}, "every CPU is measured"),
        ("aslr", {"/proc/sys/kernel/randomize_va_space": None}, "no such switch"),
    ],
)  # fmt: skip
def test_why_a_host_cannot_have_a_step(make, name, files, reason):
    assert reason in step(name).missing(make(files=files))


def test_turbo_of_other_drivers_is_switched_the_other_way(make):
    host = make(files={f"{CPU}/intel_pstate/no_turbo": None, f"{CPU}/cpufreq/boost": "1"})
    assert step("turbo").wanted(host) == {f"{CPU}/cpufreq/boost": "0"}


def test_huge_pages_that_nobody_gets_stay_so(make):
    host = make(files={f"{THP}/enabled": "always madvise [never]"})
    assert step("huge-pages").wanted(host) == {f"{THP}/enabled": "never", f"{THP}/defrag": "madvise"}


def test_swap_is_put_back_with_the_priority_that_somebody_chose(tmp_path):
    fake = FakeHost(tmp_path)
    for place, value in (("/dev/sda2", "off"), ("/swap file", "off"), ("/dev/sda2", "on"), ("/swap file", "on 5")):
        step("swap").apply(fake.host, place, value)
    assert fake.programs[2:] == [["swapon", "/dev/sda2"], ["swapon", "-p", "5", "/swap file"]]


def test_steps_by_name():
    names = [each.name for each in STEPS]
    assert len(set(names)) == len(names)
    assert [each.name for each in choose_steps([])] == [name for name in names if name != "aslr"]
    assert [each.name for each in choose_steps(["aslr", "turbo"])] == ["turbo", "aslr"]
    with pytest.raises(
        InvalidInput, match=r"no step 'turbp'; expected one of smt, governor, .*; did you mean 'turbo'\?"
    ):
        choose_steps(["turbp"])


def test_this_host_shows_every_step_without_changing_anything():
    from bench.tune.step import Host

    for each in STEPS:
        shown = each.show(Host())
        assert each.missing(Host()) or set(each.wanted(Host())) <= set(shown)
