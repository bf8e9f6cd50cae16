"""Sizes, durations, bandwidths and shares as people write them: ``512M``, ``30s``, ``100Mbit``, ``50%``."""

from __future__ import annotations

import re
from fractions import Fraction

SIZES: dict[str, int] = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
"""Bytes in one unit; letters of either case, powers of 1024."""

DURATIONS: dict[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
"""Seconds in one unit."""

BANDWIDTHS: dict[str, int] = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9, "tbit": 10**12}
"""Bits a second in one unit; letters of either case, powers of 1000, as tc(8) has them."""

_QUANTITY = re.compile(r"(?P<number>[0-9]{1,20}(?:\.[0-9]{1,9})?)\s?(?P<unit>[A-Za-z]*)", re.ASCII)


_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s?%", re.ASCII)


def parse_size(value: object) -> int:
    """Bytes from ``512M``, ``4k``, ``1G`` or a plain number of bytes.

    Raises:
        ValueError: it is no size, its unit is unknown, or it is no whole number of bytes.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"expected a size of at least 0 bytes, got {value}")
        return value
    known = "k, M, G, T (powers of 1024), or none for bytes"
    number, unit = _quantity(value, "a size such as 512M or 4k")
    if unit.lower() not in SIZES:
        raise ValueError(f"unknown unit '{unit}' in '{value}'; the units of size are {known}")
    size = number * SIZES[unit.lower()]
    if size.denominator != 1:
        raise ValueError(f"'{value}' is no whole number of bytes")
    return int(size)


def parse_duration(value: object) -> float:
    """Seconds from ``500ms``, ``30s``, ``10m`` or ``1h``.

    Raises:
        ValueError: it is no duration, or its unit is missing or unknown.
    """
    known = "ms, s, m, h"
    if isinstance(value, int | float) and not isinstance(value, bool):
        message = f"expected a duration with its unit, such as {value}s, got {value}; the units are {known}"
        raise ValueError(message)  # noqa: TRY004 - pydantic wants a ValueError
    number, unit = _quantity(value, "a duration such as 30s or 10m")
    if unit not in DURATIONS:
        missing = f"no unit in '{value}'" if not unit else f"unknown unit '{unit}' in '{value}'"
        raise ValueError(f"{missing}; the units of duration are {known}")
    return float(number * DURATIONS[unit])


def parse_bandwidth(value: object) -> int:
    """Bits a second from ``100Mbit``, ``64kbit`` or ``1Gbit``.

    Raises:
        ValueError: it is no bandwidth, its unit is missing or unknown, or it is no whole number of bits a second.
    """
    known = "bit, kbit, Mbit, Gbit, Tbit (a second, powers of 1000)"
    if isinstance(value, int | float) and not isinstance(value, bool):
        message = f"expected a bandwidth with its unit, such as {value}Mbit, got {value}; the units are {known}"
        raise ValueError(message)  # noqa: TRY004 - pydantic wants a ValueError
    number, unit = _quantity(value, "a bandwidth such as 100Mbit")
    if unit.lower() not in BANDWIDTHS:
        missing = f"no unit in '{value}'" if not unit else f"unknown unit '{unit}' in '{value}'"
        raise ValueError(f"{missing}; the units of bandwidth are {known}")
    bandwidth = number * BANDWIDTHS[unit.lower()]
    if bandwidth.denominator != 1:
        raise ValueError(f"'{value}' is no bandwidth of a whole number of bits a second")
    return int(bandwidth)


def is_share(value: object) -> bool:
    """Whether ``value`` is meant as a share rather than as a quantity of its own."""
    return isinstance(value, str) and value.endswith("%")


def parse_share(value: object) -> Fraction:
    """A part of a whole from ``50%``.

    Raises:
        ValueError: it is no percentage, or is nothing, or more than the whole.
    """
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"expected a share such as 50%, got {_shown(value)}")
    number = Fraction(found[1])
    if not 0 < number <= 100:
        raise ValueError(f"expected more than 0% and at most 100%, got '{value}'")
    return number / 100


def format_share(share: float) -> str:
    """``share`` of a whole as :func:`parse_share` reads it, to the millionth of a percent: ``5%``, ``2.5%``."""
    return f"{round(share * 100, 6):.6f}".rstrip("0").rstrip(".") + "%"


def format_bandwidth(bandwidth: int) -> str:
    """``bandwidth`` in the largest unit that gives a whole number, so that :func:`parse_bandwidth` gives the same."""
    for unit, factor in reversed(BANDWIDTHS.items()):
        if bandwidth and bandwidth % factor == 0:
            return f"{bandwidth // factor}{unit if unit in ('bit', 'kbit') else unit.capitalize()}"
    return f"{bandwidth}bit"


def format_size(size: int) -> str:
    """``size`` bytes in the largest unit that gives a whole number, so that :func:`parse_size` gives the same back."""
    for unit, factor in reversed(SIZES.items()):
        if size and size % factor == 0:
            return f"{size // factor}{unit.upper() if unit != 'k' else unit}"
    return str(size)


def format_duration(seconds: float) -> str:
    """``seconds``, to the millisecond, in the largest unit that gives a whole number: ``90s``, ``10m``, ``1500ms``."""
    milliseconds = round(seconds * 1000)
    for unit, factor in reversed(DURATIONS.items()):
        if milliseconds and (milliseconds / (factor * 1000)).denominator == 1:
            return f"{milliseconds / (factor * 1000)}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def _quantity(value: object, what: str) -> tuple[Fraction, str]:
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"expected {what}, got {_shown(value)}")
    return Fraction(found["number"]), found["unit"]


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value)
