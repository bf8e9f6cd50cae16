"""The guest's initramfs: busybox, the kernel modules that a virtio guest needs, and ``init.sh``.

It is a cpio archive in the "newc" format (kernel documentation, driver-api/early-userspace/buffer-format), the same
bytes for the same content. It is not compressed: to unpack 3 MB costs a guest more than to copy them.
"""

from __future__ import annotations

import lzma
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from workloads.image.errors import ImageError

MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "overlay", "ext4")
"""What every guest loads, in this order; what they depend on comes along."""

OPTIONAL_MODULES = ("crc32c_generic", "virtio_balloon", "sd_mod", "ahci", "ata_piix", "e1000")
"""What a guest loads for devices that not all have, as far as its kernel knows them. ``crc32c_generic`` is no
dependency of ext4, which asks for it by name once it mounts."""

_DIRECTORIES = ("bin", "dev", "etc", "image", "lib", "lib/modules", "newroot", "proc", "sys", "writes")

_SKELETON_DIRECTORIES = ("dev", "dev/pts", "dev/shm", "writes", "writes/files", "writes/work")
_SKELETON_LINKS = {
    "dev/fd": "/proc/self/fd",
    "dev/stdin": "/proc/self/fd/0",
    "dev/stdout": "/proc/self/fd/1",
    "dev/stderr": "/proc/self/fd/2",
}
"""What the script copies into freshly mounted file systems, in one go instead of with a program for each."""

_EARLY_MOUNTS = """\
proc /proc proc defaults 0 0
sysfs /sys sysfs defaults 0 0
devtmpfs /dev devtmpfs mode=755 0 0
writes /writes tmpfs mode=755 0 0
"""

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


def init_script() -> bytes:
    """The script that is PID 1 of a guest until it hands over to the agent."""
    return resources.files("workloads.image").joinpath("init.sh").read_bytes()


def build_initramfs(busybox: bytes, modules: Path) -> bytes:
    """The archive for the kernel whose modules lie in ``modules`` (``…/lib/modules/<release>``).

    Raises:
        ImageError: a module that every guest needs is neither there nor built into the kernel.
    """
    release = modules.name
    loaded = read_modules(modules)
    skeleton = ("skeleton", *(f"skeleton/{name}" for name in _SKELETON_DIRECTORIES))
    directories = (*_DIRECTORIES, *skeleton, f"lib/modules/{release}")
    return write_cpio(
        [
            *(Entry(name, stat.S_IFDIR | 0o755) for name in directories),
            *(
                Entry(f"skeleton/{name}", stat.S_IFLNK | 0o777, target.encode())
                for name, target in _SKELETON_LINKS.items()
            ),
            # The kernel opens it as PID 1's standard input and output before init mounts devtmpfs.
            Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
            Entry("init", stat.S_IFREG | 0o755, init_script()),
            Entry("bin/busybox", stat.S_IFREG | 0o755, busybox),
            Entry("etc/fstab", stat.S_IFREG | 0o644, _EARLY_MOUNTS.encode()),
            Entry("etc/modules", stat.S_IFREG | 0o644, _names(MODULES, loaded)),
            Entry("etc/modules.optional", stat.S_IFREG | 0o644, _names(OPTIONAL_MODULES, loaded)),
            Entry(f"lib/modules/{release}/modules.dep", stat.S_IFREG | 0o644, _modules_dep(loaded).encode()),
            *(
                Entry(f"lib/modules/{release}/{name}.ko", stat.S_IFREG | 0o644, data)
                for name, data in sorted(loaded.items())
            ),
        ]
    )


def read_modules(modules: Path) -> dict[str, bytes]:
    """What guests load or may load of a kernel's modules, with what that depends on, in an order that loads.

    Raises:
        ImageError: a module that every guest needs is neither there nor built into the kernel.
    """
    there = {_module_name(path) for path in modules.rglob("*.ko*")}
    wanted = (*MODULES, *(name for name in OPTIONAL_MODULES if name in there))
    return {name: _read_module(path) for name, path in _module_files(modules, wanted).items()}


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


def _module_files(modules: Path, wanted: Iterable[str]) -> dict[str, Path]:
    """The files of the wanted modules and of all they depend on, in an order that loads; without built-in ones."""
    files = {_module_name(path): path for path in sorted(modules.rglob("*.ko*"))}
    built_in_list = modules / "modules.builtin"
    built_in = (
        {_module_name(Path(line)) for line in built_in_list.read_text().split()} if built_in_list.exists() else set()
    )
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in ordered or name in built_in:
            return
        if name not in files:
            raise ImageError(
                f"the guest kernel {modules.name} has no {name}, neither built in nor as a module in {modules}: "
                "guests need it"
            )
        for dependency in _dependencies(_read_module(files[name])):
            add(dependency)
        ordered[name] = files[name]

    for name in wanted:
        add(name)
    return ordered


def _names(wanted: Iterable[str], loaded: Mapping[str, bytes]) -> bytes:
    return " ".join(name for name in wanted if name in loaded).encode() + b"\n"


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


def _modules_dep(loaded: Mapping[str, bytes]) -> str:
    """The dependency table as depmod writes it: all that a module needs, what must be loaded first standing last."""
    order = list(loaded)

    def needed(name: str) -> Iterator[str]:
        for dependency in _dependencies(loaded[name]):
            if dependency in loaded:
                yield dependency
                yield from needed(dependency)

    lines = (
        f"{name}.ko:"
        + "".join(f" {dependency}.ko" for dependency in sorted(set(needed(name)), key=order.index, reverse=True))
        for name in order
    )
    return "\n".join(lines) + "\n"
