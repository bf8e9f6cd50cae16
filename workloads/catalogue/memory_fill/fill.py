"""Has a child take memory until the kernel kills it, and tells how far that went.

    python3 fill.py MOST_MIB

The child offers itself to the kernel as the process to kill. How much memory it had at the most is the kernel's own
figure (``ru_maxrss`` of getrusage(2)), so that nothing need be counted on the way; less what was mapped of files, which
may be paid by others. Of that, the kernel may have thrown out some before the end, so that the figure is too small by
what the interpreter's code takes, some 4 MiB, and not too large.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys

_MAP_NORESERVE = 0x4000  # of mmap(2); without it the kernel refuses at once to map more than the machine has


def _mapped_of_files() -> int:
    """Bytes of files, of this process, that are in memory (RssFile of proc_pid_status(5))."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("RssFile:"))
    return int(line.split()[1]) * 1024


def _take(most: int, told: int) -> None:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    os.write(told, struct.pack("q", _mapped_of_files()))
    # All in one call: with every return to this program its own code would be thrown out of memory and read again. As
    # long as there is such code to throw out, a kernel that is out of memory finds some, and kills nobody for minutes.
    mmap.mmap(-1, most, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE | _MAP_NORESERVE)


def main() -> None:
    most = int(sys.argv[1]) << 20
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _take(most, writer)
        os._exit(0)
    _, ended, usage = os.wait4(child, 0)
    if not os.WIFSIGNALED(ended) or os.WTERMSIG(ended) != signal.SIGKILL:
        raise SystemExit(f"expected the kernel to kill the child before it had {most} bytes; it ended with {ended}")
    (of_files,) = struct.unpack("q", os.read(reader, 8))
    print(f"filled {usage.ru_maxrss * 1024 - of_files} bytes")


main()
