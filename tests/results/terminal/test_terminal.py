from __future__ import annotations

import io
import json
import re

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from stored_runs import RunBuilder

from results.records import Sample
from results.terminal.compare import compare_json, compare_renderables
from results.terminal.rows import emulation_banner
from results.terminal.show import show_json, show_renderables


def rendered(*views: RenderableType, width: int = 80, colour: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None)
    for view in views:
        console.print(view)
    return stream.getvalue()


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture
def measured(run: RunBuilder) -> RunBuilder:
    factors = {"native": 1.0, "container": 1.01, "vm": 12.0}
    for workload, params in (("null", {}), ("fio", {"rw": "randread", "bs": "4k", "iodepth": 16})):
        for block in range(6):
            for arm, factor in factors.items():
                noise = 1 + block / 1000
                samples = [
                    Sample("startup_time", 0.0023 * factor * noise, "s", "lower"),
                    Sample("memory_footprint", 4e6 * factor * noise, "bytes", "lower"),
                    Sample("events_per_second", 12345.0 / factor * noise, "1/s", "higher", primary=True),
                ]
                accel = "tcg" if arm == "vm" else "none"
                run.trial(block, arm, *samples, workload=workload, params=params, accel=accel)
    return run


def comparison(run: RunBuilder, width: int = 80, colour: bool = False) -> str:
    return rendered(*compare_renderables(run.store, run.record), width=width, colour=colour)


def summary(run: RunBuilder, width: int = 80) -> str:
    return rendered(*show_renderables(run.store, run.store.resolve("latest")), width=width)


def test_a_comparison_row_says_all_without_colour(measured: RunBuilder) -> None:
    text = words(comparison(measured))
    assert "startup_time native 2.31 ms 1 baseline container 2.33 ms 1.01× 1.01–1.01× same 6" in text
    assert "vm tcg 27.7 ms 12.0× 12.0–12.0× worse 6" in text
    assert "events_per_second (1/s) native 12,400" in text


def test_primary_metrics_come_first(measured: RunBuilder) -> None:
    for text in (comparison(measured), summary(measured)):
        assert text.index("events_per_second") < text.index("startup_time")


def test_parts_are_counted_instead_of_shown_unless_they_are_primary(run: RunBuilder) -> None:
    primary = Sample("latency.p99", 1.0, "ms", "lower", primary=True)
    for arm in ("native", "vm"):
        run.trial(0, arm, primary, startup_time=1.0, **{"startup.exec": 0.5, "startup.ready": 0.5, "memory.file": 7.0})
    for text, rows in ((comparison(run), 3), (summary(run), 6)):
        assert "latency.p99" in text
        assert "startup.exec" not in text
        assert f"Not shown: {rows} rows (startup.*, memory.*); --metric NAME or --format json has them." in words(text)
    assert "startup.exec" in {row["metric"] for row in compare_json(run.store, run.record)}
    assert "startup.exec" in json.dumps(show_json(run.store, run.record))


def test_whom_idle_memory_serves_stands_side_by_side(run: RunBuilder) -> None:
    steps = {"application": 1 << 20, "host_kernel": 2 << 20, "residual": 0}
    run.trial(0, "native", **{f"memory_waterfall.{step}": float(value) for step, value in steps.items()})
    run.trial(0, "vm", accel="tcg", **{"memory_waterfall.application": 1024.0, "memory_waterfall.vmm": 4096.0})
    text = words(summary(run))
    assert "whom idle memory serves native vm tcg" in text
    assert "application 1.00 MiB 1.00 KiB vmm – 4.00 KiB host kernel 2.00 MiB – residual 0 B – " in text
    assert "in all 3.00 MiB 5.00 KiB" in text


def test_what_iterations_did_is_counted_by_arm(run: RunBuilder) -> None:
    steady = [10.0, 10.1, 9.9, 10.0, 10.05] * 3
    run.trial(0, "native", time=steady).trial(0, "vm", accel="tcg", time=[15.0, *steady])
    text = words(summary(run))
    assert "steady iterations each steady warming from work" in text
    assert "time native 15 1 0 1 time vm tcg 16 0 1 2" in text
    assert "slowing" not in text


