"""Runtimes by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runtimes.base import Options
from runtimes.registry import RUNTIMES, load_runtime


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_is_there_under_its_name(name):
    runtime = load_runtime(name)
    assert runtime.name == name
    assert issubclass(runtime.options_model, Options)


def test_a_runtime_that_is_none():
    with pytest.raises(KeyError):
        load_runtime("mainframe")


def test_the_registry_itself_costs_nothing():
    program = (
        "import sys, runtimes.registry; print(sorted({'pydantic', 'pyroute2', 'libvirt', 'ctypes'} & set(sys.modules)))"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "[]"
