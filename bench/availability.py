"""Which runtimes this host has, and a suite where it does not have that of every arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from runtimes.base import HostError, Limits

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.suite_model import Suite


_LIMITS = Limits(cpus=1, cpuset=(), memory=1 << 29)


def why_unavailable(name: str, **options: str) -> HostError | None:
    """Why no arm can have a runtime on this host, or None where one can.

    Args:
        name: of the runtime.
        options: of the arm; the defaults for the others.
    """
    from runtimes.registry import load_runtime

    runtime = load_runtime(name)
    try:
        runtime.check(runtime.options_model(**options), _LIMITS)
    except HostError as error:
        return error
    return None


def container_engines() -> Iterator[tuple[str, HostError | None]]:
    """The container engines that arms can name, as a suite says it, each with why this host lacks it, or None."""
    from runtimes.engine.oci_program import PACKAGED
    from runtimes.registry import ENGINES

    for name in ENGINES:
        if name == "oci":
            for program in PACKAGED:
                yield f"oci, program: {program}", why_unavailable(name, program=program)
        else:
            yield name, why_unavailable(name)


def without_unavailable(suite: Suite, plan: Plan, unavailable: Mapping[str, str]) -> tuple[Suite, Plan]:
    """The suite and its plan without the arms that cannot be had, which the plan tells.

    Args:
        suite: the suite.
        plan: of the suite.
        unavailable: why, by arm.

    Raises:
        HostError: there is no comparison without one of them.
    """
    if not unavailable:
        return suite, plan
    listed = "".join(f"\n  arm {name}: {why}" for name, why in unavailable.items())
    if suite.baseline in unavailable:
        raise HostError(f"this host cannot run the baseline {suite.baseline}:{listed}")
    if len(unavailable) == len(suite.arms) - 1:
        raise HostError(f"this host can run no arm but the baseline {suite.baseline}:{listed}")
    for use in suite.uses:
        for neighbour in use.beside:
            if neighbour.arm in unavailable:
                raise HostError(f"{use.workload.name} is run beside {neighbour.identity}, which cannot be had:{listed}")
    left = replace(suite, arms=tuple(arm for arm in suite.arms if arm.name not in unavailable))
    return left, replace(plan, arms=left.arms, suite_hash=left.hash, left_out=dict(unavailable))


def require_all(unavailable: Mapping[str, str]) -> None:
    """Refuse to go on without an arm.

    Raises:
        HostError: one cannot be had.
    """
    if unavailable:
        raise HostError("; ".join(f"arm {name}: {why}" for name, why in unavailable.items()))
