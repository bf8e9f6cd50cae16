"""Starts of every kind beside their floor, and memory at three moments, in charts and tables."""

from __future__ import annotations

import pytest

from results.charts.cases import arm_medians
from results.charts.quantities import MISSING, quantity
from results.charts.starts import cold_start_chart, parallel_start_chart, startup_chart
from results.charts.startup import startup_phases_chart
from results.charts.waterfall import moments_chart
from results.report.data import RunData
from results.report.starts import other_starts_table
from results.report.waterfall import moment_steps_table, moments_table


@pytest.fixture
def experiments(store, make_run):
    return RunData.load(store, make_run(arms=("native", "bare", "container", "vm"), blocks=2, experiments=True))


@pytest.fixture
def plain(store, make_run):
    """A run with neither."""
    return RunData.load(store, make_run(blocks=1))


def texts(figure):
    """Every text of the figure but tick labels."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def marks(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


class TestStarts:
    """Starts of every kind, none of them put together with another's."""

    def test_the_floor_is_the_bare_exec_and_every_row_is_told_as_its_multiple(self, experiments):
        figure = startup_chart(experiments.reference_frame, experiments.arms)
        (axes,) = figure.axes
        (line,) = marks(axes, "the floor: bare exec")
        floor = arm_medians(experiments.reference_frame, "startup_time")["bare"]
        assert list(line.get_xdata()) == [floor, floor]
        (bare,) = [text for text in texts(figure) if text.endswith(" 1.00×")]
        assert bare.startswith(quantity(floor, "s"))
        assert len([text for text in texts(figure) if text.endswith("×")]) == 4

    def test_cold_starts_stand_by_layer_beneath_the_usual_one(self, experiments):
        figure = cold_start_chart(experiments.frame, experiments.reference_frame, experiments.arms)
        titles = [text for text in texts(figure) if text.startswith(("one at a time", "not in"))]
        assert titles == [
            "one at a time, from a warm page cache",
            "not in the page cache: image",
            "not in the page cache: kernel",
        ]

    def test_several_at_once_have_their_starts_and_stops_apart_and_no_floor_under_stops(self, experiments):
        figure = parallel_start_chart(experiments.frame, experiments.reference_frame, experiments.arms)
        titles = [text for text in texts(figure) if "8 at once" in text]
        assert titles == ["8 at once, until the last is ready", "8 at once, until the last is gone"]
        assert len([text for text in texts(figure) if text.endswith("×")]) == 8

    def test_phases_by_the_guests_clock_are_hatched(self, experiments):
        renamed = {"startup.boot": "startup.guest_kernel"}
        frame = experiments.reference_frame
        frame = frame.assign(metric=frame["metric"].astype(str).replace(renamed))
        figure = startup_phases_chart(frame, experiments.arms)
        hatched = [bar for axes in figure.axes for bar in axes.patches if bar.get_hatch()]
        assert len(hatched) == 1
        assert figure.legends[0].get_texts()[0].get_text() == "ends by the guest's clock"
        assert not startup_phases_chart(experiments.reference_frame, experiments.arms).legends
        titles = {axes.get_title(loc="left") for axes in figure.axes}
        assert any(title.startswith("bare: ") and title.endswith("1.00× the bare exec") for title in titles)

    def test_the_table_has_every_kind_with_what_was_read_anew(self, experiments):
        table = other_starts_table(experiments)
        kinds = list(dict.fromkeys(row[0] for row in table.rows))
        assert len(kinds) == 5
        anew = {(row[0], row[1]): row[-1] for row in table.rows}
        assert anew["not in the page cache: kernel", "vm (emulated)"] == "16.0 MiB"
        assert anew["not in the page cache: kernel", "container"] == "0 B"
        assert anew["one at a time, from a warm page cache", "container"] == MISSING
        assert {row[-3] for row in table.rows if "gone" in row[0]} == {MISSING}

    def test_without_other_starts_there_is_neither_chart_nor_table(self, plain):
        assert cold_start_chart(plain.frame, plain.reference_frame, plain.arms) is None
        assert parallel_start_chart(plain.frame, plain.reference_frame, plain.arms) is None
        assert other_starts_table(plain).rows == ()


class TestMoments:
    def test_each_case_and_arm_has_its_moments_one_below_the_other(self, experiments):
        figure = moments_chart(experiments.frame, experiments.arms)
        (axes,) = figure.axes
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels == ["idle", "under load", "afterwards"] * 3
        assert "memory-hold: vm (emulated)" in texts(figure)
        bars = {bar.get_label(): bar[0].get_width() for bar in axes.containers}
        held = "guest_free of memory-hold: vm (emulated)"
        assert bars[f"{held} afterwards"] - bars[f"{held} idle"] == pytest.approx(128 * 1024**2)

    def test_the_table_has_a_row_for_each(self, experiments):
        rows = {(row[1], row[2]): row[3:] for row in moments_table(experiments).rows}
        assert rows["vm (emulated)", "afterwards"][0] == "274 MiB"
        assert rows["container", "under load"][2] == "129 MiB"
        assert rows["container", "under load"][1] == MISSING

    def test_so_has_that_of_the_steps(self, experiments):
        table = moment_steps_table(experiments)
        free = list(table.columns).index("guest free")
        rows = {(row[1], row[2]): row for row in table.rows}
        assert rows["vm (emulated)", "afterwards"][free] == "140 MiB"
        assert rows["container", "afterwards"][free] == MISSING

    def test_without_moments_there_is_neither_chart_nor_table(self, plain):
        assert moments_chart(plain.frame, plain.arms) is None
        assert moments_table(plain).rows == ()
        assert moment_steps_table(plain).rows == ()
