"""Where the tests of the lab run, and what they share: the base image, and a runtime under KVM."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest

from bench.images import as_runtime_image, prepare_image
from runtimes.base import InstanceSpec, Limits
from runtimes.facilities import open_facilities
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime

pytest.register_assert_rewrite("conformance", "limits_conformance")

LIMITS = Limits(cpus=1, cpuset=(), memory=256 << 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    inside = bool(os.environ.get("BENCH_LAB"))
    for item in items:
        if item.get_closest_marker("lab") and not inside:
            item.add_marker(pytest.mark.skip(reason="runs in the machine that `make lab` boots"))
        if item.get_closest_marker("host") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def base_image():
    """What every image has, and no workload."""
    return as_runtime_image(prepare_image((), {}, lambda _: None))


@pytest.fixture(scope="module")
def facilities(base_image):
    with open_facilities(f"bench-{secrets.token_hex(4)}", base_image) as opened:
        yield opened


@pytest.fixture(scope="module")
def runtime(facilities):
    """Guests as a stock arm has them, with KVM asked for."""
    with VmRuntime.open(facilities, VmOptions(accel="kvm")) as opened:
        yield opened


@pytest.fixture
def new_spec(facilities):
    """Makes specs of instances without a scratch disk."""
    directories = []

    def make(limits=LIMITS):
        name = f"bench-{secrets.token_hex(6)}"
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        directories.append(directory)
        return InstanceSpec(name, facilities.image, limits, None, directory)

    yield make
    for directory in directories:
        shutil.rmtree(directory)