def test_a_run_of_parts_alone_has_only_rows_left_out(run: RunBuilder) -> None:
    for arm in ("native", "vm"):
        run.trial(0, arm, **{"startup.exec": 0.5})
    for text in (comparison(run), summary(run)):
        assert "(startup.*)" in text


def test_nothing_is_said_of_rows_left_out_where_there_are_none(run: RunBuilder) -> None:
    for arm in ("native", "vm"):
        run.trial(0, arm, startup_time=1.0)
    assert "Not shown" not in comparison(run) + summary(run)


def test_startup_and_footprint_are_shown_once_from_the_workload_made_for_it(run: RunBuilder) -> None:
    for workload, seconds in (("busy", 7.0), ("null", 3.0)):
        for arm in ("native", "vm"):
            run.trial(0, arm, workload=workload, startup_time=seconds, cpu_time=1.0)
    for text, rows in ((comparison(run), "1 row"), (summary(run), "2 rows")):
        assert sum(line.startswith("startup_time") for line in text.splitlines()) == 1
        assert sum(line.startswith("cpu_time") for line in text.splitlines()) == 2
        assert text.index("null") < text.index("startup_time") < text.index("busy  ")
        assert f"Not shown: {rows} (startup and footprint of further workloads)" in words(text)


def test_the_case_names_its_parameters(measured: RunBuilder) -> None:
    assert "fio  bs=4k iodepth=16 rw=randread" in comparison(measured, width=120)


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_off_and_columns_line_up(measured: RunBuilder, width: int) -> None:
    for text in (comparison(measured, width), summary(measured, width)):
        lines = text.splitlines()
        assert "…" not in text
        assert max(cell_len(line) for line in lines) <= width
        headings = [line for line in lines if " median " in line]
        assert len({line.index("median") for line in headings}) == 1


def test_verdicts_are_coloured_where_there_is_colour(measured: RunBuilder) -> None:
    text = comparison(measured, colour=True)
    assert "\x1b[31mworse" in text
    assert "\x1b[36msame" in text
    assert "\x1b[" not in comparison(measured)


def test_software_emulation_is_announced_and_marked(measured: RunBuilder) -> None:
    for text in (comparison(measured), summary(measured)):
        assert "NOT A PERFORMANCE RESULT: vm ran under QEMU's software emulation" in words(text.replace("│", ""))
        assert re.search(r"^  vm tcg ", text, re.MULTILINE)
        assert not re.search(r"^  container tcg ", text, re.MULTILINE)


def test_hardware_virtualisation_is_not_announced(run: RunBuilder) -> None:
    run.blocks("native", [1.0] * 6).blocks("vm", [2.0] * 6, accel="kvm")
    assert "NOT A PERFORMANCE" not in comparison(run)
    assert "tcg" not in comparison(run)


def test_the_banner_names_the_arms() -> None:
    assert "vm, vm-tuned ran" in words(rendered(emulation_banner(["vm", "vm-tuned"])).replace("│", ""))


def test_notes_explain_what_needs_a_caveat_once(run: RunBuilder) -> None:
    run.blocks("native", [1.0] * 3).blocks("vm", [2.0] * 3).blocks("container", [1.0] * 3)
    text = words(comparison(run))
    assert text.count("3 of at least 6 blocks: too few for a 95 % interval: work time (container); work time (vm)") == 1
    assert "2.00× – inconclusive *" in text


def test_an_inconclusive_row_says_what_it_could_have_seen(run: RunBuilder) -> None:
    noisy = [1.0, 1.1, 0.9, 1.2, 0.8, 1.0]
    run.blocks("native", [1.0] * 6).blocks("container", noisy).blocks("vm", [2.0] * 6)
    lines = [words(line) for line in comparison(run).splitlines()]
    assert any("verdict could see n" in line for line in lines)
    assert any(re.fullmatch(r"container .* inconclusive 40 % 6", line.strip()) for line in lines)
    assert any(line.strip().endswith("worse 6") for line in lines)


