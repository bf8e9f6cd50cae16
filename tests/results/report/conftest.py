"""A made-up run in a real store, and a real browser to open its report in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from report_browser import open_browser
from selenium.webdriver.remote.webdriver import WebDriver

from results.noise import CpuSpin, NoiseReading
from results.records import RunRecord, Sample, TrialRecord
from results.report import Report, write_report
from results.store import Store

MIB = 1024.0 * 1024
PHASES = {
    "native": {"launch": 90e-6, "ready": 140e-6},
    "container": {
        "cgroup": 0.35e-3,
        "network": 0.9e-3,
        "clone": 0.4e-3,
        "mounts": 0.55e-3,
        "pivot": 0.1e-3,
        "exec": 0.3e-3,
        "ready": 0.3e-3,
    },
    "vm": {"define": 0.41, "spawn": 0.09, "boot": 2.6, "ready": 0.5},
}
MEMORY = {
    "native": {"anon": 0.3 * MIB, "file": 0.5 * MIB, "kernel": 0.4 * MIB, "pss": 0.6 * MIB},
    "container": {"anon": 0.3 * MIB, "file": 0.5 * MIB, "kernel": 1.1 * MIB, "pss": 0.6 * MIB},
    "vm": {
        "anon": 131 * MIB,
        "file": 9 * MIB,
        "kernel": 6 * MIB,
        "pss": 141 * MIB,
        "guest_total": 471 * MIB,
        "guest_free": 392 * MIB,
        "guest_cached": 31 * MIB,
    },
}
WATERFALL = {
    "native": {"application": 0.3 * MIB, "host_kernel": 0.4 * MIB, "host_page_cache": 0.5 * MIB, "residual": 0.0},
    "container": {"application": 0.3 * MIB, "host_kernel": 1.1 * MIB, "host_page_cache": 0.5 * MIB, "residual": 0.0},
    "vm": {
        "application": 1 * MIB,
        "guest_kernel": 48 * MIB,
        "guest_page_cache": 30 * MIB,
        "guest_free": 12 * MIB,
        "vmm": 40.5 * MIB,
        "host_kernel": 6 * MIB,
        "host_page_cache": 9 * MIB,
        "residual": -0.5 * MIB,
    },
}
SHUTDOWN = {"native": ("goodbye", "exited", "stopped"), "vm": ("goodbye", "powered_off", "exited", "stopped")}
IMAGE = {
    "native": {"userland": 352 * MIB},
    "container": {"userland": 352 * MIB},
    "vm": {"userland": 352 * MIB, "kernel": 58 * MIB, "initramfs": 4.2 * MIB},
}
WORKLOADS: list[tuple[str, dict[str, str | int | float | bool], str, float, str, str]] = [
    ("null", {}, "", 0, "", ""),
    ("sysbench-cpu", {"threads": 1, "time": 5}, "events_per_second", 1210, "1/s", "higher"),
    ("sysbench-memory", {"block": "1K", "threads": 1}, "throughput", 6.1e9, "bytes/s", "higher"),
    ("fio", {"bs": "4k", "iodepth": 1, "rw": "randread"}, "iops", 9400, "iops", "higher"),
    ("fio", {"bs": "4k", "iodepth": 16, "jobs": 8, "rw": "randread"}, "iops", 61000, "iops", "higher"),
    ("fio", {"bs": "1M", "iodepth": 16, "rw": "write"}, "bandwidth", 1.1e9, "bytes/s", "higher"),
    ("iperf3", {"client": "peer"}, "bandwidth", 42e9, "bit/s", "higher"),
    ("redis", {"clients": 50}, "requests_per_second", 148000, "1/s", "higher"),
    ("redis", {"clients": 50}, "latency_p99", 0.41e-3, "s", "lower"),
]
LATENCIES = {"latency_p99": {"latency_p50": 0.4, "latency_p999": 4.0}}
"""Further percentiles of a metric, relative to it."""

EXPERIMENTS: list[tuple[str, tuple[tuple[str, str | int | float | bool], ...]]] = [
    ("cold-start", (("layer", "image"),)),
    ("cold-start", (("layer", "kernel"),)),
    ("parallel-start", (("instances", 8),)),
    ("memory-hold", (("size", "128M"),)),
]
FLOOR = 90e-6
"""Seconds that the arm `bare` takes to start."""

CLAIMS: dict[str, dict[str, float]] = {
    "has_its_own_mount_table": {},
    "cannot_see_host_processes": {},
    "cannot_reach_the_host_network": {},
    "root_inside_is_not_root_outside": {"container": 1.0},
    "cannot_load_a_host_module": {},
    "cannot_see_the_host_kernel_log": {"container": 0.3},
    "cannot_escape_by_the_release_agent_of_a_cgroup_hierarchy_that_it_mounts_itself": {},
}
"""How often each claim is broken, by kind of arm; the bare host breaks all."""
LIMITS: dict[str, tuple[float, str, dict[str, float]]] = {
    "cpus": (0.25, "CPUs", {"native": 1.004, "container": 1.01, "vm": 1.12}),
    "memory": (512 * MIB, "bytes", {"native": 1, "container": 0.997, "vm": 0.93}),
    "io.read_bytes": (10 * MIB, "bytes/s", {"native": 1.02, "container": 1.03, "vm": 0.41}),
    "io.write_ops": (1000, "requests/s", {"native": 1.01, "container": 6.2, "vm": 0.99}),
    "net.egress": (100e6, "bit/s", {"container": 0.956, "vm": 0.95}),
}
"""What is asked for, its unit, and by what factor each kind of arm differs from it."""
SPEED = {"native": [1.0] * 9, "container": [1, 1.0, 0.99, 1.01, 0.97, 0.98, 0.71, 0.93, 0.9]}
SPEED["vm"] = [1, 0.045, 0.06, 0.021, 0.03, 0.11, 0.013, 0.024, 0.03]


@dataclass
class MadeRun:
    """A run to be written: arms, blocks and failures as a test wants them."""

    arms: tuple[str, ...] = ("native", "container", "vm")
    id: str = "20261124-114502-3f9a"
    fingerprint: str = "c0ffee12"
    blocks: int = 10
    vm_accel: str = "tcg"
    suite: str = "quick"
    status: str = "complete"
    stop_reason: str | None = "10 blocks, as the suite asks"
    workload: Callable[[str], str] = str
    omit: Sequence[str] = ()
    failures: dict[int, tuple[str, str | None]] = field(default_factory=dict)  # by trial: error, text of the log
    host: dict[str, object] | None = None
    facts: dict[int, dict[str, str]] = field(default_factory=dict)  # by trial
    outcomes: bool = False  # whether there are workloads that check claims and measure limits, and readings of noise
    experiments: bool = False  # whether there are starts of every kind, and memory at three moments

    def write(self, store: Store) -> RunRecord:
        rng = random.Random(7)
        run = RunRecord(
            id=self.id, suite=self.suite, suite_hash="9b1e77a0c2", baseline=self.arms[0], seed=20261124,
            image="4f1c2e9d", host_fingerprint=self.fingerprint, started="2026-11-24T11:45:02Z", ended=None,
            status="running", stop_reason=None, version="0.1.0", threshold=0.05, ci_width=None, arms=self.arms,
        )  # fmt: skip
        store.add_run(run)
        directory = store.run_directory(run.id)
        if self.host is not None:
            (directory / "host.json").write_text(json.dumps(self.host))
        cases = list(dict.fromkeys((name, tuple(params.items())) for name, params, *_ in WORKLOADS))
        if self.outcomes:
            cases += [("isolation", ()), ("limits", ())]
        if self.experiments:
            cases += EXPERIMENTS
        number = 0
        for block in range(self.blocks):
            drift = rng.lognormvariate(0, 0.02)
            order = [(arm, case) for case in cases for arm in self.arms]
            rng.shuffle(order)
            for position, (arm, (name, params)) in enumerate(order):
                number += 1
                trial = TrialRecord(
                    run=run.id, trial=number, block=block, position=position, workload=self.workload(name),
                    params=dict(params), arm=arm, runtime="bare" if arm.startswith("bare") else _kind(arm),
                    accel=self.vm_accel if _kind(arm) == "vm" else "none",
                    status="ok", error=None, started="2026-11-24T11:46:00Z", log=None,
                    facts=self.facts.get(number, {}),
                )  # fmt: skip
                if number in self.failures:
                    error, log = self.failures[number]
                    if log is not None:
                        path = directory / "trials" / str(number) / "log"
                        path.parent.mkdir(parents=True)
                        path.write_bytes(log.encode("utf-8", "surrogateescape"))
                        trial = replace(trial, log=f"trials/{number}/log")
                    store.add_trial(replace(trial, status="failed", error=error), [])
                    continue
                samples = [
                    sample
                    for sample in _samples_of_trial(rng, arm, name, dict(params), drift)
                    if sample.metric not in self.omit
                ]
                store.add_trial(trial, samples)
        if self.outcomes:
            for reading in _readings(self.blocks):
                store.add_noise(run.id, reading)
        store.finish_run(run.id, self.status, "2026-11-24T11:58:40Z", self.stop_reason)
        return store.resolve(run.id)


def _readings(blocks: int) -> Iterator[NoiseReading]:
    """One before the first block and one after each; the second block is disturbed by others."""
    for block in range(blocks + 1):
        spin = CpuSpin(cpu=1, chunks=2000, median=1e-4, p99=1.4e-4, longest=5e-3, gaps=3, lost=0.02)
        yield NoiseReading(
            block=block, taken="2026-11-24T11:46:00Z", seconds=9.5 if block else None, cost=0.2, spins=(spin,),
            steal=0.001 if block else None, own=1.0 if block else None,
            outside=None if not block else 0.9 if block == 2 else 0.02, cpus=2, interrupts=300.0 if block else None,
        )  # fmt: skip


def _kind(arm: str) -> str:
    """Whose figures the arm has; a floor under the starts has the bare host's, but for its start."""
    if arm.startswith("bare"):
        return "native"
    return next((kind for kind in ("native", "container", "vm") if arm.startswith(kind)), "container")


