"""Suites: what is to be measured in which arms, read from a file, checked as a whole, and resolved.

    suite = load_suite("quick", sampling=SamplingOverride(blocks=10))

Everything that can be wrong with the file is found here, before anything starts, and said with file, line and column.
What the host cannot give is not looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from bench.sampling import SamplingOverride
from bench.suite_model import Arm, Suite, Use
from bench.suite_resolver import Resolver
from results.records import CONFIRMING
from runtimes.base import Options
from workloads.document import Document, invalid, read_document
from workloads.errors import InvalidInput, expected
from workloads.loader import Catalogue, is_path, open_catalogue
from workloads.model import Workload

SUITES = Path(__file__).parent / "suites"
"""The shipped suites, one YAML file each, named like the suite."""


def shipped_suites() -> tuple[str, ...]:
    """The names of the shipped suites, in alphabetical order."""
    return tuple(sorted(path.stem for path in SUITES.glob("*.yaml")))


def registered_options_model(runtime: str) -> type[Options]:
    """The options model of a registered runtime."""
    from runtimes.registry import load_runtime

    return load_runtime(runtime).options_model


def registered_runtimes() -> tuple[str, ...]:
    """The names of the registered runtimes."""
    from runtimes.registry import RUNTIMES

    return tuple(RUNTIMES)


def load_suite(
    reference: str,
    *,
    sampling: SamplingOverride | None = None,
    arms: Sequence[str] = (),
    workloads: Sequence[str] = (),
    tags: Sequence[str] = (),
    connect: str | None = None,
    catalogue: Catalogue | None = None,
    recorded: bool = False,
    options_model_for: Callable[[str], type[Options]] = registered_options_model,
    runtime_names: Sequence[str] | None = None,
) -> Suite:
    """Load a suite and check it.

    Args:
        reference: name of a shipped suite, or a path: with a ``/`` in it, or ending in ``.yaml``.
        sampling: instead of the suite's own; None for nothing.
        arms: names of the only arms to keep; the baseline is always kept. Neighbours in others are left out. Empty for
            all.
        workloads: names of the only workloads to keep. Empty for all, or for those with ``tags``.
        tags: of the only workloads to keep, beside ``workloads``. Empty likewise.
        connect: instead of what arms whose runtime has the option ``connect`` say.
        catalogue: the workloads that there are by name; without it, those that are shipped.
        recorded: whether the file is one that a run has left in the store, whose name may be that of a rerun.
        options_model_for: the options model of a runtime.
        runtime_names: the runtimes that there are; without it, those that are registered.

    Raises:
        InvalidInput: there is no such suite, its file is wrong (one line for each mistake), or an override is.
    """
    if is_path(reference):
        path = Path(reference)
    elif reference in shipped_suites():
        path = SUITES / f"{reference}.yaml"
    else:
        raise InvalidInput(
            f"unknown suite '{reference}'; {expected(reference, shipped_suites())}, or the path of a file"
        )
    names = registered_runtimes() if runtime_names is None else runtime_names
    document = read_document(path)
    suite = Resolver(document, path.parent, catalogue or open_catalogue(), names, options_model_for).suite()
    if not recorded:
        _check_name(document, suite.name)
    suite = _override(suite, sampling or SamplingOverride(), arms, workloads, tags)
    return suite if connect is None else replace(suite, arms=tuple(_connected(arm, connect) for arm in suite.arms))


def _check_name(document: Document, name: str) -> None:
    """Find out whether a name is taken for runs that only confirm others, which go with those."""
    if name.endswith(CONFIRMING):
        message = (
            f"'{name}' ends in {CONFIRMING}, as reruns of 'bench regress --confirm' are called; expected another name"
        )
        raise invalid([document.problem(("name",), message)])


def _override(
    suite: Suite,
    sampling: SamplingOverride,
    arms: Sequence[str],
    workloads: Sequence[str],
    tags: Sequence[str],
) -> Suite:
    for what, asked, known in (
        ("arm", arms, [arm.name for arm in suite.arms]),
        ("workload", workloads, list(suite.definitions)),
        ("tag", tags, sorted({tag for use in suite.uses for tag in use.workload.tags})),
    ):
        for name in asked:
            if name not in known:
                raise InvalidInput(f"unknown {what} '{name}' in suite {suite.name}; {expected(name, known)}")
    kept = tuple(arm for arm in suite.arms if not arms or arm.name in (*arms, suite.baseline))
    return replace(
        suite,
        arms=kept,
        uses=tuple(
            _among(use, {arm.name for arm in kept})
            for use in suite.uses
            if not (workloads or tags) or _is_kept(use.workload, workloads, tags)
        ),
        sampling=sampling.applied_to(suite.sampling),
    )


def _among(use: Use, arms: Collection[str]) -> Use:
    """The use without neighbours in arms that are left out."""
    return replace(use, beside=tuple(each for each in use.beside if each.arm is None or each.arm in arms))


def _is_kept(workload: Workload, names: Sequence[str], tags: Sequence[str]) -> bool:
    return workload.name in names or not set(tags).isdisjoint(workload.tags)


def _connected(arm: Arm, connect: str) -> Arm:
    """The arm with another connection, if it is one that has any."""
    model = type(arm.options)
    if "connect" not in model.model_fields:
        return arm
    try:
        options = model.model_validate(arm.options.model_dump(exclude_unset=True) | {"connect": connect})
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"--connect: '{connect}': {problem}") from error
    return replace(arm, options=options)
