"""Sampling: how many blocks a run has, how well it wants to know the ratios, and which difference matters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from results.stats.verdict import MIN_BLOCKS, THRESHOLD
from workloads.errors import InvalidInput
from workloads.units import format_duration, format_share

if TYPE_CHECKING:
    from bench.suite_file import SamplingFile

DEFAULT_MIN_BLOCKS = 10
"""With 6 blocks the least p-value is 0.031, which control of false discoveries over some ten metrics leaves nothing of;
with 10 it is 0.002."""

DEFAULT_MAX_BLOCKS = 30
DEFAULT_CI_WIDTH = 0.05


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much is measured.

    Attributes:
        min_blocks: rounds over all cases and arms before the first look at the ratios.
        max_blocks: rounds at the most; equal to ``min_blocks`` where the number is fixed.
        ci_width: how wide the interval of every primary metric's ratio may be at the end (upper end over lower end,
            less 1); None where the number of blocks is fixed.
        threshold: the practical threshold of verdicts.
        seed: of the random order, or None for a new one in every run.
        time_budget: seconds; no block is begun after them. None for no limit.
    """

    min_blocks: int
    max_blocks: int
    ci_width: float | None
    threshold: float = THRESHOLD
    seed: int | None = None
    time_budget: float | None = None

    @classmethod
    def fixed(cls, blocks: int, *, seed: int | None = None, time_budget: float | None = None) -> Sampling:
        """So many blocks, whatever comes of them."""
        return cls(blocks, blocks, None, seed=seed, time_budget=time_budget)

    @classmethod
    def of_file(cls, file: SamplingFile) -> Sampling:
        """What a suite's file says, and the defaults."""
        most = file.blocks or file.max_blocks or max(DEFAULT_MAX_BLOCKS, file.min_blocks or 0)
        return cls(
            min_blocks=file.blocks or file.min_blocks or min(DEFAULT_MIN_BLOCKS, most),
            max_blocks=most,
            ci_width=None if file.blocks else file.ci_width or DEFAULT_CI_WIDTH,
            threshold=file.threshold,
            seed=file.seed,
            time_budget=file.time_budget,
        )

    def as_data(self) -> dict[str, Any]:
        """As plain data in the form of a suite file."""
        data: dict[str, Any]
        if self.ci_width is None:
            data = {"blocks": self.max_blocks}
        else:
            data = {"min_blocks": self.min_blocks, "max_blocks": self.max_blocks}
            data["ci_width"] = format_share(self.ci_width)
        if self.threshold != THRESHOLD:
            data["threshold"] = format_share(self.threshold)
        if self.seed is not None:
            data["seed"] = self.seed
        if self.time_budget is not None:
            data["time_budget"] = format_duration(self.time_budget)
        return data

    def describe(self) -> str:
        """How many blocks, in words."""
        if self.ci_width is None:
            return f"{self.max_blocks} {'block' if self.max_blocks == 1 else 'blocks'}"
        return f"{self.min_blocks} to {self.max_blocks} blocks, until ratios are known to {format_share(self.ci_width)}"


@dataclass(frozen=True, slots=True)
class SamplingOverride:
    """What a person wants instead of a suite's own sampling; None for what the suite says.

    Attributes:
        blocks: this number, fixed.
        max_blocks: as many blocks at the most, until ratios are known well enough.
        ci_width: how well that is.
        time_budget: seconds.
        seed: of the random order.
        threshold: the practical threshold of verdicts.

    Raises:
        InvalidInput: a value is none to work with, or ``blocks`` and those that let the number vary are both given.
    """

    blocks: int | None = None
    max_blocks: int | None = None
    ci_width: float | None = None
    time_budget: float | None = None
    seed: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 1:
            raise InvalidInput(f"expected at least 1 block, got {self.blocks}")
        if self.max_blocks is not None and self.max_blocks < MIN_BLOCKS:
            raise InvalidInput(f"expected at least {MIN_BLOCKS} blocks at the most, got {self.max_blocks}")
        if self.blocks is not None and (self.max_blocks is not None or self.ci_width is not None):
            raise InvalidInput("a fixed number of blocks leaves nothing for a most, or for a width, to decide")
        if self.seed is not None and self.seed < 0:
            raise InvalidInput(f"expected a seed of at least 0, got {self.seed}")

    def applied_to(self, sampling: Sampling) -> Sampling:
        """The suite's sampling with what is wanted instead."""
        given = {
            key: value for key in ("time_budget", "seed", "threshold") if (value := getattr(self, key)) is not None
        }
        changed = replace(sampling, **given)
        if self.blocks is not None:
            return replace(changed, min_blocks=self.blocks, max_blocks=self.blocks, ci_width=None)
        if self.max_blocks is None and self.ci_width is None:
            return changed
        if changed.ci_width is None:
            changed = replace(
                changed, min_blocks=DEFAULT_MIN_BLOCKS, max_blocks=DEFAULT_MAX_BLOCKS, ci_width=DEFAULT_CI_WIDTH
            )
        most = self.max_blocks or changed.max_blocks
        return replace(
            changed,
            min_blocks=min(changed.min_blocks, most),
            max_blocks=most,
            ci_width=self.ci_width or changed.ci_width,
        )
