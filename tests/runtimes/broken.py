"""Images that cannot work."""

from __future__ import annotations

import dataclasses
import shutil
import struct
import subprocess

from runtimes.base import AGENT_PATH


def foreign_elf() -> bytes:
    """The beginning of a program for AArch64 (elf(5))."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, 0x400000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 4096, 4096, 4096)
    return (ident + header + program).ljust(4096, b"\0")


def image_with_agent(tiny_image, directory, agent, *, original=None):
    """The small image with another agent.

    Args:
        tiny_image: what is changed, with its tree beside it.
        directory: where to put the new one.
        agent: the bytes of the agent.
        original: the name beside it under which the image's own agent stays.
    """
    tree = directory / "tree"
    shutil.copytree(tiny_image.rootfs.parent / "tree", tree, symlinks=True)
    place = tree / AGENT_PATH.lstrip("/")
    if original is not None:
        shutil.copy(place, place.with_name(original))
    place.write_bytes(agent)
    place.chmod(0o755)
    rootfs = directory / "rootfs.ext4"
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), "-E", "root_owner=0:0", str(rootfs), "32M"]
    subprocess.run(command, check=True, capture_output=True)
    return dataclasses.replace(tiny_image, rootfs=rootfs)
