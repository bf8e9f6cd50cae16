from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex
from matplotlib.layout_engine import ConstrainedLayoutEngine
from stored_runs import RunBuilder, run_record

from results.charts.cases import case_labels, cases, reference_case
from results.charts.catalogue import CHARTS
from results.charts.levels import memory_peak_chart
from results.charts.memory import image_chart, memory_chart
from results.charts.starts import startup_chart
from results.charts.startup import shutdown_phases_chart, startup_phases, startup_phases_chart
from results.charts.style import INK, NARROW, WIDE, arm_styles, inline_svg, render, shown
from results.charts.throughput import advantage, throughput_chart
from results.charts.waterfall import waterfall_chart
from results.compare import Comparison
from results.records import split_params
from results.report.data import RunData
from results.trials import natural
from results.waterfall import waterfalls_of

ARMS = arm_styles(("native", "container", "vm"), "native", {"vm"})


@pytest.fixture
def data(store, make_run):
    return RunData.load(store, make_run(blocks=6))


def comparison(**properties):
    given = {
        "workload": "redis", "params": "", "metric": "requests", "unit": "1/s", "better": "higher", "arm": "container",
        "baseline": "native", "n": 10, "ratio": 0.9, "ci_low": 0.85, "ci_high": 0.96, "p_value": 0.002,
        "verdict": "inconclusive", "warnings": (), "median": 90.0, "baseline_median": 100.0, "accel": "none",
        "primary": True,
    }  # fmt: skip
    return Comparison(**{**given, **properties})


def texts(figure):
    """Every text of the figure, tick labels included."""
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    found += [label.get_text() for axes in figure.axes for label in (*axes.get_yticklabels(), *axes.get_xticklabels())]
    return found + [axes.get_title(loc="left") for axes in figure.axes]


