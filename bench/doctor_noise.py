"""What makes figures waver, from the facts that every run records: whether it hurts, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from bench.finding import Check
from bench.host import collect_facts

_NOISY_LOAD = 0.5
"""Load a CPU, above which a trial is likely to wait for somebody."""

_NOISY_STEAL = 0.01
"""Share of the CPUs' time since boot: half of what makes a block a disturbed one."""

_SLOW_CLOCKS = ("hpet", "acpi_pm", "pit", "refined-jiffies", "jiffies")
"""Clocks that are read by a device's register or a system call, which takes a microsecond; others take 30 ns."""

_DEEP_SLEEP = 100
"""Microseconds to wake up from the deepest idle state. A reply over a local network takes some thirty."""

Facts = Mapping[str, str]


def check_noise() -> Iterator[Check]:
    """A finding for every fact of this host that makes figures waver, or would."""
    facts = collect_facts()
    for name, judge in _JUDGES.items():
        hurts, detail, fix = judge(facts)
        yield Check(name, "warning" if hurts else "ok", detail, fix if hurts else "")


Judgement = tuple[bool, str, str]
"""Whether it hurts, what was found, and how to mend it."""


def _load(facts: Facts) -> Judgement:
    known = facts["load"] != "unknown"
    load = float(facts["load"].split()[0]) if known else 0.0
    busy = load > _NOISY_LOAD * int(facts["cpus"])
    return busy, f"{load} in the last minute" if known else "unknown", "stop what else runs"


def _steal(facts: Facts) -> Judgement:
    share = float(facts["steal_share"]) if facts["steal_share"] != "unknown" else 0.0
    detail = f"a hypervisor has given {share:.1%} of the CPUs' time since boot to others"
    return share > _NOISY_STEAL, detail, "use a host whose CPUs nobody else has; each block of a run tells its own"


def _guest(facts: Facts) -> Judgement:
    if facts["hypervisor"] == "none":
        return False, "no: this is a machine of its own", ""
    detail = f"yes, of {facts['hypervisor']}: who else is on its host, and what it does to frequencies, is not seen"
    return True, detail, "use a physical machine for figures that are to last; guests here are guests in a guest"


def _switch(fact: str, hurting: str, why: str, step: str) -> Callable[[Facts], Judgement]:
    """A fact that hurts with one value, and that a step of tuning mends."""

    def judge(facts: Facts) -> Judgement:
        value = facts[fact]
        return value == hurting, f"{value}: {why}" if value == hurting else value, f"bench tune {step}"

    return judge


def _governor(facts: Facts) -> Judgement:
    governor = facts["governor"]
    slow = governor not in ("performance", "unknown")
    lagging = f"{governor}: frequency follows the load, and lags behind it"
    detail = lagging if slow else governor if governor != "unknown" else "frequencies are not set by this kernel"
    return slow, detail, "bench tune governor"


def _huge_pages(facts: Facts) -> Judgement:
    enabled, defrag = facts["transparent_hugepages"], facts["transparent_hugepages_defrag"]
    hurts = "always" in (enabled, defrag)
    why = ": who gets them is a matter of how memory lies at the moment" if hurts else ""
    return hurts, f"{enabled}, defragmented {defrag}{why}", "bench tune huge-pages"


def _swap(facts: Facts) -> Judgement:
    return not facts["swap"].startswith("0"), facts["swap"], "bench tune swap"


def _interrupts(facts: Facts) -> Judgement:
    balanced = facts["irq_balance"] == "running"
    fix = "systemctl stop irqbalance, then bench tune interrupts"
    if balanced:
        return True, "irqbalance is running and moves interrupts, also onto measured CPUs", fix
    return False, "nobody moves them about; bench tune interrupts keeps them off measured CPUs", ""


def _clocksource(facts: Facts) -> Judgement:
    clock = facts["clocksource"]
    slow = clock in _SLOW_CLOCKS
    detail = f"{clock}: reading the time is slow" if slow else clock
    return (
        slow,
        detail,
        "have the kernel use the processor's counter: tsc=reliable on its command line, if it is stable",
    )


def _idle_states(facts: Facts) -> Judgement:
    latency = facts["idle_latency_us"]
    deep = latency.isdecimal() and int(latency) > _DEEP_SLEEP
    detail = f"{facts['idle_states']}; waking up takes up to {latency} µs" if latency.isdecimal() else "unknown"
    return deep, detail, "for latencies, boot with processor.max_cstate=1 (intel_idle.max_cstate=1 on Intel's)"


def _mitigations(facts: Facts) -> Judgement:
    states: Mapping[str, str] = json.loads(facts["mitigations"])
    return False, f"{len(states)} vulnerabilities of this CPU; recorded with every run, and compared between arms", ""


def _aslr(facts: Facts) -> Judgement:
    random = facts["aslr"] not in ("0", "unknown")
    detail = "random, as in production; bench tune --aslr has them be the same every time" if random else facts["aslr"]
    return False, detail, ""


def _tuned(facts: Facts) -> Judgement:
    tuned = facts["tuned"] != "no"
    return tuned, f"{facts['tuned']}: the host is not as it was" if tuned else "no", "bench untune puts it back"


_JUDGES: Mapping[str, Callable[[Facts], Judgement]] = {
    "load": _load,
    "stolen time": _steal,
    "a guest itself": _guest,
    "frequency governor": _governor,
    "turbo": _switch("turbo", "on", "speed goes by heat, and by how many cores are busy", "turbo"),
    "threads of a core (SMT)": _switch("smt", "on", "what runs on a core's other thread slows the measured one", "smt"),
    "transparent huge pages": _huge_pages,
    "page merging (KSM)": _switch("ksm", "1", "it hides memory, and takes CPU time", "page-merging"),
    "swap": _swap,
    "NUMA balancing": _switch("numa_balancing", "1", "it moves memory while it is measured", "numa-balancing"),
    "NMI watchdog": _switch("nmi_watchdog", "1", "it interrupts every CPU, and takes a counter", "watchdog"),
    "interrupts": _interrupts,
    "clock": _clocksource,
    "idle states": _idle_states,
    "mitigations": _mitigations,
    "addresses": _aslr,
    "tuned by bench": _tuned,
}
