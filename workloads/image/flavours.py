"""Kernels that guests may boot instead of their image's own: Debian's for any machine, the host's, or a file.

Each is kept in the cache on its own, with our initramfs made for it, under a hash of what it is made from: for Debian's
the name of its package, as with images; for files their bytes and those of the modules that guests load.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workloads.image.cache import ImageCache
from workloads.image.errors import ImageError
from workloads.image.guest import Guest, fetch_busybox, fetch_guest, write_guest
from workloads.image.initramfs import MODULES, OPTIONAL_MODULES, init_script, read_modules
from workloads.image.kernel import is_elf, kernel_release, unpack_if_pvh
from workloads.image.manifest import KERNEL_PARTS, BuiltKernel, KernelManifest, describe_parts
from workloads.image.packages import Packages, open_packages
from workloads.image.recipe import BUILDER_VERSION, debian_release
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
        read_modules(_find(name).modules)


def ensure_kernel(name: str, cache: ImageCache, progress: Callable[[str], None]) -> BuiltKernel:
    """The kernel with this name, made ready for guests if the cache does not have it.

    Args:
        name: ``generic``, ``host``, or the absolute path of a kernel file.
        cache: where it is kept.
        progress: called with what is being done now.

    Raises:
        ImageError: there is no such kernel, its modules are not there, it lacks what guests need, or Debian's could not
            be fetched.
    """
    file = None if name == GENERIC else _find(name)
    recipe = _recipe(file)
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode()
    key = hashlib.sha256(canonical).hexdigest()[:16]

    def build(directory: Path) -> str:
        require_space(directory)
        work = directory / "work"
        with ExitStack() as stack:
            packages = stack.enter_context(open_packages(cache.packages, debian_release(), progress))
            progress(f"fetching what kernel '{name}' needs")
            packages.update(progress)
            guest = _fetch_generic(packages, work) if file is None else _from_host(file, packages, work)
            release = guest.modules.name
            unpacked = unpack_if_pvh(guest.kernel)
            if unpacked is None and is_elf(guest.kernel):
                raise ImageError(f"kernel {name}: an ELF file without a PVH entry (CONFIG_PVH), which QEMU cannot boot")
            write_guest(guest, directory, unpacked)
        remove_tree(work)
        files = {part: file for part, file in KERNEL_PARTS.items() if (directory / file).exists()}
        built = datetime.now(UTC).isoformat(timespec="seconds")
        return KernelManifest(key, recipe, release, guest.source, built, describe_parts(directory, files)).text()

    return cache.kernels.ensure(key, build, progress)


def _recipe(file: _File | None) -> Mapping[str, Any]:
    """All that decides what comes out, up to the version of Debian's package on the day on which it is built."""
    common = {
        "builder": BUILDER_VERSION,
        "init": hashlib.sha256(init_script()).hexdigest(),
        "modules": [*MODULES, *OPTIONAL_MODULES],
        "debian": debian_release(),
    }
    if file is None:
        return {**common, "package": GENERIC_PACKAGE}
    modules = hashlib.sha256()
    for name, content in sorted(read_modules(file.modules).items()):
        modules.update(f"{name}\0{len(content)}\0".encode() + content)
    return {
        **common,
        "release": file.modules.name,
        "kernel": hashlib.sha256(file.content).hexdigest(),
        "module_files": modules.hexdigest(),
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


def _fetch_generic(packages: Packages, work: Path) -> Guest:
    packages.require((GENERIC_PACKAGE,))
    return fetch_guest(GENERIC_PACKAGE, packages, work)


def _from_host(file: _File, packages: Packages, work: Path) -> Guest:
    busybox, version = fetch_busybox(packages, work)
    source = {str(file.path): file.modules.name, "modules": str(file.modules), "busybox-static": version}
    return Guest(file.content, file.modules, busybox, source)
