"""Fills memory, or reads a file through the page cache, and stays for a while so that somebody can look.

    python3 load.py fill SIZE SECONDS
    python3 load.py read PATH SECONDS

It tells how fast that was, and then ``holding``. At its end all that it had is free; what it read stays in the page
cache.
"""

from __future__ import annotations

import mmap
import sys
import time

_UNITS = {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_AT_ONCE = 1 << 20


def _bytes(size: str) -> int:
    return int(float(size[:-1]) * _UNITS[size[-1]]) if size[-1] in _UNITS else int(size)


def _fill(size: int) -> mmap.mmap:
    """Anonymous memory, all of it written, with bytes that neither KSM nor a compressor makes small."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, size, mmap.PAGESIZE):
        memory[page : page + 8] = page.to_bytes(8, "little")
    return memory


def _read(path: str) -> int:
    total = 0
    with open(path, "rb", buffering=0) as file:
        while part := file.read(_AT_ONCE):
            total += len(part)
    return total


def main() -> None:
    what, of, seconds = sys.argv[1:]
    began = time.monotonic()
    held: object = None
    if what == "fill":
        size = _bytes(of)
        held = _fill(size)
    else:
        size = _read(of)
    rate = size / (time.monotonic() - began)
    print(f"{'filled' if held else 'read'} {rate:.0f} bytes/s\nholding", flush=True)
    time.sleep(float(seconds))


main()
