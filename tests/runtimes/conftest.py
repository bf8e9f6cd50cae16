"""A small image and facilities for the tests that need a real host."""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import traces
from standing import Standing

from runtimes.agent.build import build_agent
from runtimes.base import AGENT_PATH, Image, InstanceSpec, Limits, Runtime
from runtimes.facilities import Facilities, open_facilities
from runtimes.storage import make_scratch

pytest.register_assert_rewrite("conformance", "limits_conformance")

LIMITS = Limits(cpus=1, cpuset=(), memory=128 << 20)
SCRATCH = 16 << 20

_DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "run", "scratch", "sys", "tmp", "usr/bin", "usr/lib/bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("host") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session", autouse=True)
def _temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    traces.temporary_directory = tmp_path_factory.getbasetemp()


@pytest.fixture(scope="session")
def tiny_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The agent and a busybox: enough to test runtimes that share the host's kernel."""
    directory = tmp_path_factory.mktemp("tiny-image")
    tree = directory / "tree"
    for name in _DIRECTORIES:
        (tree / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is needed"
    shutil.copy(busybox, tree / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    build_agent((tree / AGENT_PATH.lstrip("/")).parent)
    rootfs = directory / "rootfs.ext4"
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), "-E", "root_owner=0:0", str(rootfs), "32M"]
    subprocess.run(command, check=True, capture_output=True)
    return Image("tiny", rootfs)


@pytest.fixture(scope="module")
def facilities(tiny_image: Image) -> Iterator[Facilities]:
    with open_facilities(traces.new_run_name(), tiny_image) as opened:
        yield opened


def make_spec(
    directory: Path, facilities: Facilities, *, scratch: bool = True, limits: Limits = LIMITS
) -> InstanceSpec:
    """A spec of an instance with a scratch disk of its own, all in ``directory``."""
    name = f"bench-{secrets.token_hex(6)}"
    own = directory / name
    own.mkdir()
    disk = own / "scratch"
    if scratch:
        make_scratch(disk, SCRATCH)
    return InstanceSpec(name, facilities.image, limits, disk if scratch else None, own)


@pytest.fixture
def make_spec_for(tmp_path: Path) -> Callable[..., InstanceSpec]:
    """Makes specs of instances for facilities."""
    return functools.partial(make_spec, tmp_path)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[Standing]]:
    """Starts an instance that several tests look at."""

    @contextmanager
    def stand(runtime: Runtime, facilities: Facilities) -> Iterator[Standing]:
        spec = make_spec(tmp_path_factory.mktemp("standing"), facilities)
        with runtime.start(spec) as instance:
            yield Standing(instance, spec)

    return stand


@pytest.fixture
def new_spec(facilities: Facilities, make_spec_for: Callable[..., InstanceSpec]) -> Callable[..., InstanceSpec]:
    """The same for the module's facilities."""
    return functools.partial(make_spec_for, facilities)
