"""What is recorded of a built image, beside its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workloads.image.errors import ImageError

MANIFEST = "manifest.json"

PARTS = {"userland": "rootfs.ext4", "bzimage": "vmlinuz", "kernel": "kernel", "initramfs": "initramfs"}
"""The parts of an image, and the file of each: the kernel is there as Debian packs it, and unpacked."""

KERNEL_PARTS = {"bzimage": "vmlinuz", "kernel": "kernel", "initramfs": "initramfs"}
"""The parts of a kernel that is kept apart from images; ``kernel`` is missing where it cannot be entered by PVH."""

_KERNEL_PACKAGE = "linux-image-"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an image.

    Attributes:
        size: bytes.
        sha256: of the content, hexadecimal.
    """

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The record of one image.

    Attributes:
        id: hash of the recipe.
        recipe: what it was made from, as in the canonical text.
        built: when, ISO 8601 in UTC.
        parts: as in :data:`PARTS`.
        packages: every package in the userland with its version, as far as its package manager is known.
        kernel: the guest kernel's package with its version.
        source: where an imported root file system is from, by name (:mod:`workloads.image.imported`); empty where it
            was built from packages.
    """

    id: str
    recipe: Mapping[str, Any]
    built: str
    parts: Mapping[str, Part]
    packages: Mapping[str, str]
    kernel: Mapping[str, str]
    source: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """This record as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class KernelManifest:
    """The record of one kernel that guests may boot instead of their image's own.

    Attributes:
        id: hash of the recipe.
        recipe: what it was made from, as in the canonical text.
        release: as ``uname -r`` tells it.
        source: where it comes from, for people: packages with their versions, or files.
        built: when, ISO 8601 in UTC.
        parts: as in :data:`KERNEL_PARTS`.
    """

    id: str
    recipe: Mapping[str, Any]
    release: str
    source: Mapping[str, str]
    built: str
    parts: Mapping[str, Part]

    def text(self) -> str:
        """This record as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class BuiltKernel:
    """A kernel in the cache: where its files are, and what is recorded of it.

    Attributes:
        bzimage: what a firmware or boot loader is handed.
        kernel: the same unpacked, with a PVH entry; None if it has none.
    """

    id: str
    bzimage: Path
    kernel: Path | None
    initramfs: Path
    manifest: KernelManifest

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.manifest.parts.values())


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image in the cache: where its files are, and what is recorded of it.

    Attributes:
        kernels: those that guests may boot instead of the image's own, by the names that they were asked for by.
    """

    id: str
    rootfs: Path
    bzimage: Path
    kernel: Path
    initramfs: Path
    manifest: Manifest
    kernels: Mapping[str, BuiltKernel] = field(default_factory=dict)

    @property
    def kernel_release(self) -> str:
        """Of the guest kernel, as ``uname -r`` tells it."""
        return next(
            name.removeprefix(_KERNEL_PACKAGE) for name in self.manifest.kernel if name.startswith(_KERNEL_PACKAGE)
        )

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.manifest.parts.values())


def describe_parts(directory: Path, parts: Mapping[str, str] = PARTS) -> dict[str, Part]:
    """Size and digest of each part under ``directory``."""
    return {part: _describe(directory / file) for part, file in parts.items()}


def load_kernel(directory: Path) -> BuiltKernel | None:
    """The kernel in ``directory``, or None if it is not whole."""
    try:
        fields = json.loads((directory / MANIFEST).read_text())
        parts = {name: Part(**part) for name, part in fields["parts"].items()}
        manifest = KernelManifest(**{**fields, "parts": parts})
        files = {part: directory / KERNEL_PARTS[part] for part in parts}
        whole = all(file.stat().st_size == parts[part].size for part, file in files.items())
        if not whole or manifest.id != directory.name:
            return None
        return BuiltKernel(manifest.id, files["bzimage"], files.get("kernel"), files["initramfs"], manifest)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def load_image(directory: Path) -> BuiltImage | None:
    """The image in ``directory``, or None if it is not whole: no manifest, or a file of another size than recorded."""
    try:
        manifest = _parse((directory / MANIFEST).read_text())
        sizes = {part: (directory / file).stat().st_size for part, file in PARTS.items()}
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    if manifest.id != directory.name or any(manifest.parts[part].size != size for part, size in sizes.items()):
        return None
    files = {part: directory / file for part, file in PARTS.items()}
    return BuiltImage(manifest.id, files["userland"], files["bzimage"], files["kernel"], files["initramfs"], manifest)


def check_digests(image: BuiltImage) -> None:
    """Read the whole image and compare it with what is recorded.

    Raises:
        ImageError: a part has other bytes than when it was built.
    """
    for part, found in describe_parts(image.rootfs.parent).items():
        if found != image.manifest.parts[part]:
            raise ImageError(
                f"image {image.id} is damaged: {PARTS[part]} has sha256 {found.sha256}, expected "
                f"{image.manifest.parts[part].sha256}; remove {image.rootfs.parent} and build it again"
            )


def _describe(path: Path) -> Part:
    with path.open("rb") as file:
        return Part(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _parse(text: str) -> Manifest:
    fields = json.loads(text)
    parts = {name: Part(**fields["parts"][name]) for name in PARTS}
    return Manifest(**{**fields, "parts": parts})
