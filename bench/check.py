"""Trying a workload out: a suite of one trial in the native arm, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.sampling import Sampling
from bench.suite_model import Arm, Suite, Use
from results.records import Sample
from runtimes.base import Limits
from workloads.errors import InvalidInput
from workloads.fields import Scalar
from workloads.model import Workload

if TYPE_CHECKING:
    from results.store import Store

ARM = "native"
"""Both the arm and its runtime: what runs there runs everywhere, and it starts at once."""

LIMITS = Limits(cpus=1.0, cpuset=(), memory=2**30)
"""Enough for every workload of the catalogue, and there on every host."""

_SAMPLE = ("metric", "value", "unit", "better", "primary")
"""Columns of a run's frame."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of the one trial.

    Attributes:
        workload: its name.
        params: every parameter, defaults included.
        error: why it failed, or None.
        figures: the metrics that the workload declares; for one that runs nothing, those it is there for.
        log: every command with its output.
    """

    workload: str
    params: Mapping[str, Scalar]
    error: str | None
    figures: tuple[Sample, ...]
    log: str

    def as_data(self) -> dict[str, Any]:
        """The same as plain data, for ``--format json``."""
        return {
            "workload": self.workload,
            "params": dict(self.params),
            "status": "ok" if self.error is None else "failed",
            "error": self.error,
            "metrics": [
                {
                    "metric": figure.metric,
                    "value": figure.value,
                    "unit": figure.unit,
                    "better": figure.better,
                    "primary": figure.primary,
                }
                for figure in self.figures
            ],
            "log": self.log,
        }


def check_suite(reference: str, workload: Workload, params: Mapping[str, Scalar]) -> Suite:
    """The suite that runs ``workload`` once, with these values of its parameters and the defaults for the others.

    Args:
        reference: how the suite refers to it: its name, or an absolute path.
        workload: what is tried out.
        params: as the workload takes them.
    """
    from runtimes.registry import load_runtime

    return Suite(
        name="check",
        description=f"{workload.name} once, to see what it writes and what is found in it.",
        baseline=ARM,
        limits=LIMITS,
        arms=(Arm(ARM, ARM, LIMITS, load_runtime(ARM).options_model()),),
        uses=(Use(reference, workload, {name: (value,) for name, value in params.items()}),),
        sampling=Sampling.fixed(1, seed=0),
    )


def chosen_params(workload: Workload, given: Mapping[str, str], *, quick: bool) -> dict[str, Scalar]:
    """The values of parameters that a person has chosen on a command line.

    Args:
        workload: whose parameters they are.
        given: text by the name of a parameter.
        quick: whether those that are not given have the workload's values for trying it out.

    Raises:
        InvalidInput: there is no such parameter, or it cannot have that value.
    """
    chosen: dict[str, Scalar] = dict(workload.quick) if quick else {}
    for name, text in given.items():
        parameter = workload.parameters.get(name)
        chosen[name] = text if parameter is None else parameter.from_text(text)
        try:
            workload.resolve({name: chosen[name]})
        except ValueError as error:
            raise InvalidInput(f"--param {name}={text}: {error}") from None
    return chosen


def read_checked(store: Store, run: str, workload: Workload) -> Checked | None:
    """What the store has of the one trial of ``run``; None if it was not carried out."""
    trials = store.trials(run)
    if not trials:
        return None
    (trial,) = trials
    rows = store.frame(run).to_dict(orient="records")
    samples = [Sample(**{key: row[key] for key in _SAMPLE}) for row in rows]
    return Checked(
        workload=workload.name,
        params=trial.params,
        error=trial.error,
        figures=tuple(
            sample for sample in samples if (sample.metric in workload.metrics if workload.metrics else sample.primary)
        ),
        log=(store.run_directory(run) / trial.log).read_text() if trial.log else "",
    )
