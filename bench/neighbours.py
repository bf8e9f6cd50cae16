"""Neighbours: instances that run something beside the one that is measured, and on which CPUs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from runtimes.base import HostError, Limits
from runtimes.placement import describe_cpus
from workloads.fields import Scalar, format_scalar
from workloads.model import Workload

if TYPE_CHECKING:
    from bench.suite_model import Suite
    from runtimes.placement import Placer

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


def neighbour_limits(placement: Placement, own: Limits, measured: Limits, placer: Placer) -> Limits:
    """The limits of a neighbour: those of its arm, on the CPUs that it is to have.

    Args:
        placement: ``shared`` gives it the CPUs of the measured instance, and the highest others where it may use more;
            ``apart`` cores on which neither that instance nor the harness is.
        own: of its arm.
        measured: of the measured instance.
        placer: of the run.

    Raises:
        HostError: there are not enough cores for ``apart``, or the arm's own CPU set leaves out what it is to have.
    """
    taken, wanted = placer.place(measured).instance, math.ceil(own.cpus)
    allowed = own.cpuset or placer.topology.numbers
    if placement == "shared":
        if not set(taken) <= set(allowed):
            raise HostError(
                f"the neighbour's cpuset, {describe_cpus(own.cpuset)}, does not have all of {describe_cpus(taken)}, "
                "which it is to share with the measured instance; give both arms the same, or say 'cpus: apart'"
            )
        others = [cpu for cpu in reversed(allowed) if cpu not in taken]
        return replace(own, cpuset=tuple(sorted([*reversed(taken), *others][: max(wanted, len(taken))])))
    used = {sibling for cpu in (*taken, *placer.harness) for sibling in placer.topology.threads(cpu)}
    free = tuple(cpu for cpu in allowed if cpu not in used)
    if len(free) < wanted:
        raise HostError(
            f"'cpus: apart' wants {wanted} for the neighbour on cores of its own, beside {describe_cpus(taken)} of the "
            f"measured instance and {describe_cpus(placer.harness)} of the harness, and of {len(placer.topology.cpus)} "
            f"CPUs {len(free)} are left; say 'cpus: shared', or use a larger host"
        )
    return replace(own, cpuset=free)


def check_placements(suite: Suite, placer: Placer) -> None:
    """Find out, before an image is built, whether every neighbour can be where it is to be.

    Args:
        suite: what is to be run.
        placer: that the run is going to have.

    Raises:
        HostError: one cannot; the message names whom it is beside.
    """
    arms = {arm.name: arm for arm in suite.arms}
    for use in suite.uses:
        for neighbour, arm in itertools.product(use.beside, suite.arms):
            own = arms[neighbour.arm or arm.name]
            try:
                neighbour_limits(neighbour.cpus, own.limits, arm.limits, placer)
            except HostError as error:
                message = f"{use.workload.name} beside {neighbour.identity} in {arm.name}: {error}"
                raise HostError(message) from error
