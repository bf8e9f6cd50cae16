"""Suites over the fake runtime, and a place where the real runner can carry them out without root."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.interruption import one_interruption
from bench.plan import make_plan
from bench.progress import QuietProgress
from bench.runner import execute
from bench.suite import load_suite
from results.store import Store
from runtimes.placement import make_placer
from runtimes.topology import read_topology
from workloads.image import BuiltImage, Manifest

NOWHERE = Path("/nonexistent")
FAKE_IMAGE = BuiltImage("fake", *([NOWHERE] * 4), Manifest("fake", {}, "", {}, {}, {"linux-image-0": "0"}))

ECHO = """
name: echo
description: Prints a figure.
run: {shell: "echo score: 42"}
parser: regex
metrics: {score: {unit: points, better: higher, primary: true, pattern: 'score: (\\d+)'}}
"""

SUITE = """
name: small
baseline: one
limits: {cpus: 1, memory: 64M}
arms:
  one: {runtime: fake}
  two: {runtime: fake}
workloads: [./echo.yaml]
sampling: {blocks: 2, seed: 1}
"""


@pytest.fixture(scope="session")
def fake_directory(tmp_path_factory):
    """Where the fake runtime keeps the agent that it compiled."""
    return tmp_path_factory.mktemp("fake")


@pytest.fixture
def fake_host(monkeypatch, tmp_path, fake_directory):
    """Let the runner find the fake runtime, and a host that needs neither root nor an image."""
    monkeypatch.setitem(__import__("runtimes.registry").registry.RUNTIMES, "fake", "fake:FakeRuntime")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    cpus = tuple(os.sched_getaffinity(0))
    placer = make_placer(read_topology(cpus))
    facilities = SimpleNamespace(
        run="bench-fake", directory=fake_directory, harness_cpus=cpus, image=None, placer=placer
    )

    @contextmanager
    def open_fake(run, image, limits):
        yield facilities

    monkeypatch.setattr("runtimes.facilities.open_facilities", open_fake)
    monkeypatch.setattr("runtimes.facilities.reclaim", list)
    monkeypatch.setattr("workloads.image.hold_image", lambda image_id: nullcontext())
    return facilities


class SuiteRun:
    """A suite over the fake runtime: write its files, carry it out, look at the store."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store_directory = directory / "store"
        self.suite_text = SUITE
        self.files = {"echo.yaml": ECHO}
        self.observer = QuietProgress()

    def with_suite(self, text):
        self.suite_text = text
        return self

    def with_workload(self, text, name="echo.yaml"):
        self.files[name] = text
        return self

    def with_observer(self, observer):
        self.observer = observer
        return self

    def load(self):
        for name, text in self.files.items():
            (self.directory / name).write_text(text)
        path = self.directory / "suite.yaml"
        path.write_text(self.suite_text)
        return load_suite(str(path))

    def execute(self):
        suite = self.load()
        with Store(self.store_directory).open(create=True) as store, one_interruption() as interruption:
            return execute(suite, make_plan(suite), FAKE_IMAGE, store, self.observer, interruption)

    def record(self):
        with Store(self.store_directory).open(create=False) as store:
            return store.resolve("latest")

    def trials(self):
        with Store(self.store_directory).open(create=False) as store:
            return store.trials(store.resolve("latest").id)

    def frame(self):
        with Store(self.store_directory).open(create=False) as store:
            return store.frame(store.resolve("latest").id)

    def run_directory(self):
        return self.store_directory / "runs" / self.record().id


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
