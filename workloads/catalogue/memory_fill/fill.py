"""Has a child take memory step by step until the kernel kills it, and tells how far that went.

    python3 fill.py MOST_MIB

The child offers itself to the kernel as the process to kill. What the two hold of anonymous memory before the first
step counts too: the instance has given it.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys

_STEP = 2**20


def _held() -> int:
    """Bytes of anonymous memory of the calling process (RssAnon of proc_pid_status(5))."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def _take(most: int, taken: mmap.mmap) -> None:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    steps: list[mmap.mmap] = []
    while len(steps) * _STEP < most:
        taken[:8] = struct.pack("q", len(steps) * _STEP)
        # The kernel fills the step in one call. Touched page by page, this program's own code would be thrown out and
        # read again for each of them, and the kernel, that has won a page each time, would kill nobody for minutes.
        steps.append(mmap.mmap(-1, _STEP, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))


def main() -> None:
    most = int(sys.argv[1]) << 20
    # Shared with the child, and there when the child is not.
    taken = mmap.mmap(-1, mmap.PAGESIZE)
    own = _held()
    child = os.fork()
    if child == 0:
        _take(most, taken)
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    if not os.WIFSIGNALED(ended) or os.WTERMSIG(ended) != signal.SIGKILL:
        raise SystemExit(f"expected the kernel to kill the child before it had {most} bytes; it ended with {ended}")
    print(f"filled {own + struct.unpack('q', taken[:8])[0]} bytes")


main()
