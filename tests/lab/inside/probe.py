"""Find out whether KVM works, with the time that an emulated machine on a busy host needs, for all who ask later."""

from __future__ import annotations

import sys

from bench.images import as_runtime_image, prepare_image
from runtimes.vm.probe import probe_accelerator

_LIMIT = 60.0
"""Seconds for a guest that takes six where nothing else runs; real hosts get less."""

if __name__ == "__main__":
    found = probe_accelerator(as_runtime_image(prepare_image((), {}, print)), limit=_LIMIT)
    print(f"{found.name}: {found.reason}")
    sys.exit(found.name != "kvm")
