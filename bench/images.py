"""Images for runs: what the suite's workloads need, packaged by ``workloads``, handed to ``runtimes``."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from runtimes.base import Image
    from workloads.files import CarriedFile
    from workloads.image import BuiltImage, Imported, Programs


def as_runtime_image(built: BuiltImage) -> Image:
    """The image as runtimes know it."""
    from runtimes.base import GuestKernel, Image

    kernels = {"image": GuestKernel(built.kernel_release, built.bzimage, built.kernel, built.initramfs)}
    for name, kernel in built.kernels.items():
        kernels[name] = GuestKernel(kernel.manifest.release, kernel.bzimage, kernel.kernel, kernel.initramfs)
    return Image(built.id, built.rootfs, kernels)


def origin_text(built: BuiltImage) -> str:
    """What an image was made from, for people."""
    source, recipe = built.manifest.source, built.manifest.recipe
    if source:
        return f"{source['kind']} {source['path']}, {source['digest']} ({source['system']})"
    return f"Debian {recipe.get('release', '')}: {', '.join(recipe.get('packages', ()))}"


def our_programs() -> Programs:
    """The programs of our own that go into images, each compiled once for every version of its sources.

    Raises:
        HostError: there is no compiler, or it failed, or the cache cannot be written.
    """
    from runtimes.agent import build as agent
    from runtimes.vm.init import build as init
    from workloads.image import Programs

    return Programs(
        agent=_compiled("agent", agent.source_digest(), agent.build_agent),
        agent_digest=agent.source_digest(),
        init=_compiled("init", init.source_digest(), init.build_init),
        init_digest=init.source_digest(),
    )


def _compiled(name: str, digest: str, build: Callable[[Path], Path]) -> Path:
    from runtimes.cache import cache_directory

    directory = cache_directory(name, digest[:16])
    binary = directory / name
    return binary if binary.exists() else build(directory)


def prepare_image(
    packages: Iterable[str],
    files: Mapping[str, CarriedFile],
    progress: Callable[[str], None],
    kernels: Collection[str] = (),
    imported: Imported | None = None,
) -> BuiltImage:
    """The image with these Debian packages, files (by ``WORKLOAD/NAME``) and kernels besides its own.

    What is in the cache is there at once; the rest is built now.

    Args:
        packages: their names; where the root file system is imported, they are not installed.
        files: what workloads bring along.
        progress: called with what is being done now.
        kernels: what guests boot besides the image's own.
        imported: what root file system is taken in place of one with the packages, if any.

    Raises:
        InvalidInput: a package does not exist, or what is imported is not there, damaged, or lacks something.
        HostError: the host lacks what building needs, or a kernel that was asked for.
    """
    from workloads.image import Source, ensure_image, identify, image_id, import_image

    programs = our_programs()
    wanted = sorted(set(packages))
    _require_kernels(kernels)
    source = None if imported is None else Source(imported.origin, identify(imported.origin), imported.needs)
    if os.geteuid() != 0:
        _require_buildable(image_id(wanted, programs, files, source))
    if source is not None:
        return import_image(source, programs, progress, files, kernels)
    return ensure_image(wanted, programs, progress, files, kernels)


def _require_kernels(names: Iterable[str]) -> None:
    """Find out whether the kernels are there that are taken from this host.

    Raises:
        HostError: one is not.
    """
    from runtimes.base import HostError
    from workloads.image import ImageError, check_kernel

    for name in names:
        try:
            check_kernel(name)
        except ImageError as error:
            raise HostError(str(error)) from error


def _require_buildable(image: str) -> None:
    """Find out whether an ordinary user has an image, or what building it needs.

    Raises:
        HostError: neither.
    """
    from runtimes.base import HostError
    from runtimes.user_namespace import subordinate_ids
    from workloads.image import list_images
    from workloads.image.cache import cache_directory

    if any(built.id == image for built in list_images()):
        return
    try:
        subordinate_ids()
    except HostError as error:
        raise HostError(
            f"image {image} is not in the cache, and this user cannot build it: {error}; or have root build it, and "
            f"copy the directory {image} from images in root's cache to {cache_directory() / 'images'}"
        ) from error


def newest_image() -> Image | None:
    """The image built last, or None where the cache holds none."""
    from workloads.image import list_images

    images = list_images()
    return as_runtime_image(images[0]) if images else None
