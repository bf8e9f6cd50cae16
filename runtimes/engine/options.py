"""The options that arms of every container engine have."""

from __future__ import annotations

from typing import Literal

from runtimes.base import Options


class EngineOptions(Options):
    """What people argue about, by every engine's own means; each engine's class says what they are.

    Attributes:
        network: as for our own container: ``bridge``, ``nat``, ``host`` or ``none``.
        seccomp: whether system calls are filtered.
        user_namespace: root inside is an ordinary user outside.
        scratch: whether the scratch disk is a ``volume`` at ``/scratch``, or that a directory of the writable
            ``layer``.
    """

    network: Literal["bridge", "nat", "host", "none"] = "bridge"
    seccomp: bool = True
    user_namespace: bool = False
    scratch: Literal["volume", "layer"] = "volume"

    @property
    def linked(self) -> bool:
        """Whether a container has a link of its own."""
        return self.network in ("bridge", "nat")
