"""One instance for several tests that only look at it: where a start takes seconds, not each of them needs its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtimes.base import Instance, InstanceSpec


class Standing:
    """A runtime with one instance that is up already, and stays so.

    Attributes:
        instance: the instance.
        spec: what it was made from.
    """

    def __init__(self, instance: Instance, spec: InstanceSpec) -> None:
        self.instance = instance
        self.spec = spec

    @contextmanager
    def start(self, _spec: InstanceSpec) -> Iterator[Instance]:
        """The instance that is up, whatever was asked for."""
        yield self.instance


def looking(test: Callable[..., None]) -> Callable[..., None]:
    """A test of the conformance suite with the fixture ``standing`` in the place of ``runtime``.

    For one that asks for a usual instance, leaves it alive, and does not mind what others have done in it.
    """

    @functools.wraps(test)
    def on_standing(self, standing, **fixtures):
        return test(self, runtime=standing, **fixtures)

    signature = inspect.signature(test)
    parameters = [
        each.replace(name="standing") if name == "runtime" else each for name, each in signature.parameters.items()
    ]
    on_standing.__signature__ = signature.replace(parameters=parameters)
    return on_standing
