from __future__ import annotations

import re

import pytest

from results.charts.catalogue import CHARTS
from results.report import save_chart, write_comparison
from results.report.data import RunData
from results.report.single import KINDS, WIDTHS, caption


@pytest.fixture
def two_runs(make_run):
    """Two runs of the same suite, the second on another host and with another kernel."""
    hosts = ({"facts": {"kernel": kernel, "swap": "none"}} for kernel in ("6.18.2-cloud-amd64", "6.19 <b>"))
    given = {"blocks": 6, "arms": ("native", "container")}
    first = make_run(**given, host=next(hosts))
    return first, make_run(**given, host=next(hosts), id="20261125-114502-aaaa", fingerprint="beef")


class TestTwoRuns:
    def test_what_makes_them_unlike_is_said_first_and_listed(self, store, two_runs, tmp_path):
        first, later = two_runs
        report = write_comparison(store, first, later, tmp_path)
        html, markdown = report.html.read_text(), report.markdown.read_text()
        notice = f"Not the same host: beef, and c0ffee12 in {first.id}"
        assert html.count('role="alert"') == 1
        assert html.index(notice) < html.index("Overview</h2>")
        assert notice in markdown
        assert "6.19 &lt;b&gt;" in html
        assert "| host: kernel | 6.18.2-cloud-amd64 | 6.19 &lt;b&gt; |" in markdown
        assert "host: swap" not in markdown, "what is the same is no difference"
        assert 'id="chart-runs"' in html
        assert (tmp_path / "charts" / "runs.png").read_bytes().startswith(b"\x89PNG")
        assert f"× run {first.id}" in html, "a mark names the run that it is relative to"
        assert html.index("The foremost changes") < html.index("What differs around the runs</h2>")

    def test_an_arm_emulated_in_one_run_alone_is_not_compared_and_decided_changes_come_first(
        self, store, make_run, slow_down, tmp_path
    ):
        given = {"blocks": 6, "arms": ("native", "vm"), "omit": ("shutdown_time",)}
        first = make_run(**given)
        slow_down("native", 0.5)
        later = make_run(**given, vm_accel="kvm", id="20261125-114502-aaaa")
        markdown = write_comparison(store, first, later, tmp_path).markdown.read_text()
        alarms = re.findall(r"^> 🛑 \*\*(.*)\*\*", markdown, re.MULTILINE)
        assert alarms == ["The two runs are not alike"]
        assert f"Not compared: it ran under software emulation in {first.id} alone (vm)" in markdown
        assert "accelerator:" not in markdown.partition("## ")[0], "that is why, and said once"
        assert re.search(r"\*\*vm \(emulated\):\*\* \d+ not compared\.", markdown)
        overview = markdown.partition("## Overview")[2].partition("## ")[0]
        rows = re.findall(r"^\| [^|]*, [^|]* \| native \|.* \| ([a-z]+ [^|]*) \|$", overview, re.MULTILINE)
        assert re.match(r"worse (1\.9\d|2\.0\d)× worse \\\[|worse [+-]\d\d\.\d % \\\[", rows[0])
        words = [row.split()[0] for row in rows]
        assert words == sorted(words, key=("worse", "inconclusive", "same").index)
        assert words.count("worse") == 8


