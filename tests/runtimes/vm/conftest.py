"""Facilities with an image that guests can boot, and a runtime: in software emulation, and under KVM in the lab."""

from __future__ import annotations

import dataclasses
import os
import secrets

import pytest

from runtimes.agent.build import build_agent
from runtimes.agent.build import source_digest as agent_digest
from runtimes.base import GuestKernel
from runtimes.facilities import open_facilities
from runtimes.vm.init.build import build_init
from runtimes.vm.init.build import source_digest as init_digest
from runtimes.vm.options import VmOptions
from runtimes.vm.runtime import VmRuntime
from workloads.image import Programs, ensure_image


@pytest.fixture(scope="session")
def accel():
    """What runs the tests' guests: emulation works everywhere, and where KVM is known to work it is what is tested."""
    return "kvm" if os.environ.get("BENCH_LAB") else "tcg"


@pytest.fixture(scope="session")
def guest_image(tiny_image, tmp_path_factory):
    """The small root file system with the real kernel and initramfs."""
    programs = Programs(
        agent=build_agent(tmp_path_factory.mktemp("agent")),
        agent_digest=agent_digest(),
        init=build_init(tmp_path_factory.mktemp("init")),
        init_digest=init_digest(),
    )
    built = ensure_image((), programs, lambda _: None)
    kernel = GuestKernel(built.kernel_release, built.bzimage, built.kernel, built.initramfs)
    return dataclasses.replace(tiny_image, kernels={"image": kernel})


@pytest.fixture(scope="module")
def facilities(guest_image):
    with open_facilities(f"bench-{secrets.token_hex(4)}", guest_image) as opened:
        yield opened


@pytest.fixture(scope="module")
def runtime(facilities, accel):
    with VmRuntime.open(facilities, VmOptions(accel=accel)) as opened:
        yield opened
