"""AppArmor around libvirt's daemons, which may execute only the programs that their profile names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_PROFILES = Path("/sys/kernel/security/apparmor/profiles")
_DAEMONS = ("libvirtd", "virtqemud")


def how_to_permit(emulator: Path, profiles: Path = _PROFILES) -> str:
    """How to have a confined daemon execute our emulator; empty where none is confined, or we may not know.

    Args:
        emulator: the program, in a directory of its own.
        profiles: the kernel's list, ``PROFILE (MODE)`` a line.
    """
    try:
        loaded = profiles.read_text()
    except OSError:
        return ""
    name = next(_confined(loaded), None)
    if name is None:
        return ""
    rule = f"{emulator.parents[1]}/*/{emulator.name} PUx,"
    return (
        f"AppArmor lets {name} execute only what its profile names: "
        f"echo '{rule}' | sudo tee -a /etc/apparmor.d/local/usr.sbin.{name} && "
        f"sudo apparmor_parser -r /etc/apparmor.d/usr.sbin.{name}"
    )


def _confined(loaded: str) -> Iterator[str]:
    for line in loaded.splitlines():
        profile, _, mode = line.rpartition(" ")
        name = Path(profile).name
        if mode == "(enforce)" and name in _DAEMONS:
            yield name