def _samples_of_trial(
    rng: random.Random, arm: str, name: str, params: dict[str, object], drift: float
) -> Iterator[Sample]:
    kind = _kind(arm)
    start = sum(PHASES[kind].values()) * rng.lognormvariate(0, 0.015) * drift
    if name == "cold-start":
        has_layer = params["layer"] == "image" or kind == "vm"
        yield Sample("cold_start_time", 1.5 * start, "s", "lower", primary=True)
        for moment, share in (("before", 1.0), ("left", 0.0), ("read", 0.25)):
            yield Sample(f"page_cache.{moment}", share * has_layer * 64 * MIB, "bytes", "neutral")
    elif name == "parallel-start":
        yield Sample("parallel_start_time", 4 * start, "s", "lower", primary=True)
        yield Sample("parallel_stop_time", start, "s", "lower", primary=True)
    elif arm.startswith("bare"):
        yield Sample("startup_time", FLOOR * drift, "s", "lower", primary=name == "null")
        yield Sample("startup.ready", FLOOR * drift, "s", "lower")
    else:
        yield from _samples(rng, arm, name, params, drift)
        if name == "memory-hold":
            yield from _moments(kind)


def _measured(
    kind: str, name: str, params: dict[str, object], near: Callable[[float, float], float]
) -> Iterator[Sample]:
    """What the workloads themselves measure."""
    for index, (workload, of_case, metric, value, unit, better) in enumerate(WORKLOADS):
        if metric and (workload, of_case) == (name, params):
            speed = SPEED[kind][index]
            spread = 0.09 if workload == "iperf3" else 0.012
            factor = 1 / speed if better == "lower" else speed
            for iteration in range(3):
                yield Sample(metric, near(value * factor, spread), unit, better, iteration, primary=True)
                for percentile, of_p99 in LATENCIES.get(metric, {}).items():
                    yield Sample(percentile, near(of_p99 * value * factor, spread), unit, better, iteration)


