"""The catalogue as a page to read, ``docs/workloads.md``; ``make docs`` writes it anew.

python -m workloads.reference > docs/workloads.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from workloads.describe import allowed_values
from workloads.fields import format_scalar
from workloads.loader import load_catalogue
from workloads.model import Metric, Workload
from workloads.units import format_size

_HEAD = """\
# Workloads

<!-- Made by `make docs` from workloads/catalogue: what is changed here is lost. -->

What suites can name, or take by a tag. `bench list workloads` lists it, `bench workload show NAME` has the commands
too, and `bench workload check NAME` runs one once. How to write one is in
[writing-a-suite.md](writing-a-suite.md#workloads-of-your-own).
"""


def reference(workloads: Mapping[str, Workload]) -> str:
    """The page: a table by tag, then every workload with parameters, metrics, packages and source."""
    tags: dict[str, list[str]] = {}
    for name, workload in workloads.items():
        for tag in workload.tags:
            tags.setdefault(tag, []).append(f"[{name}](#{_anchor(name)})")
    rows = [(f"`{tag}`", ", ".join(tags[tag])) for tag in sorted(tags)]
    parts = [_HEAD, _table(("tag", "workloads"), rows)]
    for workload in workloads.values():
        parts += _section(workload)
    return "\n".join(parts)


def _section(workload: Workload) -> Iterator[str]:
    yield f"## {workload.name}\n\n{workload.description}\n"
    yield "".join(f"- {fact}\n" for fact in _facts(workload))
    if workload.parameters:
        rows = [
            (f"`{name}`", _code(format_scalar(each.default)), allowed_values(each), each.description)
            for name, each in workload.parameters.items()
        ]
        yield _table(("parameter", "default", "possible", "meaning"), rows)
    if workload.metrics:
        metrics = [(f"`{name}`", each.unit, each.better, _kind(each)) for name, each in workload.metrics.items()]
        yield _table(("metric", "unit", "better", ""), metrics)


def _facts(workload: Workload) -> Iterator[str]:
    if workload.source:
        yield f"source: {workload.source}"
    yield f"tags: {', '.join(f'`{tag}`' for tag in workload.tags) or 'none'}"
    if workload.packages:
        yield f"packages: {', '.join(f'`{package}`' for package in workload.packages)}"
    if workload.files:
        yield f"files: {', '.join(f'`{file.name}`' for file in workload.files)}"
    if workload.scratch is not None:
        size = workload.scratch
        yield f"scratch disk: {f'as `{size[1:-1]}` says' if isinstance(size, str) else format_size(size)}"
    if workload.client == "peer":
        yield "client: in the peer, outside the instance"
    if workload.instances is not None:
        count = workload.instances
        yield f"instances at once: {f'as `{count[1:-1]}` says' if isinstance(count, str) else count}"
    if workload.density is not None:
        most = workload.density.instances
        yield f"instances one after the other: {f'as `{most[1:-1]}` says' if isinstance(most, str) else most}"
    if workload.page_cache == "cold":
        yield "image and kernel are not in the host's page cache"
    if workload.duration is not None:
        yield f"measures for `{workload.duration}` seconds"
    if workload.quick:
        yield f"quick: {', '.join(f'`{name}: {format_scalar(value)}`' for name, value in workload.quick.items())}"


def _kind(metric: Metric) -> str:
    kinds = {
        "primary": metric.primary,
        "optional": metric.optional,
        f"host CPU time / `{metric.host_cpu_per}`": metric.host_cpu_per is not None,
    }
    return ", ".join(kind for kind, holds in kinds.items() if holds)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(heads), f"|{'---|' * len(heads)}", *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else "nothing"


def _anchor(heading: str) -> str:
    """As web sites that show Markdown make it of a heading."""
    return heading.replace(".", "")


if __name__ == "__main__":
    print(reference(load_catalogue()), end="")
