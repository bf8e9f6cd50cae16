"""Where in a site something is: paths of files relative to it, with slashes, and anchors on pages."""

from __future__ import annotations

from dataclasses import astuple

from results.history.series import Lineage, SeriesKey
from results.site.output import digest, file_name


def place_of_run(run: str) -> str:
    """The page of the run with this id."""
    return f"runs/{file_name(run)}.html"


def name_of(lineage: Lineage) -> str:
    """Unique, and fit for a file's name."""
    return file_name(f"{lineage.suite}-{digest(repr(astuple(lineage)))[:8]}")


def place_of_trends(lineage: Lineage, workload: str) -> str:
    """The page of a workload's series in a lineage."""
    return f"trends/{name_of(lineage)}/{file_name(workload)}.html"


def anchor_of(key: SeriesKey) -> str:
    """The place of a series on its page."""
    return f"t-{digest(repr((key.params, key.arm, key.accel, key.metric)))[:10]}"
