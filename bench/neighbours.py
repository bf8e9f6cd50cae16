"""Neighbours: instances that run something beside the one that is measured, and on which CPUs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from runtimes.base import HostError, Limits
from workloads.fields import Scalar, format_scalar
from workloads.model import Workload

if TYPE_CHECKING:
    from bench.suite_model import Arm, Suite

Placement = Literal["shared", "apart"]
"""Whether a neighbour has the CPUs of the measured instance, or others."""

SAME_ARM = "same"
"""In the place of an arm's name: the one that is measured."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What runs beside.

    Attributes:
        reference: how the suite refers to the workload: a name in the catalogue, or an absolute path.
        workload: what its instance runs, over and over.
        params: of the workload, as far as the suite gives them.
        arm: name of the arm that its instance is of; None for the arm that is measured.
        cpus: where it runs.
    """

    reference: str
    workload: Workload = field(hash=False)
    params: Mapping[str, Scalar] = field(default_factory=dict, hash=False)
    arm: str | None = None
    cpus: Placement = "shared"

    @property
    def identity(self) -> str:
        """Whom a case has beside it: ``fio(rw:write)@vm+apart``, with what the suite gives of that and no more.

        No character of it needs quotes among parameters (:func:`results.records.format_params`), as far as that is up
        to us.
        """
        given = " ".join(f"{name}:{format_scalar(value)}" for name, value in self.params.items())
        arm = "" if self.arm is None else f"@{self.arm}"
        apart = "+apart" if self.cpus == "apart" else ""
        return f"{self.workload.name}{f'({given})' if given else ''}{arm}{apart}"

    def as_data(self) -> dict[str, Any]:
        """As a suite file has it."""
        data: dict[str, Any] = {"workload": self.reference}
        if self.params:
            data["params"] = dict(self.params)
        if self.arm is not None:
            data["arm"] = self.arm
        return data | ({"cpus": self.cpus} if self.cpus != "shared" else {})


def neighbour_limits(
    placement: Placement, own: Limits, taken: Sequence[int], all_cpus: Sequence[int], harness: Sequence[int]
) -> Limits:
    """The limits of a neighbour, those of its arm on the CPUs that it is to have.

    Args:
        placement: ``shared`` gives it the CPUs of the measured instance, and more of the highest others where it may
            use more; ``apart`` gives it the highest of those that neither that instance nor the harness has.
        own: of its arm.
        taken: CPUs of the measured instance.
        all_cpus: that instances may have at all.
        harness: CPUs of the harness.

    Raises:
        HostError: there are not enough CPUs for ``apart``.
    """
    wanted = math.ceil(own.cpus)
    if placement == "shared":
        others = [cpu for cpu in reversed(all_cpus) if cpu not in taken]
        return replace(own, cpuset=tuple(sorted([*reversed(taken), *others][:wanted])))
    free = [cpu for cpu in all_cpus if cpu not in taken and cpu not in harness]
    if len(free) < wanted:
        raise HostError(too_few_cpus(wanted, len(taken), len(all_cpus)))
    return replace(own, cpuset=tuple(free[-wanted:]))


def too_few_cpus(wanted: int, taken: int, there: int) -> str:
    """That a neighbour cannot be apart, in words."""
    return (
        f"a neighbour with 'cpus: apart' needs {wanted + taken + 1} CPUs ({taken} of the measured instance, {wanted} "
        f"of its own, and one for the harness), and this host has {there}; say 'cpus: shared', or use a larger host"
    )


def check_placements(suite: Suite, host_cpus: int) -> None:
    """Find out, before an image is built, whether every neighbour that is to be apart can be.

    Args:
        suite: what is to be run.
        host_cpus: how many CPUs this host has for us.

    Raises:
        HostError: one cannot; the message names the use.
    """
    arms = {arm.name: arm for arm in suite.arms}
    for use in suite.uses:
        for neighbour in use.beside:
            if neighbour.cpus == "apart":
                for arm in suite.arms:
                    _check_apart(arm, arms[neighbour.arm or arm.name], host_cpus, use.workload.name, neighbour)


def _check_apart(arm: Arm, other: Arm, host_cpus: int, victim: str, neighbour: Neighbour) -> None:
    taken, wanted = math.ceil(arm.limits.cpus), math.ceil(other.limits.cpus)
    if taken + wanted + 1 > host_cpus:
        raise HostError(f"{victim} beside {neighbour.identity}: {too_few_cpus(wanted, taken, host_cpus)}")
