"""Figures as people read them: 2.31 ms, 148 MiB, 12,400 iops, 0.97×."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from datetime import datetime

MISSING = "–"
"""What stands where there is no figure."""


class Written(str):
    """A figure as people read it that still knows its value, so that a table can be sorted by it.

    Attributes:
        value: what was written, in its unit, unrounded; None where there is no figure.
    """

    __slots__ = ("value",)
    value: float | None

    def __new__(cls, text: str, value: float | None) -> Written:
        made = super().__new__(cls, text)
        made.value = value if value is not None and math.isfinite(value) else None
        return made


def machine_value(cell: str) -> float | None:
    """What a table is sorted by: the value of a :class:`Written`, or that of a plain number; None for other text."""
    if isinstance(cell, Written):
        return cell.value
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


_SECONDS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = tuple((1024.0**power, name) for power, name in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB"), (0, "B")))
_BITS = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s"))
_BYTE_UNITS = {"bytes": "", "B": "", "bytes/s": "/s", "B/s": "/s"}
_ZEROS = re.compile(r"(?:\.|(\.\d*[1-9]))0+(?!\d)")
"""What is behind a decimal point and says nothing."""


def is_bytes(unit: str) -> bool:
    """Whether ``unit`` counts bytes (or bytes a second), and so is written in powers of 1024."""
    return unit in _BYTE_UNITS


def is_scaled(unit: str) -> bool:
    """Whether a figure in ``unit`` changes its unit with its magnitude, and so must be written with it."""
    return unit in {"s", "bit/s"} or is_bytes(unit)


def number(value: float | None, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, thousands separated and never in scientific notation below 1e15."""
    return Written(_number(value, digits), value)


def _number(value: float | None, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e15:
        return f"{value:.{digits - 1}e}"
    # Rounded before its magnitude is taken, so that 0.9999 becomes 1.00 and not 1.000.
    rounded, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{float(f'{rounded}e{exponent}'):,.{max(digits - 1 - int(exponent), 0)}f}"


def quantity(value: float | None, unit: str, digits: int = 3) -> str:
    """``value`` in ``unit`` at a readable scale; seconds, bytes and bits a second change unit, any other keeps its own.

    Args:
        value: the figure; None and NaN give :data:`MISSING`.
        unit: as recorded with the sample (``s``, ``bytes``, ``bytes/s``, ``iops``…).
        digits: significant digits.
    """
    return Written(_quantity(value, unit, digits), value)


def _quantity(value: float | None, unit: str, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    if unit == "s":
        # Seconds are understood up to a thousand: 71 s beside 5 s reads better than 1.18 min.
        return _scaled(value, _SECONDS if abs(value) >= 1000 else _SECONDS[3:], digits)
    if is_bytes(unit):
        return _scaled(value, _BYTES, digits) + _BYTE_UNITS[unit]
    if unit == "bit/s":
        return _scaled(value, _BITS, digits)
    if unit == "1/s":
        return f"{number(value, digits)}/s"
    return f"{number(value, digits)} {unit}".rstrip()


def tick(value: float, unit: str, digits: int = 3) -> str:
    """``value`` for an axis, or as someone chose it: as :func:`quantity`, without zeros that say nothing."""
    return Written(_ZEROS.sub(r"\1", quantity(value, unit, digits)), value)


def ratio(value: float | None) -> str:
    """A ratio with its sign: ``0.97×``, ``1,620×``."""
    return Written(MISSING if value is None or not math.isfinite(value) else f"{number(value)}×", value)


def effect(value: float | None) -> str:
    """A ratio above 1 as the difference that it is: ``8.2 %``, and from 2 on ``3.40×``; empty where there is none."""
    if value is None or not math.isfinite(value):
        return ""
    return Written(ratio(value) if value >= 2 else f"{number(100 * (value - 1), 2)} %", value)


def percentage(value: float) -> str:
    """A difference in percent with its sign: ``+1.2 %``, ``-0.4 %``, ``+1,240 %``; ``0.0 %`` has none."""
    text = f"{value:+,.1f}" if abs(value) < 99.95 else f"{value:+,.0f}"
    return Written(f"{'0.0' if float(text.replace(',', '')) == 0 else text} %", value)


def interval(low: float | None, high: float | None) -> str:
    """A confidence interval of a ratio: ``0.94–1.02×``; empty text where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    upper = "∞" if math.isinf(high) else ratio(high)
    return f"{number(low)}–{upper}"


def moment(stamp: str) -> str:
    """A moment in ISO 8601 to the minute: ``2026-10-01 02:30``."""
    return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M}"


def spread_lines(values: Sequence[float], unit: str) -> tuple[str, str]:
    """What a mark tells of one value a trial: the median; and the least, the greatest and how many trials."""
    middle, low, high = (quantity(value, unit) for value in (statistics.median(values), min(values), max(values)))
    trials = "trial" if len(values) == 1 else "trials"
    return f"median {middle}", f"{low} to {high}, n = {len(values)} {trials}"


def _scaled(value: float, scale: Sequence[tuple[float, str]], digits: int) -> str:
    if value == 0:
        return f"0 {next(name for factor, name in scale if factor == 1)}"
    smallest = scale[-1]
    # Compared after rounding, so that 0.99996 s reads 1.00 s and not 1,000 ms.
    factor, name = next(((f, n) for f, n in scale if _rounded(abs(value) / f, digits) >= 1), smallest)
    return f"{number(value / factor, digits)} {name}"


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def percent(share: float | None) -> str:
    """A share as a whole percentage, with one decimal below ten."""
    if share is None:
        return MISSING
    return Written(f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %", share)
