from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from stored_runs import RunBuilder

from results.records import Sample
from results.terminal.compare import compare_renderables, findings_renderables
from results.terminal.show import show_renderables

ARMS = ("native", "container", "vm")


def rendered(*views: RenderableType, width: int = 80, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None)
    for view in views:
        console.print(view)
    return stream.getvalue()


def show(run: RunBuilder, width: int = 80, colour: bool = False) -> str:
    return rendered(*show_renderables(run.store, run.record), width=width, colour=colour)


def lines(text: str) -> list[str]:
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]


@pytest.fixture
def outcomes(run: RunBuilder) -> RunBuilder:
    for block in range(6):
        for arm in ARMS:
            claims = {"own_host_name": arm != "native", "cannot_escape_by_a_kept_descriptor": arm == "vm" or block == 3}
            checks = [Sample(name, float(held), "check", "higher", primary=True) for name, held in claims.items()]
            limits = [
                Sample(f"limit.{limit}.{part}", value, "%" if part == "error" else unit, "neutral")
                for limit, asked, factor, unit in (
                    ("cpus", 0.25, 1.01, "CPUs"),
                    ("io.read_ops", 1000, 1.5, "requests/s"),
                )
                for part, value in (("asked", asked), ("given", asked * factor), ("error", 100 * factor - 100))
            ]
            accel = "tcg" if arm == "vm" else "none"
            run.trial(block, arm, *checks, workload="isolation", accel=accel, startup_time=1.0)
            run.trial(block, arm, *limits, workload="load", accel=accel, startup_time=1.0)
    return run


def test_claims_are_a_table_of_words(outcomes: RunBuilder) -> None:
    text = lines(show(outcomes, width=120))
    assert "isolation native container vm tcg" in text
    assert "own host name ✗ broken ✓ holds ✓ holds" in text
    assert "cannot escape by a kept descriptor ✗ broken in 5 of 6 ✗ broken in 5 of 6 ✓ holds" in text
    assert "in all 0 of 2 hold 1 of 2 hold 2 of 2 hold" in text


def test_limits_are_a_table_with_the_tolerance_beside_each(outcomes: RunBuilder) -> None:
    text = lines(show(outcomes))
    place = text.index("cpus ±3 %")
    assert text[place - 1] == "limits as given asked given error least greatest n"
    assert text[place + 2] == "container 0.25 CPUs 0.253 CPUs ✓ +1.0 % +1.0 % +1.0 % 6"
    assert text[place + 3].startswith("vm tcg 0.25 CPUs")
    assert "native 1,000/s 1,500/s ✗ +50.0 % +50.0 % +50.0 % 6" in text[text.index("io.read_ops ±10 %") :]


def test_neither_is_summed_up_or_compared(outcomes: RunBuilder) -> None:
    comparison = rendered(*compare_renderables(outcomes.store, outcomes.record))
    for text in (show(outcomes), comparison):
        assert "own_host_name" not in text
        assert "limit.cpus" not in text
        assert "limit.*" not in text


def test_a_comparison_ends_with_what_was_found_in_words(outcomes: RunBuilder) -> None:
    text = " ".join(lines(rendered(*compare_renderables(outcomes.store, outcomes.record))))
    broken = "1 of 2 claims hold; broken: cannot escape by a kept descriptor (in 5 of 6 trials)."
    assert f"container: {broken} 1 of 2 limits met; io.read_ops exceeded (+50.0 %)." in text
    assert "vm: 2 of 2 claims hold." in text


def test_a_run_that_checks_ends_with_its_tables_and_no_ratios(outcomes: RunBuilder) -> None:
    text = rendered(*findings_renderables(outcomes.store, outcomes.record))
    assert "✗ broken" in text
    assert "limits as given" in text
    assert "95 % interval" not in text
    assert text.index("✗ broken") < text.index("claims hold")


def test_any_other_run_ends_with_its_comparison(run: RunBuilder) -> None:
    for arm, seconds in (("native", 1.0), ("container", 2.0)):
        run.trial(1, arm, startup_time=seconds)
    found, compared = (rendered(*view(run.store, run.record)) for view in (findings_renderables, compare_renderables))
    assert found == compared
    assert "95 % interval" in found


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_off(outcomes: RunBuilder, width: int) -> None:
    text = show(outcomes, width)
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= width


def test_the_words_are_there_with_colour_too(outcomes: RunBuilder) -> None:
    assert "\x1b[1;31m✗ broken" in show(outcomes, colour=True)
    assert "\x1b[" not in show(outcomes)


def test_a_run_of_checks_alone_can_be_shown_and_compared(run: RunBuilder) -> None:
    run.trial(0, "container", Sample("own_uids", 0.0, "check", "higher"), workload="[red]w")
    assert "own uids – ✗ broken –" in lines(show(run))
    assert "[red]w native container vm" in lines(show(run))
    assert "container: none of 1 claims holds." in rendered(*compare_renderables(run.store, run.record))


def test_a_limit_that_two_workloads_measure_names_them(run: RunBuilder) -> None:
    for size in ("4k", "64k"):
        samples = [Sample(f"limit.memory.{part}", 2.0**20, "bytes", "neutral") for part in ("asked", "given", "error")]
        run.trial(0, "vm", *samples, workload="fio", params={"bs": size})
    text = " ".join(lines(show(run, width=120)))
    assert "vm fio bs=4k 1 MiB 1.00 MiB" in text
    assert "vm fio bs=64k 1 MiB 1.00 MiB" in text


def test_details_of_use_are_left_out_and_named(run: RunBuilder) -> None:
    for arm in ARMS:
        use = [Sample("cpus_used", 0.9, "CPUs", "neutral"), Sample("pids_peak", 12, "processes", "neutral")]
        run.trial(0, arm, *use, cpu_time=1.0)
    shown = show(run)
    assert not [line for line in lines(shown) if line.startswith(("cpus_used", "pids_peak"))]
    assert "Not shown: 6 rows (cpus_used, pids_peak); --metric NAME or --format json has them." in " ".join(
        lines(shown)
    )
