"""The runtimes that arms can name; each is imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from runtimes.base import Runtime

RUNTIMES: Mapping[str, str] = {
    "bare": "runtimes.bare:BareRuntime",
    "native": "runtimes.native:NativeRuntime",
    "container": "runtimes.container.runtime:ContainerRuntime",
    "vm": "runtimes.vm.runtime:VmRuntime",
    "oci": "runtimes.oci:OciRuntime",
    "docker": "runtimes.docker:DockerRuntime",
    "podman": "runtimes.podman:PodmanRuntime",
    "lxc": "runtimes.lxc:LxcRuntime",
    "nspawn": "runtimes.nspawn:NspawnRuntime",
}
"""Module and class by the name that suites use."""

_OURS = ("bare", "native", "container", "vm")

ENGINES = tuple(name for name in RUNTIMES if name not in _OURS)
"""Those that start containers by a program of others, which a host may not have."""


def load_runtime(name: str) -> type[Runtime]:
    """Import the class of a runtime.

    Raises:
        KeyError: there is none of this name.
    """
    module, _, class_name = RUNTIMES[name].partition(":")
    return cast("type[Runtime]", getattr(importlib.import_module(module), class_name))
