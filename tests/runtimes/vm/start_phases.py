"""Where a guest's start went: the phases that there must be, whichever way it starts."""

from __future__ import annotations

import pytest

HOST = ["define", "spawn", "connected", "resume"]
"""What the host sees of any start, before READY."""

BOOTED = [*HOST, "guest_firmware", "guest_kernel", "guest_initramfs", "guest_userspace", "ready"]
RESTORED = [*HOST, "guest_restored", "guest_initramfs", "guest_userspace", "ready"]


def assert_phases(instance, expected=BOOTED):
    """Once the facts are read, the phases are these, none is empty, and no time is missing between them."""
    assert "guest_phases" not in instance.facts, instance.facts["guest_phases"]
    phases = dict(instance.timeline.phases())
    print({name: f"{seconds * 1e3:.2f} ms" for name, seconds in phases.items()})
    assert list(phases) == expected
    assert min(phases.values()) > 0
    assert sum(phases.values()) == pytest.approx(instance.timeline.seconds("requested", "ready"), abs=1e-6)
    return phases