class TestSingleCharts:
    def test_every_chart_has_its_line(self):
        assert KINDS.keys() == CHARTS.keys()

    def test_the_caption_says_what_a_reader_must_know(self, store, make_run):
        data = RunData.load(store, make_run(blocks=6))
        for kind in ("throughput", "startup"):
            text = caption(data, kind)
            assert text.startswith("n = 6 ")
            for fact in ("AMD EPYC 7B13", "Suite quick (9b1e77a0c2)", data.run.id):
                assert fact in text
            assert ("vm: software emulation" in text) == (kind == "startup"), "it names what is drawn"
        assert "vm: software emulation" in caption(data, "throughput-emulated")
        for said in ("Ratios to native", "shaded band is ±5 %", "A hollow mark is inconclusive"):
            assert said in caption(data, "throughput")
        assert "floor" not in caption(data, "startup")
        assert "95 % signed-rank" in caption(data, "throughput")
        assert "medians" in caption(data, "startup")

    def test_a_multiple_of_the_floor_is_called_so(self, store, make_run):
        data = RunData.load(store, make_run(blocks=1, arms=("native", "bare"), experiments=True))
        for kind in ("startup", "cold-start", "parallel-start"):
            assert "multiple of" in caption(data, kind)

    def test_nothing_is_cut_in_the_width_of_a_column(self, store, make_run):
        data = RunData.load(store, make_run(blocks=6, arms=("native", "container")))
        (axes,) = CHARTS["throughput"](data.charts, WIDTHS["column"] / 25.4).axes
        texts = [text.get_text() for text in axes.texts]
        assert not [text for text in texts if "…" in text]
        assert any(text.startswith("rw=randread") for text in texts), "a title goes on in a second line"
        assert sum(bool(re.search(r"×\n\[.*×\]$", text)) for text in texts) == len(data.throughput)
        assert axes.get_xlabel() == "← worse than native · better →"

    def test_n_is_that_of_what_the_chart_shows(self, store, make_run):
        numbers = range(1, 6 * 24 + 1)
        run = make_run(blocks=6)
        trials = {trial.trial: trial for trial in store.trials(run.id)}
        broken = next(at for at in numbers if (trials[at].workload, trials[at].arm) == ("redis", "vm"))
        data = RunData.load(store, make_run(blocks=6, id="20261125-114502-aaaa", failures={broken: ("gone", None)}))
        begins = {kind: caption(data, kind).split(" trials")[0].split(" blocks")[0] for kind in CHARTS}
        assert begins["startup"] == begins["memory-waterfall"] == begins["throughput"] == "n = 6"
        assert begins["cpu-time"] == begins["latency"] == begins["throughput-emulated"] == "n = 5 to 6"

    def test_the_same_run_gives_the_same_file(self, store, make_run, tmp_path):
        run = make_run(blocks=6)
        for suffix, begin in ((".svg", b"<?xml"), (".pdf", b"%PDF")):
            paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
            for path in paths:
                save_chart(store, run, "startup", path, width=89, title="A <title>")
            first, second = (path.read_bytes() for path in paths)
            assert first == second
            assert first.startswith(begin)
            assert b"CreationDate" not in first

    def test_the_command_line(self, store, make_run, tmp_path, capsys, monkeypatch):
        from bench.cli import run_command_line

        make_run(blocks=1)
        where = ["--store", str(store.directory)]
        assert run_command_line(["chart", "--list"]) == 0
        listed = capsys.readouterr().out
        assert all(kind in listed for kind in CHARTS)
        path = tmp_path / "chart.png"
        given = [*where, "--kind", "startup", "-o", str(path)]
        assert run_command_line(["chart", *given, "--width", "column"]) == 0
        assert path.read_bytes().startswith(b"\x89PNG")
        for wrong, said in (
            ([*given, "--width", "3in"], "expected column or page, or from 60 to 600 mm"),
            ([*where, "--kind", "startpu", "-o", str(path)], "there are startup,"),
            ([*where, "--kind", "startup", "-o", str(tmp_path / "a.gif")], ".pdf"),
        ):
            assert run_command_line(["chart", *wrong]) == 2
            assert said in capsys.readouterr().err

    def test_opening_is_left_where_there_is_no_screen(self, tmp_path, capsys, monkeypatch):
        from bench.cli.report import _open

        opened = []
        monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("sys.platform", "linux")
        _open(tmp_path / "report.html")
        assert "there is no screen here" in capsys.readouterr().err
        assert opened == []
        monkeypatch.setenv("DISPLAY", ":0")
        _open(tmp_path / "report.html")
        assert opened == [(tmp_path / "report.html").as_uri()]
