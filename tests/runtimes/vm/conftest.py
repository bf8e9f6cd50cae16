"""Facilities with an image that guests can boot, and a runtime: in software emulation, and under KVM in the lab."""

from __future__ import annotations

import dataclasses
import os
import secrets

import pytest

from bench.images import as_runtime_image, our_programs
from runtimes.facilities import open_facilities
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime
from workloads.image import ensure_image

pytest.register_assert_rewrite("start_phases")


@pytest.fixture(scope="session")
def accel():
    """What runs the tests' guests: emulation works everywhere, and where KVM is known to work it is what is tested."""
    return "kvm" if os.environ.get("BENCH_LAB") else "tcg"


@pytest.fixture(scope="session")
def guest_image(tiny_image):
    """The small root file system with real kernels and initramfs."""
    built = ensure_image((), our_programs(), lambda _: None, kernels=("generic",))
    return dataclasses.replace(tiny_image, kernels=as_runtime_image(built).kernels)


@pytest.fixture(scope="module")
def facilities(guest_image):
    with open_facilities(f"bench-{secrets.token_hex(4)}", guest_image) as opened:
        yield opened


@pytest.fixture(scope="module")
def runtime(facilities, accel):
    with VmRuntime.open(facilities, VmOptions(accel=accel)) as opened:
        yield opened


@pytest.fixture(scope="module")
def standing(stand, runtime, facilities):
    """A guest for tests that only look at it."""
    with stand(runtime, facilities) as one:
        yield one