def _samples(rng: random.Random, arm: str, name: str, params: dict[str, object], drift: float) -> Iterator[Sample]:
    kind = _kind(arm)

    def near(value: float, spread: float = 0.015) -> float:
        return value * rng.lognormvariate(0, spread) * drift

    phases = {phase: near(seconds, 0.06) for phase, seconds in PHASES[kind].items()}
    yield Sample("startup_time", sum(phases.values()), "s", "lower", primary=name == "null")
    for phase, seconds in phases.items():
        yield Sample(f"startup.{phase}", seconds, "s", "lower")
    shutdown = near(sum(phases.values()) / 4, 0.1)
    yield Sample("shutdown_time", shutdown, "s", "lower")
    ends = SHUTDOWN.get(kind, SHUTDOWN["native"])
    for phase in ends:
        yield Sample(f"shutdown.{phase}", shutdown / len(ends), "s", "lower")
    parts = {part: float(round(near(value, 0.004))) for part, value in MEMORY[kind].items()}
    idle = parts["anon"] + parts["file"] + parts["kernel"]
    yield Sample("memory_footprint", idle, "bytes", "lower")
    for part, value in parts.items():
        yield Sample(f"memory.{part}", value, "bytes", "neutral")
    for step, value in WATERFALL[kind].items():
        yield Sample(f"memory_waterfall.{step}", value, "bytes", "lower")
    yield Sample("memory_peak", idle + near(7 * MIB * (1 + len(name)), 0.02), "bytes", "lower")
    yield Sample("image_size", sum(IMAGE[kind].values()), "bytes", "lower")
    for part, value in IMAGE[kind].items():
        yield Sample(f"image_size.{part}", value, "bytes", "lower")
    slow = {"native": 1.0, "container": 1.02, "vm": 14.0}[kind]
    yield Sample("cpu_time", near((0.004 if name == "null" else 5.1) * slow), "s", "lower")
    yield from _measured(kind, name, params, near)
    if name == "isolation":
        for claim, broken in CLAIMS.items():
            holds = kind != "native" and not (kind in broken and rng.random() < broken[kind])
            if (claim, kind) != ("cannot_load_a_host_module", "vm"):
                yield Sample(claim, float(holds), "check", "higher")
    if name == "limits":
        yield from _limits(rng, kind)


