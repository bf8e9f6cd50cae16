"""Runtimes by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runtimes.base import Limits, Options
from runtimes.registry import RUNTIMES, load_runtime


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_is_there_under_its_name(name):
    runtime = load_runtime(name)
    assert runtime.name == name
    assert issubclass(runtime.options_model, Options)


def test_a_runtime_that_is_none():
    with pytest.raises(KeyError):
        load_runtime("mainframe")


def test_without_libvirt_runtimes_are_listed_and_the_host_is_told():
    program = """
import sys
sys.modules["libvirt"] = sys.modules["libvirt_qemu"] = None
from runtimes.base import HostError, Limits
from runtimes.registry import RUNTIMES, load_runtime
for name in RUNTIMES:
    print(name)
vm = load_runtime("vm")
options = vm.options_model(accel="tcg")
limits = Limits(1, (), 1 << 29)
try:
    vm.check(options, limits)
except HostError as error:
    print(error)
"""
    completed = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    *listed, checked = completed.stdout.splitlines()
    assert listed == list(RUNTIMES)
    assert "libvirt-python" in checked
    assert "apt-get install libvirt-dev, then make setup" in checked


@pytest.mark.parametrize("name", ["native", "container"])
def test_what_needs_nothing_of_the_host_checks_nothing(name):
    runtime = load_runtime(name)
    runtime.check(runtime.options_model(), Limits(1, (), 1 << 29))


def test_the_registry_itself_costs_nothing():
    program = (
        "import sys, runtimes.registry; print(sorted({'pydantic', 'pyroute2', 'libvirt', 'ctypes'} & set(sys.modules)))"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "[]"
