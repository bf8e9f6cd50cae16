"""Images for runs: what the suite's workloads need, packaged by ``workloads``, handed to ``runtimes``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from runtimes.base import Image
    from workloads.files import CarriedFile
    from workloads.image import BuiltImage


def as_runtime_image(built: BuiltImage) -> Image:
    """The image as runtimes know it."""
    from runtimes.base import Image

    return Image(id=built.id, rootfs=built.rootfs, kernel=built.kernel, initramfs=built.initramfs)


def _compiled_agent(digest: str) -> Path:
    """The agent's binary, compiled once for every version of its sources."""
    from runtimes.agent.build import build_agent
    from runtimes.base import HostError
    from workloads.image.cache import cache_directory

    directory = cache_directory() / "agent" / digest[:16]
    binary = directory / "agent"
    if binary.exists():
        return binary
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot make {directory}: {error.strerror}; set BENCH_CACHE to a directory that can be written"
        ) from error
    return build_agent(directory)


def prepare_image(
    packages: Iterable[str], files: Mapping[str, CarriedFile], progress: Callable[[str], None]
) -> BuiltImage:
    """The image with these Debian packages and files (by ``WORKLOAD/NAME``): from the cache at once, else built now.

    Raises:
        InvalidInput: a package does not exist.
        HostError: the host lacks what building needs.
    """
    from runtimes.agent.build import source_digest
    from workloads.image import ensure_image

    digest = source_digest()
    return ensure_image(sorted(set(packages)), _compiled_agent(digest), digest, progress, files)


def newest_image() -> Image | None:
    """The image built last, or None where the cache holds none."""
    from workloads.image import list_images

    images = list_images()
    return as_runtime_image(images[0]) if images else None