def test_nothing_is_said_of_what_could_be_seen_where_all_is_decided(run: RunBuilder) -> None:
    run.blocks("native", [1.0] * 6).blocks("vm", [2.0] * 6)
    assert "could see" not in comparison(run)


def test_a_note_about_many_comparisons_names_two_of_them(run: RunBuilder) -> None:
    for workload in "abc":
        run.blocks("native", [1.0] * 3, workload=workload).blocks("vm", [2.0] * 3, workload=workload)
    assert "too few for a 95 % interval: a time (vm); b time (vm) and 1 more" in words(comparison(run))


def test_what_is_to_be_said_of_all_is_said_once_and_marks_none(run: RunBuilder) -> None:
    for metric in "abcdef":
        run.blocks("native", [1.0] * 3, metric).blocks("vm", [2.0] * 3, metric)
    text = words(comparison(run))
    assert "too few for a 95 % interval: all 6 comparisons" in text
    assert "inconclusive *" not in text


def test_nothing_to_compare_is_said(run: RunBuilder) -> None:
    run.trial(0, "native", time=1.0)
    assert "Nothing to compare" in comparison(run)


def test_a_run_without_a_trial_says_so(run: RunBuilder) -> None:
    for text in (comparison(run), summary(run)):
        assert "Nothing was measured: no trial was carried out." in text


def test_a_run_in_which_every_trial_failed_lists_them(run: RunBuilder) -> None:
    run.trial(0, "native", workload="fio", status="failed").trial(0, "vm", workload="redis", status="failed")
    for text in (comparison(run), summary(run)):
        assert "Nothing was measured: no trial succeeded." in text
        assert "1 fio native exited with status 1 trials/1/log.txt" in words(text)
        assert "2 redis vm exited with status 1 trials/2/log.txt" in words(text)
    assert compare_json(run.store, run.record) == []
    assert show_json(run.store, run.record)["summaries"] == []


def test_a_summary_shows_the_run_and_its_figures(measured: RunBuilder) -> None:
    measured.store.finish_run(measured.record.id, "partial", "2026-11-24T11:50:00Z", "interrupted")
    text = words(summary(measured))
    assert measured.record.id in text
    assert "partial (interrupted)" in text
    assert "36 ok, 0 failed" in text
    assert "native, container, vm (baseline: native)" in text
    assert "startup_time native 2.31 ms 2.30 ms 2.30 ms 2.31 ms 2.31 ms 6" in text


def test_failed_trials_are_listed_with_reason_and_log(measured: RunBuilder) -> None:
    measured.trial(6, "vm", workload="redis", status="failed")
    text = words(summary(measured))
    assert "36 ok, 1 failed" in text
    assert "37 redis vm exited with status 1 trials/37/log.txt" in text


def test_doubtful_clocks_are_noted(run: RunBuilder) -> None:
    for block, source in enumerate(("kvm-clock", "tsc")):
        run.trial(block, "native", time=1.0).trial(block, "vm", time=1.0, facts={"clocksource": source})
    assert "* The trials of vm did not all end on the same clocksource" in words(summary(run))
    (warning,) = show_json(run.store, run.record)["warnings"]
    assert "vm" in warning


def test_startup_is_that_of_the_case_which_the_baseline_completed_too(run: RunBuilder) -> None:
    for arm in ("native", "vm"):
        run.trial(0, arm, workload="busy", startup_time=1.0)
    run.trial(0, "native", workload="null", status="failed").trial(0, "vm", workload="null", startup_time=1.0)
    text = comparison(run)
    assert text.index("busy") < text.index("startup_time")
    assert "null" not in text


def test_square_brackets_in_names_are_text(run: RunBuilder) -> None:
    run.trial(0, "native", time=1.0, params={"list": "[bold]x[/bold]"}, workload="[red]w")
    run.trial(0, "vm", time=1.0, params={"list": "[bold]x[/bold]"}, workload="[red]w")
    run.trial(1, "vm", workload="[/nothing]", status="failed")
    assert "[red]w  list=[bold]x[/bold]" in comparison(run, width=120)
    assert "[/nothing]" in summary(run)
