"""Suites over the fake runtime, carried out by the real runner; the fixtures are in conftest.py."""

from __future__ import annotations

from pathlib import Path

from bench.interruption import one_interruption
from bench.plan import make_plan
from bench.progress import QuietProgress
from bench.runner import execute
from bench.suite import load_suite
from results.store import Store
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
