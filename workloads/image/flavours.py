"""Kernels that guests may boot instead of their image's own: Debian's for any machine, the host's, or a file.

Each is kept in the cache on its own, with our initramfs made for it, under a hash of what it is made from: for Debian's
the name of its package, as with images; for files their bytes and those of the modules that guests load.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workloads.image.cache import ImageCache
from workloads.image.errors import ImageError
from workloads.image.guest import Guest, fetch_guest, write_guest
from workloads.image.initramfs import build_initramfs
from workloads.image.kernel import is_elf, kernel_release, unpack_if_pvh
from workloads.image.manifest import KERNEL_PARTS, BuiltKernel, KernelManifest, describe_parts
from workloads.image.packages import open_packages
from workloads.image.recipe import ALL_MODULES, BUILDER_VERSION, Programs, debian_release
from workloads.image.tools import remove_tree, require_space

GENERIC = "generic"
HOST = "host"

GENERIC_PACKAGE = "linux-image-amd64"
"""Depends on the current kernel that Debian builds for any machine, with drivers for emulated devices."""

_BOOT = Path("/boot")
_MODULES = Path("/lib/modules")


@dataclass(frozen=True, slots=True)
class _File:
    """A kernel on the host.

    Attributes:
        path: of the kernel.
        content: its bytes.
        modules: directory of its modules.
    """

    path: Path
    content: bytes
    modules: Path


def check_kernel(name: str) -> None:
    """Find out, before anything is built, whether there is such a kernel, as far as that is known without network.

    Raises:
        ImageError: there is none, or its modules are not there, or it lacks what guests need.
    """
    if name != GENERIC:
        build_initramfs(b"", _find(name).modules)


def ensure_kernel(name: str, programs: Programs, cache: ImageCache, progress: Callable[[str], None]) -> BuiltKernel:
    """The kernel with this name, made ready for guests if the cache does not have it.

    Args:
        name: ``generic``, ``host``, or the absolute path of a kernel file.
        programs: our own, of which the guest's init goes in.
        cache: where it is kept.
        progress: called with what is being done now.

    Raises:
        ImageError: there is no such kernel, its modules are not there, it lacks what guests need, or Debian's could not
            be fetched.
    """
    file = None if name == GENERIC else _find(name)
    recipe = _recipe(file, programs.init_digest)
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()
    key = hashlib.sha256(canonical).hexdigest()[:16]

    def build(directory: Path) -> str:
        require_space(directory)
        work = directory / "work"
        guest = _fetch_generic(cache.packages, work, progress) if file is None else _from_host(file)
        progress(f"making kernel '{name}' ready for guests")
        unpacked = unpack_if_pvh(guest.kernel)
        if unpacked is None and is_elf(guest.kernel):
            raise ImageError(f"kernel: {name}: an ELF file without a PVH entry (CONFIG_PVH), which QEMU cannot boot")
        write_guest(guest, programs.init, directory, unpacked)
        remove_tree(work)
        files = {part: file for part, file in KERNEL_PARTS.items() if (directory / file).exists()}
        built = datetime.now(UTC).isoformat(timespec="seconds")
        parts = describe_parts(directory, files)
        return KernelManifest(key, recipe, guest.modules.name, guest.source, built, parts).text()

    return cache.kernels.ensure(key, build, progress)


def _recipe(file: _File | None, init_digest: str) -> Mapping[str, Any]:
    """All that decides what comes out, up to the version of Debian's package on the day on which it is built."""
    common = {"builder": BUILDER_VERSION, "init": init_digest}
    if file is None:
        return {**common, "debian": debian_release(), "package": GENERIC_PACKAGE, "modules": ALL_MODULES}
    return {
        **common,
        "release": file.modules.name,
        "kernel": hashlib.sha256(file.content).hexdigest(),
        "modules": hashlib.sha256(build_initramfs(b"", file.modules)).hexdigest(),
    }


def _find(name: str) -> _File:
    path = _BOOT / f"vmlinuz-{os.uname().release}" if name == HOST else Path(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        where = f"kernel: {name}: cannot read {path}: {error.strerror}"
        if name == HOST:
            where += "; the running kernel was not installed as a Debian package: take kernel: generic, or a path"
        raise ImageError(where) from error
    try:
        release = kernel_release(content)
    except ImageError as error:
        raise ImageError(f"kernel: {name}: {path}: {error}") from error
    modules = _MODULES / release
    if not modules.is_dir():
        raise ImageError(
            f"kernel: {name}: {path} is Linux {release}, and there is no {modules} with its modules: install them "
            "(the package linux-image-RELEASE, or make modules_install)"
        )
    return _File(path, content, modules)


def _fetch_generic(package_cache: Path, work: Path, progress: Callable[[str], None]) -> Guest:
    with open_packages(package_cache, debian_release(), progress) as packages:
        progress("fetching Debian's kernel for any machine")
        packages.update(progress)
        packages.require((GENERIC_PACKAGE,))
        return fetch_guest(GENERIC_PACKAGE, packages, work)


def _from_host(file: _File) -> Guest:
    return Guest(file.content, file.modules, {str(file.path): file.modules.name, "modules": str(file.modules)})
