"""What is wrong with a user's input, said so that it can be mended."""

from __future__ import annotations

from collections.abc import Iterable


class InvalidInput(Exception):  # noqa: N818 - named for what the user sees, not for the mechanism
    """A user's mistake in a file or a name.

    The message names the thing, its place and what was expected. The exit status is 2.
    """


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that ``name`` is most likely a slip for, or None if none is near."""
    import difflib

    by_lower_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return by_lower_case[near[0]] if near else None


def expected(name: str, known: Iterable[str]) -> str:
    """What could have stood in the place of ``name``: the known names, and the nearest of them if one is near."""
    names = list(known)
    if not names:
        return "nothing is expected here"
    near = nearest(name, names)
    hint = f"; did you mean '{near}'?" if near else ""
    return f"expected one of {', '.join(names)}{hint}"