def _moments(kind: str) -> Iterator[Sample]:
    """An application that fills memory, which stays in the guest when it has ended."""
    held = {"loaded": "application", "after": "guest_free" if kind == "vm" else ""}
    for moment, step in held.items():
        steps = {name: value + (128 * MIB if name == step else 0.0) for name, value in WATERFALL[kind].items()}
        yield Sample(f"memory_{moment}", sum(steps.values()), "bytes", "lower")
        yield Sample(f"memory_{moment}.pss", sum(steps.values()) - MIB, "bytes", "lower")
        for name, value in steps.items():
            yield Sample(f"memory_{moment}_waterfall.{name}", value, "bytes", "lower")


def _limits(rng: random.Random, kind: str) -> Iterator[Sample]:
    for limit, (asked, unit, factors) in LIMITS.items():
        if kind in factors:
            given = asked * factors[kind] * rng.lognormvariate(0, 0.01)
            yield Sample(f"limit.{limit}.asked", asked, unit, "neutral")
            yield Sample(f"limit.{limit}.given", given, unit, "neutral")
            yield Sample(f"limit.{limit}.error", 100 * (given / asked - 1), "%", "neutral")


HOST: dict[str, object] = {
    "fingerprint": "c0ffee12",
    "facts": {
        "cpu_model": "AMD EPYC 7B13",
        "cpus": 2,
        "memory": "7.8 GiB",
        "kernel": "6.18.2-cloud-amd64",
        "cgroup": "v1 (hybrid)",
        "mitigations": "spectre_v2: Mitigation: Retpolines; mds: Not affected",
        "governor": None,
        "transparent hugepages": "madvise",
        "ksm": False,
        "swap": "none",
        "qemu": "7.2.22",
        "libvirt": "9.0.0",
    },
    "fairness": [
        {"fact": "kernel", "values": {"native": "6.18.2", "container": "6.18.2", "vm": "6.1.0-31-cloud"}},
        {"fact": "clocksource", "values": {"native": "tsc", "container": "tsc", "vm": "kvm-clock"}},
        {"fact": "visible CPUs", "values": {"native": 2, "container": 2, "vm": 1}},
    ],
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store").open(create=True) as opened:
        yield opened


@pytest.fixture
def make_run(store: Store) -> Callable[..., RunRecord]:
    """Write a run with the given properties into the store; by default a whole one with an emulated guest."""
    return lambda **properties: MadeRun(**{"host": HOST, **properties}).write(store)


@pytest.fixture
def slow_down(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Have a kind of arm reach only a part of its speed in runs that are made from then on."""
    return lambda kind, part: monkeypatch.setitem(SPEED, kind, [part * speed for speed in SPEED[kind]])


@pytest.fixture(scope="session")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    """The report of a run with the given properties, as files: drawing one takes seconds, so each is written once."""
    reports: dict[str, Report] = {}

    def report(**properties: object) -> Report:
        key = repr(sorted(properties.items()))
        if key not in reports:
            directory = tmp_path_factory.mktemp("report")
            with Store(directory / "store").open(create=True) as store:
                run = MadeRun(**{"host": HOST, **properties}).write(store)  # type: ignore[arg-type]
                reports[key] = write_report(store, run, directory / "report")
        return reports[key]

    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[WebDriver]:
    with open_browser() as driver:
        yield driver