def marks(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


class TestStartup:
    def test_every_arm_has_a_median_and_all_its_trials(self, data):
        figure = startup_chart(data.reference_frame, data.arms)
        (axes,) = figure.axes
        assert axes.get_xscale() == "log"
        for arm in data.arms:
            assert len(marks(axes, f"median of {arm.name}")) == 1
        points = sorted(len(line.get_xdata()) for line in axes.lines)
        assert points == [1, 1, 1, 6, 6, 6]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["native", "container", "vm (emulated)"]

    def test_medians_are_written_beside_them(self, data):
        figure = startup_chart(data.reference_frame, data.arms)
        assert len([text for text in texts(figure) if text.endswith((" µs", " ms", " s"))]) >= 3

    def test_phases_have_a_panel_an_arm_and_follow_one_another(self, data):
        figure = startup_phases_chart(data.reference_frame, data.arms)
        assert [len(axes.patches) for axes in figure.axes] == [2, 7, 4]
        for axes in figure.axes:
            end = 0.0
            for bar in axes.patches:
                assert bar.get_x() == pytest.approx(end)
                end = bar.get_x() + bar.get_width()
            assert axes.get_xlim()[1] > end
        assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == [
            "cgroup", "network", "clone", "mounts", "pivot", "exec", "ready",
        ]  # fmt: skip

    def test_so_do_those_of_shutdown(self, data):
        figure = shutdown_phases_chart(data.reference_frame, data.arms)
        assert [len(axes.patches) for axes in figure.axes] == [3, 3, 4]
        assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == [
            "goodbye", "powered_off", "exited", "stopped",
        ]  # fmt: skip

    def test_without_a_bare_exec_there_is_no_floor(self, data):
        figure = startup_chart(data.reference_frame, data.arms)
        assert not figure.legends
        assert not [text for text in texts(figure) if "×" in text]

    def test_a_missing_metric_gives_no_chart(self, store, make_run):
        data = RunData.load(store, make_run(omit=("startup_time",), blocks=1))
        assert startup_chart(data.reference_frame, data.arms) is None


class TestMemory:
    def test_parts_add_up_to_the_footprint(self, data):
        (axes,) = memory_chart(data.reference_frame, data.arms).axes
        vm = [bar for bar in axes.patches if to_hex(bar.get_facecolor()) == data.arms[2].colour]
        total = sum(bar.get_width() for bar in vm)
        assert total == pytest.approx(146 * 1024**2, rel=0.05)
        assert [label.get_text() for label in axes.get_yticklabels()][-1] == "vm (emulated)"

    def test_what_the_parts_leave_is_shown_as_rest(self, store, make_run):
        data = RunData.load(store, make_run(omit=("memory.kernel",), blocks=1))
        figure = memory_chart(data.reference_frame, data.arms)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["anon", "file", "rest"]

    def test_without_parts_there_is_one_bar_an_arm_and_no_legend(self, store, make_run):
        parts = tuple(f"memory.{part}" for part in ("anon", "file", "kernel"))
        data = RunData.load(store, make_run(omit=parts, blocks=1))
        figure = memory_chart(data.reference_frame, data.arms)
        assert len(figure.axes[0].patches) == 3
        assert not figure.legends

    def test_the_steps_of_the_waterfall_follow_one_another(self, data):
        figure = waterfall_chart(data.reference_frame, data.arms)
        (axes,) = figure.axes
        bars = {bar.get_label(): bar for bar in axes.containers}
        steps = waterfalls_of(data.reference_frame)["vm"]
        end = 0.0
        for step in steps:
            (bar,) = bars[f"{step} of vm (emulated)"].patches
            assert bar.get_x() == pytest.approx(end)
            end += bar.get_width()
        assert end == pytest.approx(sum(steps.values()))
        assert "vmm of native" not in bars
        assert [text.get_text() for text in figure.legends[0].get_texts()] == [
            "application", "guest kernel", "guest page cache", "guest free", "vmm", "host kernel", "host page cache",
            "residual",
        ]  # fmt: skip

    def test_image_parts(self, data):
        figure = image_chart(data.reference_frame, data.arms)
        assert len(figure.axes[0].patches) == 5
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["userland", "kernel", "initramfs"]

    def test_peaks_have_a_row_for_every_case_and_arm(self, data):
        (axes,) = memory_peak_chart(data.frame, data.arms).axes
        assert len(axes.get_yticks()) == len(cases(data.frame)) * 3
        assert len(marks(axes, "median of vm")) == len(cases(data.frame))


class TestThroughput:
    def test_right_is_better_for_every_metric(self):
        assert advantage(comparison(better="higher")).ratio == 0.9
        turned = advantage(comparison(better="lower", ratio=2.0, ci_low=1.6, ci_high=2.5))
        assert (turned.ratio, turned.low, turned.high) == (0.5, 0.4, 0.625)

    def test_a_row_for_each_with_its_interval_and_figure(self):
        found = [comparison(), comparison(arm="vm", ratio=0.5, ci_low=0.4, ci_high=0.6, verdict="worse")]
        (axes,) = throughput_chart(found, ARMS).axes
        assert axes.get_xscale() == "log"
        (mark,) = marks(axes, "container: inconclusive")
        assert list(mark.get_xdata()) == [0.9]
        assert mark.get_markerfacecolor() != ARMS[1].colour
        (mark,) = marks(axes, "vm: worse")
        assert mark.get_markerfacecolor() == ARMS[2].colour
        assert [0.4, 0.6] in [list(line.get_xdata()) for line in axes.lines]
        assert "0.900× [0.850–0.960×]" in texts(axes.figure)
        low, high = axes.get_xlim()
        assert low < 0.4
        assert high > 1.25

    @pytest.mark.parametrize("ratio", [None, 0.0, float("inf"), float("nan")])
    def test_a_ratio_that_no_axis_holds_is_a_row_without_mark(self, ratio):
        figure = throughput_chart([comparison(ratio=ratio, ci_low=None, ci_high=None)], ARMS)
        assert marks(figure.axes[0], "container: inconclusive") == []
        assert "–" in texts(figure)
        render(figure, "svg")

    def test_one_block_has_a_mark_and_says_that_there_is_no_interval(self):
        figure = throughput_chart([comparison(n=1, ci_low=None, ci_high=None)], ARMS)
        assert "0.900× (no interval)" in texts(figure)

    def test_neutral_metrics_have_no_better_side(self):
        assert throughput_chart([comparison(better="neutral")], ARMS) is None

    def test_emulated_arms_are_kept_off_the_others_axis(self, data):
        charts = data.charts
        assert "vm (emulated)" not in texts(CHARTS["throughput"](charts, WIDE))
        assert set(texts(CHARTS["throughput-emulated"](charts, WIDE))) >= {"vm (emulated)"}

    def test_with_kvm_all_arms_share_a_chart(self, store, make_run):
        charts = RunData.load(store, make_run(vm_accel="kvm", blocks=6)).charts
        assert "vm" in texts(CHARTS["throughput"](charts, WIDE))
        assert CHARTS["throughput-emulated"](charts, WIDE) is None


AGAINST_THE_BASELINE = {"throughput", "throughput-emulated", "references"}
OF_SEVERAL_INSTANCES = {"density", "interference"}


class TestDegenerate:
    @pytest.mark.parametrize("width", [WIDE, NARROW])
    def test_one_arm_and_one_block(self, store, make_run, width):
        charts = RunData.load(store, make_run(arms=("native",), blocks=1, outcomes=True, experiments=True)).charts
        drawn = {name: draw(charts, width) for name, draw in CHARTS.items()}
        assert {name for name, figure in drawn.items() if figure is None} == AGAINST_THE_BASELINE | OF_SEVERAL_INSTANCES
        for figure in drawn.values():
            if figure is not None:
                assert render(figure, "svg").startswith(b"<?xml")

    def test_a_run_without_a_successful_trial_has_no_charts(self, store, make_run):
        data = RunData.load(store, make_run(blocks=1, failures=dict.fromkeys(range(1, 100), ("broke", None))))
        assert data.frame.empty
        assert all(draw(data.charts, WIDE) is None for draw in CHARTS.values())

    def test_equal_values_in_every_trial(self, data):
        frame = data.reference_frame.assign(value=1.0)
        for draw in (startup_chart, startup_phases_chart, memory_chart, memory_peak_chart):
            assert render(draw(frame, data.arms), "png").startswith(b"\x89PNG")

    def test_many_arms_have_styles_of_their_own(self):
        styles = arm_styles([f"arm{index}" for index in range(13)], "arm3", ())
        assert len({(style.colour, style.marker) for style in styles}) == 13
        styles = arm_styles([f"arm{index}" for index in range(7)], "arm3", ())
        assert len({(style.colour, style.marker) for style in styles}) == 7
        assert styles[3].index == 0


class TestSvg:
    def test_the_same_data_give_the_same_bytes(self, data):
        for kind in ("svg", "png"):
            first, second = (render(CHARTS["throughput"](data.charts, WIDE), kind) for _ in range(2))
            assert first == second
        assert b"<dc:date>" not in render(CHARTS["startup"](data.charts, WIDE), "svg")

    def test_the_solvers_last_digits_are_not_in_the_bytes(self, data, monkeypatch):
        solve = ConstrainedLayoutEngine.execute

        def solve_a_little_otherwise(engine, figure):
            solve(engine, figure)
            for axes in figure.axes:
                axes._set_position(axes.get_position().translated(1e-13, -1e-13))

        first = render(startup_phases_chart(data.reference_frame, data.arms), "svg")
        monkeypatch.setattr(ConstrainedLayoutEngine, "execute", solve_a_little_otherwise)
        assert render(startup_phases_chart(data.reference_frame, data.arms), "svg") == first

    def test_colours_follow_the_page(self, data):
        svg = inline_svg(startup_chart(data.reference_frame, data.arms), "wide-startup", "alt")
        assert "currentColor" in svg
        assert "var(--series-1, #0072b2)" in svg
        assert f"fill: {INK}" not in svg

    def test_identifiers_are_unique_over_charts(self, data):
        figure = startup_chart(data.reference_frame, data.arms)
        first, second = (inline_svg(figure, name, "alt") for name in ("a", "b"))
        identifiers = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
        assert identifiers[0]
        assert not identifiers[0] & identifiers[1]
        references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', first))
        assert references
        assert references <= identifiers[0]

    @pytest.mark.parametrize(
        "name", ["<script>alert(1)</script>", "$\\frac{1$", "a\"b'c&amp;", "nul\x00\x1b[31m", "工作 🙂"]
    )
    def test_hostile_names_stay_text(self, name):
        figure = throughput_chart([comparison(workload=name, metric=name)], ARMS)
        svg = inline_svg(figure, "wide-throughput", name)
        root = ET.fromstring(svg)
        assert not [element for element in root.iter() if element.tag.endswith("script")]
        shown_texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
        assert any(shown(name) in text for text in shown_texts)

    def test_global_settings_are_left_alone(self, data):
        before = dict(mpl.rcParams)
        inline_svg(startup_chart(data.reference_frame, data.arms), "a", "alt")
        assert dict(mpl.rcParams) == before


def test_a_long_label_keeps_its_end():
    label = shown("a-very-long-workload-name-" * 4 + " — iops", 30)
    assert len(label) == 30
    assert label.startswith("a-very-long")
    assert label.endswith(" — iops")


class TestCases:
    def test_labels_name_only_the_parameters_that_differ(self):
        found = [
            ("fio", "bs=4k,iodepth=1,rw=read"),
            ("fio", "bs=4k,iodepth=16,rw=read"),
            ("null", ""),
            ("redis", "clients=50"),
        ]
        assert list(case_labels(found).values()) == ["fio · iodepth=1", "fio · iodepth=16", "null", "redis"]

    def test_quoted_parameters_are_not_torn(self):
        assert split_params('args="a=b,\\"c\\"",rw=read') == ['args="a=b,\\"c\\""', "rw=read"]
        assert split_params("no parameters at all") == ["no parameters at all"]
        assert split_params("") == []

    def test_sorted_as_people_do(self):
        found = [("fio", "iodepth=16"), ("fio", "iodepth=2"), ("2to3", ""), ("fio", "")]
        assert sorted(found, key=natural) == [("2to3", ""), ("fio", ""), ("fio", "iodepth=2"), ("fio", "iodepth=16")]

    def test_null_stands_for_startup_unless_fewer_arms_completed_it(self, data):
        assert reference_case(data.frame) == ("null", "")
        kept = data.frame[~((data.frame["workload"] == "null") & (data.frame["arm"] == "vm"))]
        assert reference_case(kept)[0] == "fio"


def test_phases_stand_in_each_arms_own_order_of_time(store):
    run = RunBuilder(store, run_record(arms=("native", "container")))
    run.trial(1, "native", **{"startup.clone": 1.0, "startup.exec": 1.0, "startup.ready": 1.0})
    run.trial(1, "container", **{"startup.network": 2.0, "startup.clone": 2.0, "startup.ready": 2.0})
    phases = startup_phases(store.frame(run.record.id))
    assert list(phases["native"]) == ["clone", "exec", "ready"]
    assert list(phases["container"]) == ["network", "clone", "ready"]
