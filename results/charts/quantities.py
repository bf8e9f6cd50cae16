"""Figures as people read them: 2.31 ms, 148 MiB, 12,400 iops, 0.97×."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

MISSING = "–"
"""What stands where there is no figure."""

_SECONDS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = tuple((1024.0**power, name) for power, name in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB"), (0, "B")))
_BITS = ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s"))
_BYTE_UNITS = {"bytes": "", "B": "", "bytes/s": "/s", "B/s": "/s"}

_FACTORS = {name.removesuffix("/s"): factor for factor, name in (*_SECONDS, *_BYTES, *_BITS)} | {"%": 0.01}
_FIGURE = re.compile(r"([-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?) ?([^\W\d_]+|%)?")


def magnitude(text: str) -> float | None:
    """What a written figure is to be sorted by: the first in ``text``, in seconds, bytes, bits or as a share.

    The inverse of :func:`quantity`, :func:`ratio` and :func:`effect`, as far as they have not rounded.

    Returns:
        None for a text that does not begin with a figure.
    """
    found = _FIGURE.match(text)
    return float(found[1].replace(",", "")) * _FACTORS.get(found[2], 1.0) if found else None


def is_bytes(unit: str) -> bool:
    """Whether ``unit`` counts bytes (or bytes a second), and so is written in powers of 1024."""
    return unit in _BYTE_UNITS


def is_scaled(unit: str) -> bool:
    """Whether a figure in ``unit`` changes its unit with its magnitude, and so must be written with it."""
    return unit in {"s", "bit/s"} or is_bytes(unit)


def number(value: float | None, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, thousands separated and never in scientific notation below 1e15."""
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
    text, _, name = quantity(value, unit, digits).partition(" ")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {name}".rstrip()


def ratio(value: float | None) -> str:
    """A ratio with its sign: ``0.97×``, ``1,620×``."""
    return MISSING if value is None or not math.isfinite(value) else f"{number(value)}×"


def effect(value: float | None) -> str:
    """A ratio above 1 as the difference that it is: ``8.2 %``, and from 2 on ``3.40×``; empty where there is none."""
    if value is None or not math.isfinite(value):
        return ""
    return ratio(value) if value >= 2 else f"{number(100 * (value - 1), 2)} %"


def percentage(value: float) -> str:
    """A difference in percent with its sign: ``+1.2 %``, ``-0.4 %``, ``+1,240 %``; ``0.0 %`` has none."""
    text = f"{value:+,.1f}" if abs(value) < 99.95 else f"{value:+,.0f}"
    return f"{'0.0' if float(text.replace(',', '')) == 0 else text} %"


def interval(low: float | None, high: float | None) -> str:
    """A confidence interval of a ratio: ``0.94–1.02×``; empty text where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    upper = "∞" if math.isinf(high) else ratio(high)
    return f"{number(low)}–{upper}"


def _scaled(value: float, scale: Sequence[tuple[float, str]], digits: int) -> str:
    if value == 0:
        return f"0 {next(name for factor, name in scale if factor == 1)}"
    smallest = scale[-1]
    # Compared after rounding, so that 0.99996 s reads 1.00 s and not 1,000 ms.
    factor, name = next(((f, n) for f, n in scale if _rounded(abs(value) / f, digits) >= 1), smallest)
    return f"{number(value / factor, digits)} {name}"


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def spread(values: Collection[float], unit: str) -> str:
    """From the least to the greatest, and how many there are: ``2.10 ms – 2.40 ms, n 10``."""
    if len(values) < 2:
        return f"n {len(values)}"
    return f"{quantity(min(values), unit)} – {quantity(max(values), unit)}, n {len(values)}"


def percent(share: float | None) -> str:
    """A share as a whole percentage, with one decimal below ten."""
    if share is None:
        return MISSING
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"
