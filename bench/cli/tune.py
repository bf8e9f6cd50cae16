"""``bench tune`` and ``bench untune``: making the host quiet, and putting everything back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bench.cli import EXIT_FAILED
from bench.cli.options import format_option, print_json, print_rows

if TYPE_CHECKING:
    from bench.tune.step import Host, Step
    from bench.tune.tuning import Change, Others

_OTHERS = ("tell", "leave", "overwrite")


@click.command()
@click.argument("steps", nargs=-1, metavar="[STEP]...")
@click.option("--show", "show_only", is_flag=True, help="Show every step, its present values and what it would set.")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@click.option("--aslr", is_flag=True, help="Take the step aslr too, which is not taken unasked.")
@click.option(
    "--cpus",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="CPUs that instances will have: interrupts keep off those.",
)
@format_option("table", "json")
def tune(steps: tuple[str, ...], show_only: bool, dry_run: bool, aslr: bool, cpus: int, output_format: str) -> int:
    """Make the host quiet for measurements: all steps that are safe, or those named.

    What there was before is kept in a journal ($BENCH_STATE, else /var/lib/bench) until 'bench untune' puts it back.
    Exits with 1 where the kernel refused something.
    """
    from bench.host import is_running
    from bench.tune.journal import state_directory
    from bench.tune.tuning import choose_steps, tune

    chosen = choose_steps(steps)
    chosen += [step for step in choose_steps(["aslr"]) if aslr and step not in chosen]
    host = _this_host(chosen, cpus)
    if show_only:
        _show(host, output_format)
        return 0
    _require_root(dry_run)
    missing = [(step.name, reason) for step in chosen if (reason := step.missing(host))]
    changes = tune(host, state_directory(), chosen, dry_run=dry_run)
    if output_format == "json":
        print_json({"changes": [asdict(change) for change in changes], "not_here": dict(missing)})
    else:
        _print_changes(changes, "nothing to change")
        for name, reason in missing:
            click.echo(f"not here: {name}: {reason}")
        if is_running("irqbalance") and any(change.step == "interrupts" for change in changes):
            click.echo("irqbalance is running and will move interrupts again: stop it", err=True)
    return EXIT_FAILED if any(change.failed for change in changes) else 0


@click.command()
@click.option(
    "--changed",
    type=click.Choice(_OTHERS),
    default="tell",
    show_default=True,
    help="What to do with values that somebody else has changed since: only tell, leave them and forget about it, or "
    "put back what there was all the same.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@format_option("table", "json")
def untune(changed: Others, dry_run: bool, output_format: str) -> int:
    """Put back what 'bench tune' has changed, also after a crash in the middle of it.

    Exits with 1 where something could not be put back, or somebody else has changed it since.
    """
    from bench.tune.journal import state_directory
    from bench.tune.step import Host
    from bench.tune.tuning import untune

    _require_root(dry_run)
    changes = untune(Host(), state_directory(), others=changed, dry_run=dry_run)
    if output_format == "json":
        print_json({"changes": [asdict(change) for change in changes]})
    else:
        _print_changes(changes, "nothing to put back")
        if any(change.outcome == "changed by others" for change in changes) and changed == "tell":
            click.echo("changed by others: bench untune --changed overwrite puts back the old value, leave forgets it")
    left = [change for change in changes if change.failed]
    return EXIT_FAILED if any(changed != "leave" or change.outcome == "refused" for change in left) else 0


def _this_host(steps: Sequence[Step], cpus: int) -> Host:
    """This host, with the CPUs that an instance will have once these steps are taken."""
    from bench.tune.step import Host
    from runtimes.base import Limits
    from runtimes.placement import make_placer
    from runtimes.topology import read_topology

    topology = read_topology(os.sched_getaffinity(0))
    if any(step.name == "smt" and not step.missing(Host()) for step in steps):
        topology = read_topology(cpu.number for cpu in topology.cpus if cpu.number == min(cpu.core))
    return Host(measured=frozenset(make_placer(topology).place(Limits(cpus, (), 1)).instance))


def _show(host: Host, output_format: str) -> None:
    """Every step with its places; in a table, places that have the same values are in one row."""
    from bench.tune.journal import state_directory
    from bench.tune.tuning import offers

    rows: list[dict[str, object]] = []
    for offer in offers(host, state_directory()):
        step: dict[str, object] = {"step": offer.step.name, "what": offer.step.summary, "unasked": offer.step.unasked}
        not_here = offer.missing or None
        places = list(dict.fromkeys((*offer.places, *offer.tuned)))
        for place in places:
            entry = offer.tuned.get(place)
            now, wanted = offer.places.get(place, (None, entry.tuned if entry else None))
            saved = entry.saved if entry else None
            rows.append({**step, "place": place, "now": now, "tuned": wanted, "saved": saved, "not_here": not_here})
        if not places:
            rows.append({**step, "place": None, "now": None, "tuned": None, "saved": None, "not_here": not_here})
    if output_format == "table":
        rows = _together(rows)
    print_rows(rows, output_format, empty="no steps", only_json=("what", "unasked"))


def _print_changes(changes: Sequence[Change], empty: str) -> None:
    rows: list[dict[str, object]] = [
        {
            "step": change.step,
            "place": change.place,
            "from": change.before,
            "to": change.after,
            "outcome": ": ".join(filter(None, (change.outcome, change.detail))),
        }
        for change in changes
    ]
    print_rows(_together(rows), "table", empty=empty)


def _together(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Rows that differ in nothing but the place in one, which names the first place and how many there are."""
    groups: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault(tuple(value for name, value in row.items() if name != "place"), []).append(row)
    return [
        {
            **group[0],
            "place": group[0]["place"] if len(group) == 1 else f"{group[0]['place']} and {len(group) - 1} more",
        }
        for group in groups.values()
    ]


def _require_root(dry_run: bool) -> None:
    from runtimes.base import HostError

    if os.geteuid() != 0 and not dry_run:
        raise HostError("the host's settings are root's; run it as root, or with sudo, or with --dry-run")
