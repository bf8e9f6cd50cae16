from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from bench import host
from bench.host import (
    CHANGING_FACTS,
    STABLE_FACTS,
    changing_facts,
    collect_facts,
    fingerprint,
    host_values,
    is_running,
    mitigations,
    namespaces,
)
from bench.tune.journal import Entry, Journal, write_journal
from workloads.model import HOST_VALUES


def test_facts_of_this_host_agree_with_the_kernel():
    facts = collect_facts()
    assert facts["kernel"] == os.uname().release
    assert facts["cpus"] == str(os.cpu_count())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert int(facts["memory"]) == pytest.approx(pages, rel=0.01)
    mounted = Path("/proc/self/mounts").read_text()
    assert (facts["cgroup_version"] in ("v1", "hybrid")) == (" cgroup " in mounted)
    assert (facts["cgroup_version"] in ("v2", "hybrid")) == (" cgroup2 " in mounted)
    assert all(isinstance(value, str) for value in facts.values())


def test_programs_are_asked_for_their_versions_once(monkeypatch):
    first = collect_facts()

    def refuse(*arguments, **options):
        raise AssertionError(f"a program was run again: {arguments}")

    monkeypatch.setattr("subprocess.run", refuse)
    again = collect_facts()
    for name in ("qemu_version", "mmdebstrap_version", "gcc_version", "libvirt_version", "hypervisor"):
        assert again[name] == first[name]
    assert set(changing_facts()) <= set(again)


def test_what_changes_during_a_run_is_read_anew():
    facts = changing_facts()
    assert tuple(facts) == CHANGING_FACTS
    assert 0 <= float(facts["steal_share"]) < 1
    assert len(facts["load"].split()) == 5


def test_a_tuned_host_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_STATE", str(tmp_path))
    assert collect_facts()["tuned"] == "no"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    entries = {"turbo": {"/a": Entry("0", "1")}, "swap": {"/b": Entry("on", "off")}}
    write_journal(tmp_path, Journal(boot, "2026-11-24T11:45:02+00:00", entries))
    assert collect_facts()["tuned"] == "turbo, swap"
    write_journal(tmp_path, Journal("another boot", "2026-11-24T11:45:02+00:00", entries))
    assert collect_facts()["tuned"] == "no"


def test_noise_facts_of_this_host_agree_with_the_kernel():
    facts = collect_facts()
    for fact, path in (
        ("aslr", "/proc/sys/kernel/randomize_va_space"),
        ("numa_balancing", "/proc/sys/kernel/numa_balancing"),
        ("nmi_watchdog", "/proc/sys/kernel/nmi_watchdog"),
        ("ksm", "/sys/kernel/mm/ksm/run"),
    ):
        known = Path(path)
        assert facts[fact] == (known.read_text().strip() if known.exists() else "unknown")
    assert (facts["hypervisor"] == "none") == (facts["virtualised"] == "false")
    assert is_running(Path("/proc/self/comm").read_text().strip())
    assert not is_running("no such program")


def test_fingerprint_ignores_what_changes_from_boot_to_boot():
    facts = collect_facts()
    noisy = {**facts, "load": "99 99 99", "steal_jiffies": "1", "clocksource": "hpet"}
    assert fingerprint(noisy) == fingerprint(facts)


@pytest.mark.parametrize("name", STABLE_FACTS)
def test_fingerprint_changes_with_every_stable_fact(name):
    facts = collect_facts()
    assert fingerprint({**facts, name: facts[name] + "x"}) != fingerprint(facts)


def test_mitigations_leave_out_what_does_not_concern_this_cpu(tmp_path):
    (tmp_path / "meltdown").write_text("Not affected\n")
    (tmp_path / "spectre_v1").write_text("Mitigation: usercopy barriers\n")
    assert mitigations(tmp_path) == {"spectre_v1": "Mitigation: usercopy barriers"}
    assert mitigations(tmp_path / "absent") == {}


def test_what_a_workload_is_told_of_the_host():
    here = namespaces()
    assert {each.split(":")[0] for each in here} >= {"mnt", "pid", "net", "ipc", "uts", "user"}
    assert all(re.fullmatch(r"[a-z]+:[0-9]+", each) for each in here)
    told = host_values(here, {"net:1"})
    assert told == {
        "host_boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "host_namespaces": ",".join(sorted({*here, "net:1"})),
        "host_pid": str(os.getpid()),
    }
    assert tuple(told) == HOST_VALUES


def test_a_program_that_does_not_answer_holds_nobody_up(monkeypatch):
    def hang(argv, timeout, **_options):
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert host._output(["true"]) == "no answer"
