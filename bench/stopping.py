"""When a run has enough blocks: the rule, and the reason in words that is recorded with the run.

A run begins with a pilot of ``min_blocks``. From then on it is looked at after every block, and ends as soon as the
95 % interval of every primary metric's ratio is no wider than ``ci_width``, or at ``max_blocks``, or when
``time_budget`` is used up. The rule looks at how wide the intervals are, never at where they lie or at p-values. Who
stops as soon as something is significant finds significance everywhere (Armitage, McPherson & Rowe, J. R. Statist. Soc.
A 132 (1969) 235-244); to stop at a fixed width leaves the coverage nearly as it is (Anscombe, Proc. Camb. Phil. Soc. 48
(1952) 600-607; ``tests/results/test_precision.py`` shows it for ours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from results.precision import Precision, widest
from workloads.units import format_share

if TYPE_CHECKING:
    from bench.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known after a block.

    Attributes:
        stop: why no further block is begun, in words; None if one is.
        blocks: how many the run is expected to have in all.
    """

    stop: str | None
    blocks: int


def looks(sampling: Sampling, block: int) -> bool:
    """Whether the precision after so many blocks matters."""
    return sampling.ci_width is not None and block >= sampling.min_blocks


def after_block(sampling: Sampling, block: int, seconds: float, known: Sequence[Precision]) -> Outlook:
    """Whether the run goes on after a block, and for how long.

    Args:
        sampling: the suite's.
        block: how many are done.
        seconds: since the first began.
        known: how well the ratios are known now; needed where :func:`looks` says so.
    """
    width = sampling.ci_width
    if width is not None and looks(sampling, block) and all(_is_known(one, width) for one in known):
        return Outlook(_well_known(known, width, block), block)
    if block >= sampling.max_blocks:
        return Outlook(f"all {block} blocks done" + (_left_over(known, width) if width is not None else ""), block)
    if sampling.time_budget is not None and seconds > sampling.time_budget:
        used = f"time budget of {sampling.time_budget:g} s used up after block {block} ({seconds:.0f} s)"
        return Outlook(used + (_left_over(known, width) if width is not None else ""), block)
    if width is None or block < sampling.min_blocks:
        return Outlook(None, sampling.min_blocks)
    wanted = max((one.blocks_for(width) or sampling.max_blocks for one in known), default=block + 1)
    return Outlook(None, min(max(wanted, block + 1), sampling.max_blocks))


def _is_known(one: Precision, width: float) -> bool:
    return one.width is not None and one.width <= width


def _well_known(known: Sequence[Precision], width: float, block: int) -> str:
    worst = widest(known)
    if worst is None or worst.width is None:
        return f"no ratio to know better after {block} blocks"
    return (
        f"all {len(known)} ratios known to {format_share(width)} after {block} blocks; "
        f"the widest interval is {_percent(worst.width)}: {worst.name}"
    )


def _left_over(known: Sequence[Precision], width: float) -> str:
    """Which ratios are not known well enough."""
    wide = [one for one in known if not _is_known(one, width)]
    worst = widest(wide)
    if worst is None:
        return ""
    extent = "no interval yet" if worst.width is None else f"the widest interval is {_percent(worst.width)}"
    return f"; {len(wide)} of {len(known)} ratios not known to {format_share(width)}; {extent}: {worst.name}"


def _percent(width: float) -> str:
    return f"{100 * width:.1f} %" if width < 10 else f"{width:.0f}-fold"
