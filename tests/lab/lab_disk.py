"""The lab's second disk: the work tree as it is now, the images that runs need, and in the end the results."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml
from lab_image import PROJECT, make_filled_ext4

from bench.images import prepare_image
from bench.plan import make_plan
from bench.suite import load_suite
from runtimes.launcher.build import build_executor
from runtimes.leftovers import PREFIX, SCRATCH_SUFFIX, held_directory, reclaim, scratch_parent
from runtimes.vm.emulator import build_emulator, find_qemu
from workloads.image import BuiltImage
from workloads.image.cache import cache_directory
from workloads.image.tools import run

SUITES: Mapping[str, tuple[str, ...]] = {"quick": (), "isolation": (), "limits": ("container-50", "vm-50")}
"""Shipped suites that run in the lab, with those of their arms that do, where it is not all."""

_AT_MOST = {"runtime": 3, "requests": 1000, "warmup_requests": 10}
"""The most of parameters that decide how long a workload runs, in seconds or requests: no figure from here counts."""

_SPACE = 3 << 30
"""Bytes that are left free on it, for results and the scratch disks of runs."""


@contextmanager
def work_disk(steps: Iterable[str], progress: Callable[[str], None]) -> Iterator[Path]:
    """A new disk image, removed in the end; if this process is killed, by the next or by `bench clean`.

    Args:
        steps: names of those of the driver's steps that are wanted; all if none is named.
        progress: called with what is being done now.

    Raises:
        HostError: the disk or an image could not be made; the message says why.
    """
    reclaim()
    directory = scratch_parent() / f"{PREFIX}lab-{secrets.token_hex(4)}{SCRATCH_SUFFIX}"
    with held_directory(directory):
        tree = directory / "tree"
        (tree / "results").mkdir(parents=True)
        (tree / "steps").write_text(" ".join(steps))
        _copy_project(tree / "project")
        suites = _write_suites(tree / "suites")
        for image in _images(suites, progress):
            for source in (image.rootfs.parent, *(kernel.bzimage.parent for kernel in image.kernels.values())):
                _share(source, tree / "cache" / source.relative_to(cache_directory()))
        _copy_programs(tree / "cache")
        disk = directory / "work.ext4"
        progress("lab: making the disk with the work tree")
        make_filled_ext4(tree, disk, _SPACE)
        shutil.rmtree(tree)
        yield disk


def fetch_results(disk: Path, target: Path) -> None:
    """Replace a directory by the results on the disk; what the machine wrote last may have to be replayed first.

    Raises:
        HostError: the disk could not be read.
    """
    # Status 1: it had to be mended, which is what a journal is for (e2fsck(8)).
    subprocess.run(["e2fsck", "-fy", disk], check=False, capture_output=True)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    run(["debugfs", "-R", f"rdump /results/ {target}", disk], doing="reading the lab's results")


def _copy_project(target: Path) -> None:
    """What git knows of the work tree, and what it would, as it is now, compiled for the lab's Python."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        source = PROJECT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    places = ("-s", str(target), "-p", "/work/project")
    run(["/usr/bin/python3", "-m", "compileall", "-q", *places, target], doing="compiling the work tree")


def _write_suites(directory: Path) -> list[Path]:
    """The shipped suites with ``accel: kvm``, so that nothing else can pass, and no more arms than needed."""
    directory.mkdir()
    written = []
    for name, kept in SUITES.items():
        suite = yaml.safe_load((PROJECT / f"bench/suites/{name}.yaml").read_text())
        arms = {arm: options for arm, options in suite["arms"].items() if not kept or arm in kept}
        for options in arms.values():
            if options["runtime"] == "vm":
                options["accel"] = "kvm"
        for use in suite["workloads"]:
            params = use.get("params", {}) if isinstance(use, dict) else {}
            for parameter in _AT_MOST.keys() & params.keys():
                params[parameter] = min(params[parameter], _AT_MOST[parameter])
        suite["arms"] = arms
        suite["baseline"] = next(iter(arms))
        suite["name"] = f"{name}-kvm"
        path = directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(suite, sort_keys=False))
        written.append(path)
    return written


def _images(suites: list[Path], progress: Callable[[str], None]) -> list[BuiltImage]:
    """What the suites need, and the image of the tests, which has nothing but the base, and one kernel more."""
    images = {image.id: image for image in [prepare_image((), {}, progress, ("generic",))]}
    for suite in suites:
        plan = make_plan(load_suite(str(suite)))
        image = prepare_image(plan.packages(), plan.files(), progress)
        images.setdefault(image.id, image)
    return list(images.values())


def _copy_programs(cache: Path) -> None:
    """What was compiled here for images, for launching and for QEMU, under the digests by which it is found."""
    emulator = build_emulator(find_qemu()).path
    for program in (build_executor(), emulator):
        target = cache / program.relative_to(cache_directory())
        target.parent.mkdir(parents=True)
        shutil.copy2(program, target)
    for name in ("agent", "init"):
        shutil.copytree(cache_directory() / name, cache / name)


def _share(source: Path, target: Path) -> None:
    """The files of an image under another name, by hard links where they can be had."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            try:
                os.link(path, target / path.name)
            except OSError:
                shutil.copy2(path, target / path.name)
