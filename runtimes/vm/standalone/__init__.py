"""What an exported disk boots in place of the guest's init, whose parts it is made with."""

from __future__ import annotations

from pathlib import Path

from runtimes import compiler

_OWN = Path(__file__).parent
_INIT = _OWN.parent / "init"
_SHARED = ("events.c", "modules.c", "mounts.c")


def build_standalone(binary: Path) -> None:
    """Compile it to a file, whose directory exists.

    Raises:
        HostError: there is no compiler, or it failed.
    """
    compiler.compile_program(binary, [*sorted(_OWN.glob("*.c")), *(_INIT / name for name in _SHARED)])
