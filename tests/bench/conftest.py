"""A place where the real runner can carry out suites over the fake runtime without root."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
from fake_runs import SuiteRun

from runtimes.placement import make_placer
from runtimes.topology import read_topology


@pytest.fixture(scope="session")
def fake_directory(tmp_path_factory):
    """Where the fake runtime keeps the agent that it compiled."""
    return tmp_path_factory.mktemp("fake")


@pytest.fixture
def fake_host(monkeypatch, tmp_path, fake_directory):
    """Let the runner find the fake runtime, and a host that needs neither root nor an image."""
    monkeypatch.setitem(__import__("runtimes.registry").registry.RUNTIMES, "fake", "fake:FakeRuntime")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("bench.noise.spin.CHUNKS", 20)  # two milliseconds, and not a fifth of a second a block
    cpus = tuple(os.sched_getaffinity(0))
    placer = make_placer(read_topology(cpus))
    facilities = SimpleNamespace(
        run="bench-fake",
        directory=fake_directory,
        harness_cpus=cpus,
        image=None,
        placer=placer,
        cpu_seconds=lambda: 0.0,
        instance_cpus=lambda limits: placer.place(limits).instance,
    )

    @contextmanager
    def open_fake(run, image, limits):
        yield facilities

    monkeypatch.setattr("runtimes.facilities.open_facilities", open_fake)
    monkeypatch.setattr("runtimes.facilities.reclaim", list)
    monkeypatch.setattr("workloads.image.hold_image", lambda image_id: nullcontext())
    return facilities


@pytest.fixture
def suite_run(fake_host, tmp_path):
    return SuiteRun(tmp_path)


@pytest.fixture
def heeded_signals():
    """Whoever started the tests may have had some of them ignored."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.SIG_DFL),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
