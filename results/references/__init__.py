"""Published figures beside our own: what others have measured, on other hardware, with its source and its caveats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

    from results.compare import Comparison

Kind = Literal["computed", "printed", "secondary"]
"""How a figure was had: computed from the authors' raw data, read in their text, or read in a text about it."""

_OTHERWISE = {"container_hostnet": "container", "container_nat": "container", "container_bridge": "container"}
"""An arm of which a source says nothing apart from another one, as a network is of no matter to a processor."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures were published.

    Attributes:
        key: its short name.
        title: authors, title, year.
        data: where the raw data are; empty if they are not to be had.
        host: what was measured on; empty if that is not said.
        caveats: what a reader must know about its figures.
    """

    key: str
    title: str
    data: str
    host: str
    caveats: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to stand beside its figures, in sentences."""
        return (*((f"Measured on {self.host}.",) if self.host else ()), *self.caveats)


@dataclass(frozen=True, slots=True)
class PublishedRatio:
    """One published comparison of a workload.

    Attributes:
        workload: our workload of the same kind.
        metric: its metric.
        where: for each parameter that matters the values with which ours is about the same.
        params: what else it was measured with, as published.
        native: the figure without a container or a virtual machine, in the metric's unit.
        ratios: by published arm, its figure divided by ``native``.
        source: where it stands.
        kind: how it was had.
        n: how often it was measured; None if that is not known.
    """

    workload: str
    metric: str
    where: Mapping[str, tuple[str, ...]]
    params: Mapping[str, str]
    native: float
    ratios: Mapping[str, float]
    source: Source
    kind: Kind
    n: int | None

    @property
    def setting(self) -> str:
        """``params`` as one text, ``k=v k=v``."""
        return " ".join(f"{name}={value}" for name, value in self.params.items())

    def is_about(self, comparison: Comparison) -> bool:
        """Whether a comparison of ours is about the same metric and parameters."""
        own = dict(pair.split("=", 1) for pair in comparison.params.split(",") if pair)
        same = (self.workload, self.metric) == (comparison.workload, comparison.metric)
        return same and all(own.get(name) in values for name, values in self.where.items())

    def ratio_of(self, arm: str, runtime: str) -> float | None:
        """The published ratio for an arm of ours, or None.

        That is the published arm of its name; for one whose name is none of theirs, that of its runtime.
        """
        name = arm.replace("-", "_")
        if name not in _published_arms():
            return self.ratios.get(runtime)
        return self.ratios.get(name, self.ratios.get(_OTHERWISE.get(name, name)))


@dataclass(frozen=True, slots=True)
class Reference:
    """A comparison of ours with what was published of the same.

    Attributes:
        comparison: ours.
        ratio: theirs.
        published: the whole of what was published.
    """

    comparison: Comparison
    ratio: float
    published: PublishedRatio


def sources() -> dict[str, Source]:
    """The sources that have ratios, by key."""
    return {published.source.key: published.source for published in published_ratios()}


@cache
def published_ratios() -> tuple[PublishedRatio, ...]:
    """All published ratios, in the order of the file."""
    from results.references.file import read_published

    return read_published()


def references_of(
    comparisons: Iterable[Comparison], runtimes: Mapping[str, str], source: str | None = None
) -> list[Reference]:
    """What was published of the same as our comparisons with the native arm, in their order.

    Args:
        comparisons: of one run.
        runtimes: the runtime of each arm.
        source: key of the only source to look at; None for all.
    """
    return [
        Reference(comparison, ratio, published)
        for comparison in comparisons
        if runtimes.get(comparison.baseline) == "native"
        for published in published_ratios()
        if source in (None, published.source.key) and published.is_about(comparison)
        if (ratio := published.ratio_of(comparison.arm, runtimes[comparison.arm])) is not None
    ]


def runtimes_of(frame: pd.DataFrame) -> dict[str, str]:
    """The runtime of each arm.

    Args:
        frame: from :meth:`results.store.Store.frame`.
    """
    return {str(arm): str(runtime) for arm, runtime in zip(frame["arm"], frame["runtime"], strict=True)}


def to_json(reference: Reference) -> dict[str, object]:
    """What was published, as plain data."""
    published = reference.published
    return {
        "source": published.source.key,
        "ratio": reference.ratio,
        "native": published.native,
        "where": {name: list(values) for name, values in published.where.items()},
        "params": dict(published.params),
        "kind": published.kind,
        "n": published.n,
        "host": published.source.host,
        "caveats": list(published.source.caveats),
    }


def sources_of(references: Iterable[Reference]) -> list[Source]:
    """Whose figures these are, each once."""
    return list({each.published.source.key: each.published.source for each in references}.values())


@cache
def _published_arms() -> frozenset[str]:
    return frozenset(arm for published in published_ratios() for arm in published.ratios) | _OTHERWISE.keys()
