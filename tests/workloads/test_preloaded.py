"""The libraries that a workload makes in its preparation and loads before others, to have one function do nothing."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from workloads.loader import load_workload
from workloads.model import HOST_VALUES

HOST = dict.fromkeys(HOST_VALUES, "of the host")


def prepared(name: str, directory: Path) -> Path:
    """The library that the workload's preparation makes, here made in a directory."""
    workload = load_workload(name)
    (source,) = (file for file in workload.files if file.name.endswith(".s"))
    commands = workload.commands(workload.resolve({}), server_address=None, cpus=1, memory=1 << 28, host=HOST).prepare
    inside = f"/usr/lib/bench/files/{name}/{source.name}"
    for command in commands:
        assert inside in command or command[0] == "ld"
        subprocess.run([_placed(word, directory, {inside: str(source.source)}) for word in command], check=True)
    return Path(_placed(commands[-1][-2], directory, {}))


def _placed(word: str, directory: Path, files: Mapping[str, str]) -> str:
    """A word of a command with a file of the image, or in ``/tmp``, where it lies here."""
    return files.get(word) or (f"{directory}/{word.removeprefix('/tmp/')}" if word.startswith("/tmp/") else word)


@pytest.mark.parametrize("name", ["stream", "fft"])
def test_hpcc_is_spared_products_of_matrices(name: str, tmp_path: Path) -> None:
    ctypes.CDLL(str(prepared(name, tmp_path))).cblas_dgemm()


def test_cyclictest_is_told_that_a_policy_was_set_that_was_not(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    priority = ctypes.c_int(1)
    library = ctypes.CDLL(str(prepared("cyclictest", tmp_path)))
    assert library.sched_setscheduler(0, os.SCHED_FIFO, ctypes.byref(priority)) == 0
    assert os.sched_getscheduler(0) == before
