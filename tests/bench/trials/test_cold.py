"""Starts with a layer of what they read dropped from the page cache."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from runtimes.leftovers import scratch_parent
from runtimes.page_cache import resident
from workloads.errors import InvalidInput

SUITE = """
name: cold
baseline: one
limits: {cpus: 1, memory: 64M}
arms: {one: {runtime: fake}}
workloads: [{workload: cold-start, params: {layer: LAYER}}]
sampling: {blocks: 1}
"""
SIZES = {"image": 1 << 20, "kernel": 1 << 18}


@pytest.fixture
def directory_on_disk():
    """Where files have a page cache that can be dropped, which is not so where /tmp is in memory."""
    with tempfile.TemporaryDirectory(prefix="test-", dir=scratch_parent()) as directory:
        yield Path(directory)


@pytest.fixture
def layers(directory_on_disk, monkeypatch):
    """A file for each layer, in the page cache, that the fake says its start reads."""
    files = {}
    for layer, size in SIZES.items():
        files[layer] = directory_on_disk / layer
        files[layer].write_bytes(os.urandom(size))
        subprocess.run(["sync", files[layer]], check=True)
    monkeypatch.setattr("fake.FakeRuntime.start_files", lambda self, image: {n: (f,) for n, f in files.items()})
    return files


def carry_out(suite_run, layer):
    """The samples of one trial, by metric, and the trial."""
    suite_run.with_suite(SUITE.replace("LAYER", layer)).execute()
    (trial,) = suite_run.trials()
    frame = suite_run.frame()
    return dict(zip(frame["metric"], frame["value"], strict=True)), trial


@pytest.mark.parametrize(("layer", "dropped"), [("image", {"image"}), ("kernel", {"kernel"}), ("all", set(SIZES))])
def test_what_is_dropped_is_the_layer_and_is_back_afterwards(suite_run, layers, layer, dropped):
    figures, trial = carry_out(suite_run, layer)
    assert figures["page_cache.before"] == sum(SIZES[each] for each in dropped)
    assert figures["page_cache.left"] == figures["page_cache.read"] == 0
    assert set(trial.facts["dropped_from_cache"].split()) == {str(layers[each]) for each in dropped}
    assert {each: resident(file) for each, file in layers.items()} == SIZES


def test_it_is_another_metric_and_the_only_one(suite_run, layers):
    figures, _ = carry_out(suite_run, "all")
    phases = figures["cold_start.launch"] + figures["cold_start.ready"]
    assert figures["cold_start_time"] == pytest.approx(phases)
    assert {name for name in figures if "." not in name} == {"cold_start_time"}


def test_an_arm_without_the_layer_has_its_usual_start(suite_run, layers, monkeypatch):
    monkeypatch.setattr("fake.FakeRuntime.start_files", lambda self, image: {"image": (layers["image"],)})
    figures, trial = carry_out(suite_run, "kernel")
    assert figures["cold_start_time"] > 0
    assert figures["page_cache.before"] == 0
    assert trial.facts["dropped_from_cache"].startswith("nothing: this arm does not have the layer")
    assert resident(layers["image"]) == SIZES["image"]


def test_a_start_from_a_cache_that_keeps_its_pages_is_no_cold_one(suite_run, layers, monkeypatch):
    monkeypatch.setattr("bench.trials.cold.drop_from_cache", lambda path: None)
    figures, trial = carry_out(suite_run, "image")
    assert figures == {}
    assert f"{SIZES['image']} of {SIZES['image']} bytes of {layers['image']} stay in the page cache" in trial.error


def test_there_are_no_other_layers(suite_run):
    with pytest.raises(InvalidInput, match="layer"):
        suite_run.with_suite(SUITE.replace("LAYER", "libraries")).load()
