"""What is shown of one run, in which order, and against which arm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from stored_runs import RunBuilder, run_record
from test_terminal import rendered, words

from results.errors import SelectionError
from results.records import Sample
from results.selection import Selection, View
from results.store import Store
from results.terminal.compare import compare_json, compare_renderables
from results.terminal.show import show_json, show_renderables

FACTORS = {"native": 1.0, "container": 1.02, "vm": 1.5}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunBuilder]:
    with Store(Path(tmp_path_factory.mktemp("store"))).open(create=True) as store:
        run = RunBuilder(store, run_record())
        for workload, params in (("null", {}), ("fio", {"rw": "read"}), ("fio", {"rw": "write"})):
            for block in range(8):
                for arm, factor in FACTORS.items():
                    noise = 1 + ((block * 7 + len(workload)) % 8) / 2000
                    rate = [Sample("iops", 9000 / factor * noise, "iops", "higher", primary=True)]
                    run.trial(
                        block,
                        arm,
                        *(rate if workload == "fio" else ()),
                        workload=workload,
                        params=params,
                        cpu_time=factor * noise,
                        startup_time=factor**9 * noise,
                    )
        yield run


def compared(run: RunBuilder, view: View | None = None, width: int = 120, **options: object) -> str:
    renderables = compare_renderables(run.store, run.record, view=view or View(), **options)  # type: ignore[arg-type]
    return rendered(*renderables, width=width)


def summarised(run: RunBuilder, view: View | None = None) -> str:
    return rendered(*show_renderables(run.store, run.record, view or View()), width=120)


def rows_of(text: str, arms: tuple[str, ...] = tuple(FACTORS)) -> list[str]:
    return [words(line).strip() for line in text.splitlines() if line.strip().startswith(arms)]


def test_a_filter_shows_the_very_rows_of_the_whole(run: RunBuilder) -> None:
    """So control of false discoveries, and with it verdicts, cannot depend on what is shown."""
    whole = compared(run).split("in all")[0]
    for selection in (Selection(metrics=("iops",)), Selection(arms=("vm",)), Selection(workloads=("fio*write",))):
        part = compared(run, View(selection)).split("in all")[0]
        rows = [row for row in rows_of(part) if "baseline" not in row]
        assert rows
        assert set(rows) <= set(rows_of(whole))
        everything = {str(row) for row in compare_json(run.store, run.record)}
        assert {str(row) for row in compare_json(run.store, run.record, view=View(selection))} < everything


def test_a_filter_leaves_out_the_others(run: RunBuilder) -> None:
    text = compared(run, View(Selection(("fio rw=write",), ("iops",), ("vm",))))
    assert (text.count("iops\n"), text.count("  vm"), text.count("container")) == (1, 1, 0)
    assert "rw=read" not in text
    assert "null" not in text


def test_summaries_are_filtered_alike(run: RunBuilder) -> None:
    view = View(Selection(metrics=("iops",), arms=("vm",)))
    assert rows_of(summarised(run, view), ("vm", "container")) != []
    assert "container" not in summarised(run, view).split("seed")[1]
    shown = show_json(run.store, run.record, view)
    assert {(row["metric"], row["arm"]) for row in shown["summaries"]} == {("iops", "vm")}  # type: ignore[attr-defined]


@pytest.mark.parametrize("see", [compared, summarised])
def test_who_asks_for_what_is_not_there_is_told_what_is(run: RunBuilder, see: object) -> None:
    with pytest.raises(SelectionError, match=re.escape("no metric here matches 'iopps'; did you mean 'iops'?")):
        see(run, View(Selection(metrics=("iopps",))))  # type: ignore[operator]


def test_a_list_is_in_its_order_on_a_common_axis(run: RunBuilder) -> None:
    rows = [line for line in compared(run, View(order="ratio")).splitlines() if re.match("fio|null", line)]
    ratios = [float(found[1]) for line in rows if (found := re.search(r" ([0-9.]+)× ", line))]
    assert len(ratios) == 12
    assert ratios == sorted(ratios, reverse=True)
    by_metric = [row["metric"] for row in compare_json(run.store, run.record, view=View(order="metric"))]
    assert by_metric == sorted(by_metric)


def test_summaries_in_a_list_have_their_spread(run: RunBuilder) -> None:
    text = summarised(run, View(order="spread"))
    shares = [float(line.split()[-2]) for line in text.splitlines() if line.rstrip().endswith(" %")]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) > 5


def test_any_arm_may_be_the_baseline(run: RunBuilder) -> None:
    text = words(compared(run, baseline="vm", view=View(Selection(workloads=("fio rw=read",), metrics=("iops",)))))
    assert "vm 6,010 1 baseline native 9,020 1.50× 1.50–1.50× better 8" in text
    (row,) = (
        row
        for row in compare_json(run.store, run.record, baseline="container")
        if (row["arm"], row["metric"], row["params"]) == ("vm", "iops", "rw=read")
    )
    assert (row["baseline"], row["verdict"], row["ratio"]) == ("container", "worse", pytest.approx(1.02 / 1.5))


def test_a_baseline_that_is_no_arm_is_an_error(run: RunBuilder) -> None:
    with pytest.raises(SelectionError, match=r"has no arm 'nativ'; did you mean 'native'\?"):
        compared(run, baseline="nativ")


def test_verdicts_are_added_up_by_arm(run: RunBuilder) -> None:
    text = compared(run)
    heading, *lines = text[text.index("in all") :].splitlines()
    assert heading.split() == ["in", "all", "worse", "same", "worst"]
    assert words(lines[1]).strip() == "vm 6 38.4× startup_time, null"


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_no_line_is_wider_than_the_terminal(run: RunBuilder, width: int) -> None:
    for view in (View(), View(order="effect")):
        text = compared(run, view, width)
        assert max(cell_len(line) for line in text.splitlines()) <= width


def test_a_bar_is_drawn_where_there_is_a_terminal_wide_enough(run: RunBuilder) -> None:
    drawn = {
        width: rendered(*compare_renderables(run.store, run.record), width=width, colour=True)
        for width in (45, 80, 120)
    }
    assert {width: "●" in text for width, text in drawn.items()} == {45: False, 80: True, 120: True}
    assert "●" not in compared(run)
