"""The guest's initramfs: its init, and the kernel modules that a guest needs.

It is a cpio archive in the "newc" format (kernel documentation, driver-api/early-userspace/buffer-format), the same
bytes for the same content. It is not compressed: to unpack 3 MB costs a guest more than to copy them.
"""

from __future__ import annotations

import lzma
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workloads.image.errors import ImageError

MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "overlay", "ext4")
"""What every guest loads, in this order, as far as it is not built into the kernel; what they depend on comes along."""

HELPERS = ("crc32c_generic",)
"""What every guest loads before that, where it is a module: ext4 asks for it by name when it mounts."""

OPTIONAL_MODULES = {
    "emulated": ("ata_piix", "ahci", "sd_mod", "e1000"),
    "virtio:d00000005v*": ("virtio_balloon",),
}
"""What the kernel may have besides, and when a guest loads it: where its devices are emulated, or where there is a
virtio device with such a modalias (the balloon's number is 5: Virtual I/O Device specification, "Device Types")."""

_DIRECTORIES = ("dev", "image", "modules", "newroot", "proc", "sys", "writes")

_DEPENDS = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a cpio archive.

    Attributes:
        name: path without a leading slash.
        mode: type and permissions, as ``st_mode``.
        data: content of a regular file, target of a symbolic link.
        device: major and minor number of a device node.
    """

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def build_initramfs(init: bytes, modules: Path) -> bytes:
    """The archive for the kernel whose modules lie in ``modules`` (``…/lib/modules/<release>``).

    Args:
        init: the program that is PID 1 of a guest until it hands over to the agent.
        modules: the kernel's modules.

    Raises:
        ImageError: a module that every guest needs is neither there nor built into the kernel.
    """
    kernel = _Kernel(modules)
    helpers = (name for name in HELPERS if kernel.has(name))
    groups = {"always": kernel.load_order((*helpers, *MODULES))}
    for condition, names in OPTIONAL_MODULES.items():
        groups[condition] = kernel.load_order(name for name in names if kernel.has(name))
    files = {path.name: path for group in groups.values() for path in group}
    return write_cpio(
        [
            *(Entry(name, stat.S_IFDIR | 0o755) for name in _DIRECTORIES),
            # The kernel opens it as PID 1's standard input and output before init mounts devtmpfs.
            Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
            Entry("init", stat.S_IFREG | 0o755, init),
            Entry("modules/order", stat.S_IFREG | 0o644, _order(groups).encode()),
            *(
                Entry(f"modules/{_module_name(path)}", stat.S_IFREG | 0o644, _read_module(path))
                for _, path in sorted(files.items())
            ),
        ]
    )


def with_init(initramfs: bytes, init: bytes) -> bytes:
    """An initramfs with another program as its init: of two archives, the second's files replace the first's.

    That is what the kernel does (kernel documentation, driver-api/early-userspace/buffer-format).
    """
    return initramfs + write_cpio([Entry("init", stat.S_IFREG | 0o755, init)])


def _order(groups: Mapping[str, Sequence[Path]]) -> str:
    """A line for each group: when it is loaded, and the names of its files."""
    return "".join(f"{' '.join([condition, *map(_module_name, files)])}\n" for condition, files in groups.items())


def write_cpio(entries: Iterable[Entry]) -> bytes:
    """A "newc" archive of the entries in their order, all owned by root and with time stamp 0."""
    archive = bytearray()
    for number, entry in enumerate((*entries, Entry("TRAILER!!!", 0)), start=1):
        name = entry.name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        major, minor = entry.device
        fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, major, minor, len(name), 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        archive += bytes(-len(archive) % 4)
        archive += entry.data
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


class _Kernel:
    """The modules of one kernel."""

    def __init__(self, directory: Path) -> None:
        self._release = directory.name
        self._files = {_module_name(path): path for path in sorted(directory.rglob("*.ko*"))}
        built_in = directory / "modules.builtin"
        lines = built_in.read_text().split() if built_in.exists() else []
        self._built_in = {_module_name(Path(line)) for line in lines}

    def has(self, name: str) -> bool:
        """Whether there is such a module, as a file or built in."""
        return name in self._files or name in self._built_in

    def load_order(self, wanted: Iterable[str]) -> list[Path]:
        """The files of the wanted modules and of all they depend on, in an order that loads; without built-in ones.

        Raises:
            ImageError: one is neither there nor built in.
        """
        ordered: dict[str, Path] = {}

        def add(name: str) -> None:
            if name in ordered or name in self._built_in:
                return
            if name not in self._files:
                raise ImageError(
                    f"the guest kernel {self._release} has no module {name}, which guests need, neither built in nor "
                    "as a file"
                )
            for dependency in _dependencies(_read_module(self._files[name])):
                add(dependency)
            ordered[name] = self._files[name]

        for name in wanted:
            add(name)
        return list(ordered.values())


def _module_name(path: Path) -> str:
    """A module's name: that of its file, in which the kernel takes ``-`` and ``_`` for the same."""
    return path.name.split(".")[0].replace("-", "_")


def _read_module(path: Path) -> bytes:
    """A module's content, unpacked here once instead of in the guest at every start."""
    data = path.read_bytes()
    if path.suffix == ".ko":
        return data
    if path.suffix == ".xz":
        return lzma.decompress(data)
    raise ImageError(
        f"the kernel module {path.name} is compressed in a way this builder does not read; expected .ko or .ko.xz"
    )


def _dependencies(module: bytes) -> list[str]:
    """What a module says in its ``.modinfo`` section that it depends on."""
    match = _DEPENDS.search(module)
    return [name.replace("-", "_") for name in match[1].decode().split(",") if name] if match else []
