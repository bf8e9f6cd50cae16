"""What the doctor says of each fact that makes figures waver."""

from __future__ import annotations

import pytest

from bench import doctor_noise
from bench.doctor_noise import check_noise
from bench.tune.steps import STEPS

QUIET = {
    "load": "0.10 0.20 0.30 1/100 99",
    "cpus": "4",
    "steal_share": "0.0000",
    "hypervisor": "none",
    "governor": "performance",
    "turbo": "off",
    "smt": "off",
    "transparent_hugepages": "madvise",
    "transparent_hugepages_defrag": "madvise",
    "ksm": "0",
    "swap": "0 devices",
    "numa_balancing": "0",
    "nmi_watchdog": "0",
    "irq_balance": "not running",
    "clocksource": "tsc",
    "idle_states": "POLL, C1",
    "idle_latency_us": "2",
    "mitigations": '{"spectre_v1": "Mitigation: yes"}',
    "aslr": "2",
    "tuned": "no",
}


@pytest.fixture
def found(monkeypatch):
    def examined(**facts):
        monkeypatch.setattr(doctor_noise, "collect_facts", lambda: {**QUIET, **facts})
        return {check.name: check for check in check_noise()}

    return examined


def test_a_quiet_host_has_nothing_to_mend(found):
    assert {(check.status, check.fix) for check in found().values()} == {("ok", "")}


@pytest.mark.parametrize(
    ("facts", "name", "fix"),
    [
        ({"load": "2.5 1 1 1/1 1"}, "load", "stop what else runs"),
        ({"steal_share": "0.0300"}, "stolen time", "use a host whose CPUs nobody else has"),
        ({"hypervisor": "KVM"}, "a guest itself", "use a physical machine"),
        ({"governor": "powersave"}, "frequency governor", "bench tune governor"),
        ({"governor": "performance, powersave"}, "frequency governor", "bench tune governor"),
        ({"turbo": "on"}, "turbo", "bench tune turbo"),
        ({"smt": "on"}, "threads of a core (SMT)", "bench tune smt"),
        ({"transparent_hugepages": "always"}, "transparent huge pages", "bench tune huge-pages"),
        ({"transparent_hugepages_defrag": "always"}, "transparent huge pages", "bench tune huge-pages"),
        ({"ksm": "1"}, "page merging (KSM)", "bench tune page-merging"),
        ({"swap": "1 devices"}, "swap", "bench tune swap"),
        ({"numa_balancing": "1"}, "NUMA balancing", "bench tune numa-balancing"),
        ({"nmi_watchdog": "1"}, "NMI watchdog", "bench tune watchdog"),
        ({"irq_balance": "running"}, "interrupts", "bench tune interrupts"),
        ({"clocksource": "hpet"}, "clock", "tsc=reliable"),
        ({"idle_latency_us": "890"}, "idle states", "processor.max_cstate=1"),
        ({"tuned": "turbo, swap"}, "tuned by bench", "bench untune"),
    ],
)
def test_what_hurts_is_a_warning_with_its_remedy(found, facts, name, fix):
    checks = found(**facts)
    assert checks[name].status == "warning"
    assert fix in checks[name].fix
    assert [other for other, check in checks.items() if check.status != "ok"] == [name]


def test_every_step_that_is_named_exists(found):
    hurting = dict.fromkeys(("ksm", "numa_balancing", "nmi_watchdog"), "1")
    hurting |= {"governor": "powersave", "turbo": "on", "smt": "on", "transparent_hugepages": "always", "swap": "1 d"}
    named = [check.fix.removeprefix("bench tune ") for check in found(**hurting).values() if check.fix]
    assert len(named) == 8
    assert set(named) <= {step.name for step in STEPS}


def test_a_host_that_tells_nothing_has_no_warnings_of_it(found):
    unknown = {name: "unknown" for name in QUIET if name not in ("cpus", "mitigations", "hypervisor", "tuned", "swap")}
    assert {check.status for check in found(**unknown).values()} == {"ok"}
