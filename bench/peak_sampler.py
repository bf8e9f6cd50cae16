"""The most memory that the kernel could not have taken back, by readings at a fixed period while a workload runs.

The kernel's own high-water mark counts page cache that it could have dropped at any time, and so stops at the limit of
any instance that reads enough; there is none of what it could not drop. A reading takes two small files of the
instance's cgroup: 0.06 ms of CPU time on version 1, so that at this period a thread of the harness, on the harness's
own CPU, takes an eighth of a percent of it. What comes and goes between two readings is not seen.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

PERIOD = 0.05
"""Seconds between two readings."""


class PeakSampler:
    """Reads for as long as its context is open, once at the beginning and once at the end in any case.

    Attributes:
        highest: the highest reading, bytes; None if there is none, as the instance was gone.
        readings: how many there were.
    """

    def __init__(self, read: Callable[[], int], period: float = PERIOD) -> None:
        """``read`` gives bytes; that a file or process is not there is the end of the instance, and of the readings."""
        self._read = read
        self._period = period
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-sampler", daemon=True)
        self.highest: int | None = None
        self.readings = 0
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def described(self) -> str:
        """Period and number of readings, for whoever reads the figure."""
        return f"{self.readings} readings, one in {self._period * 1e3:g} ms"

    def _sample(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._period) if self.readings else self._over.is_set()
            try:
                value = self._read()
            except (FileNotFoundError, ProcessLookupError):
                return
            except Exception as error:  # raised by who has the readings
                if not isinstance(error, OSError) or error.errno != errno.ENODEV:  # a cgroup that is being removed
                    self._failure = error
                return
            self.highest = value if self.highest is None else max(self.highest, value)
            self.readings += 1
