from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from stored_runs import RunBuilder, run_record
from test_selection import comparison

from results.compare import compare, to_json
from results.compare_runs import compare_runs
from results.errors import SelectionError
from results.listing import as_csv, comparison_markdown, runs_markdown, summary_markdown
from results.selection import Selection, View
from results.store import Store
from results.summary import describe

SIX = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02]


def test_csv_has_all_that_json_has(run: RunBuilder) -> None:
    params = {"a": "x,y", "b": 2}
    run.blocks("native", SIX, params=params).blocks("vm", [2 * value for value in SIX], params=params)
    rows = to_json(compare(run.frame, "native"))
    (read,) = csv.DictReader(io.StringIO(as_csv(rows)))
    assert list(read) == list(rows[0])
    assert read["params"] == rows[0]["params"]
    assert float(read["ratio"]) == rows[0]["ratio"]


def test_csv_leaves_empty_what_is_not_known_and_joins_lists() -> None:
    text = as_csv(to_json([comparison(ratio=None, warnings=("one", "two, and more"))]))
    (read,) = csv.DictReader(io.StringIO(text))
    assert (read["ratio"], read["warnings"]) == ("", "one; two, and more")


def test_csv_has_no_place_for_objects_and_none_for_no_rows() -> None:
    assert as_csv([{"a": 1, "published": []}, {"a": 2, "published": [{"ratio": 1}]}]) == "a\n1\n2\n"
    assert as_csv([]) == ""


def cells(markdown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]


def test_markdown_of_a_comparison_is_what_a_terminal_shows(run: RunBuilder) -> None:
    for metric in ("time", "startup.exec"):
        run.blocks("native", SIX, metric).blocks("vm", [2 * value for value in SIX], metric)
    text = comparison_markdown(compare(run.frame, "native"))
    titles, _, *rows = cells(text)
    assert titles == ["Workload", "Metric", "Arm", "Median", "Ratio", "95 % interval", "Verdict", "n"]
    assert rows == [["work", "time", "vm", "2.02 s", "2.00×", "2.00–2.00×", "worse", "6"]]
    assert "Ratios are to native. Not shown: 1 row (startup.\\*)" in text


def test_markdown_marks_emulation_and_explains_its_marks() -> None:
    text = comparison_markdown([comparison(accel="tcg", warnings=("3 of 10 blocks disturbed",))])
    assert text.startswith("> **Not a performance result:** vm ran under QEMU's software emulation")
    assert cells(text)[2][2] == "vm tcg"
    assert cells(text)[2][6] == "same \\*"
    assert "- \\* 3 of 10 blocks disturbed" in text


def test_no_name_can_become_markup() -> None:
    text = comparison_markdown([comparison(workload="<b>|x", arm="*vm*", metric="a_b_")])
    assert "<b>" not in text
    assert len(cells(text.replace("\\|", ""))[2]) == 8
    assert "\\*vm\\*" in text


def test_markdown_of_runs_names_them_and_how_they_are_unlike(store: Store) -> None:
    records = [run_record(), run_record(host_fingerprint="beef")]
    for record, factor in zip(records, (1, 2), strict=True):
        RunBuilder(store, record).blocks("vm", [factor * value for value in SIX])
    text = runs_markdown(compare_runs(store, records), records)
    assert cells(text)[2] == ["work", "time", "vm", "2", "1.01 s", "2.02 s", "2.00×", "1.81–2.21×", "worse \\*", "6, 6"]
    assert f"- run 2: {records[1].id}" in text
    assert "> **Not alike:** run 2: not the same host: beef, and f00d in" in text
    assert "Two runs of the same differ by more than their trials show" in text


def test_markdown_of_summaries(run: RunBuilder) -> None:
    run.blocks("native", SIX)
    assert cells(summary_markdown(describe(run.frame)))[2] == [
        *("work", "time", "native", "1.01 s", "900 ms", "962 ms", "1.04 s", "1.10 s", "6")
    ]


@pytest.mark.parametrize("said", [comparison_markdown([]), runs_markdown([], []), summary_markdown([])])
def test_nothing_is_said_to_be_nothing(said: str) -> None:
    assert said.startswith("Nothing")


@pytest.mark.parametrize("form", [comparison_markdown, summary_markdown])
def test_what_is_not_there_is_an_error(run: RunBuilder, form: Any) -> None:
    run.blocks("native", SIX).blocks("vm", SIX)
    rows = compare(run.frame, "native") if form is comparison_markdown else describe(run.frame)
    with pytest.raises(SelectionError):
        form(rows, View(Selection(arms=("docker",))))
