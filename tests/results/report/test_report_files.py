from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from results.charts.catalogue import CHARTS
from results.errors import StoreError
from results.markdown import escaped
from results.records import WATERFALL_STEPS
from results.report import save_chart, write_report
from results.report.background import read_end
from results.report.data import RunData
from results.report.overview import banners, cards, findings
from results.stats.verdict import UNSETTLED

HOSTILE = "<script>alert('x')</script>"
ELSEWHERE = {"density", "interference"}
"""Charts of runs of another kind, which test_report_experiments.py draws."""

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps elements, attributes and texts."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.text, self._open = [], [], [], []
        self.headings = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture
def written(report_of):
    """The page and the Markdown of a made-up run's report."""

    def write(**properties):
        report = report_of(**properties)
        return report.html.read_text(encoding="utf-8"), report.markdown.read_text(encoding="utf-8")

    return write


class TestContents:
    def test_sections_in_their_order(self, written):
        html, markdown = written(blocks=1, outcomes=True)
        order = [
            "Overview", "Checks", "Limits", "Startup", "Memory and image", "Throughput", "Latency", "As published",
            "CPU time", "Iterations", "All comparisons", "Failed trials", "Trials", "Noise", "Host and fairness",
            "How to read this", "Provenance",
        ]  # fmt: skip
        assert Page(html).headings == order
        assert re.findall(r"^## (.*)$", markdown, re.MULTILINE) == order

    def test_every_chart_is_in_both(self, written, report_of):
        html, markdown = written(blocks=6, outcomes=True, experiments=True)
        directory = report_of(blocks=6, outcomes=True, experiments=True).html.parent
        drawn = CHARTS.keys() - ELSEWHERE
        for name in drawn:
            assert f'<figure id="chart-{name}">' in html
            assert f"](charts/{name}.png)" in markdown
            assert (directory / "charts" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        left = {path.name for path in directory.rglob("*") if path.is_file()}
        assert left == {"report.html", "report.md"} | {f"{name}.png" for name in drawn}

    def test_every_comparison_is_in_the_tables(self, store, make_run, tmp_path):
        run = make_run(blocks=6)
        data = RunData.load(store, run)
        report = write_report(store, run, tmp_path)
        page = Page(report.html.read_text())
        bodies = page.text.count("memory_peak ↓")
        assert bodies == sum(comparison.metric == "memory_peak" for comparison in data.comparisons) == 16
        # The cards of the page are a table in Markdown.
        tables = re.findall(r"^\|(?:---:?\|)+$", report.markdown.read_text(), re.MULTILINE)
        assert page.tags.count("table") + 1 == len(tables)

    def test_what_is_needed_to_judge_the_run(self, written):
        html, markdown = written(blocks=1)
        for fact in (
            "20261124-114502-3f9a",
            "9b1e77a0c2",
            "20261124",
            "4f1c2e9d",
            "13 min 38 s",
            "AMD EPYC 7B13",
            "kvm-clock",
        ):
            assert fact in html
            assert fact in markdown

    def test_idle_memory_is_shown_as_charged_and_as_mapped(self, written):
        _, markdown = written(blocks=6)
        table = markdown[markdown.index("**Idle memory, charged and mapped**") :]
        rows = [line.split("|")[1].strip() for line in table.split("\n\n")[1].splitlines()[2:]]
        assert rows == [r"memory\_footprint"] * 3 + [r"memory.pss"] * 3

    def test_whom_idle_memory_serves_adds_up(self, written):
        _, markdown = written(blocks=6)
        table = markdown[markdown.index("**Whom idle memory serves, medians**") :].split("\n\n")[1]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
        of_all = [step.replace("_", " ") for step in WATERFALL_STEPS if step != "helpers"]  # of engines alone
        assert [row[0] for row in rows] == [*of_all, "In all"]
        assert rows[-1][1:] == ["1.20 MiB", "1.90 MiB", "146 MiB"]
        assert rows[4] == ["vmm", "–", "–", "40.5 MiB"]

    def test_the_same_run_gives_the_same_bytes(self, store, make_run, tmp_path):
        run = make_run(blocks=6)
        first, second = (write_report(store, run, tmp_path / name) for name in "ab")
        assert first.html.read_bytes() == second.html.read_bytes()
        assert first.markdown.read_bytes() == second.markdown.read_bytes()


class TestBanners:
    def test_emulation_is_the_first_thing_said(self, written):
        html, markdown = written(blocks=1, status="partial", stop_reason="interrupted", failures={2: ("broke", None)})
        alarm, *notices = titles = [
            "Software emulation: function only, never performance",
            "This run is partial",
            "1 block: at least 6 are needed for an interval",
            "1 of 24 trials failed",
        ]
        positions = [html.index(f"<strong>{title}</strong>") for title in titles]
        assert positions == sorted(positions)
        overview = html.index("Overview</h2>")
        assert html.index(alarm) < html.index(f'<a href="#notices">{" · ".join(notices)}</a>') < overview < positions[1]
        assert re.findall(r"^> .*\*\*(.*)\*\*", markdown, re.MULTILINE) == titles

    def test_an_arm_that_only_failed_under_emulation_counts_as_emulated(self, store, make_run):
        data = RunData.load(store, make_run(arms=("native", "vm"), blocks=1, failures={1: ("a", None)}))
        assert banners(data)[0].level == "alarm"

    def test_doubtful_clocks_are_said_first_and_in_full_beside_the_host(self, written):
        facts = {1: {"clocksource": "tsc"}, **{number: {"clock_ratio": "0.8021"} for number in range(2, 25)}}
        html, markdown = written(blocks=1, facts=facts)
        for text in (html, markdown):
            section = text.index("Facts of the host")
            assert text.index("Clocks inside instances are in doubt") < text.index("0.8021 in trial") < section

    def test_clocks_that_agree_are_not_mentioned(self, written):
        facts = {number: {"clocksource": "tsc", "clock_ratio": "1.0012"} for number in range(1, 25)}
        html, _ = written(blocks=1, facts=facts)
        assert "in doubt" not in html
        assert "Warning:" not in html

    def test_a_whole_run_on_kvm_has_none(self, store, make_run):
        assert banners(RunData.load(store, make_run(vm_accel="kvm", blocks=6))) == ()

    def test_too_few_blocks_for_an_interval_are_said(self, store, make_run):
        (found,) = banners(RunData.load(store, make_run(vm_accel="kvm", blocks=5)))
        assert found.title == "5 blocks: at least 6 are needed for an interval"

    def test_what_more_blocks_would_decide_is_said_and_how_many(self, store, make_run):
        arms = ("native", "container", *(f"container-{number}" for number in range(5)))
        data = RunData.load(store, make_run(arms=arms, blocks=6))
        (found,) = banners(data)
        unsettled = [one for one in data.comparisons if UNSETTLED in one.warnings]
        assert found.title == f"{len(unsettled)} differences not decided for want of blocks"
        more = int(re.search(r"(\d+) blocks decide it", found.text)[1])
        assert 6 < more <= 10
        data = RunData.load(store, make_run(arms=arms, blocks=more, id="20261125-114502-3f9a"))
        assert banners(data) == ()


class TestOverview:
    def test_cards_say_the_same_as_the_comparison(self, store, make_run):
        data = RunData.load(store, make_run(blocks=10, vm_accel="kvm"))
        native, container, _ = cards(data)
        assert native.tags == ("baseline",)
        startup = data.against_baseline("container", "startup_time")
        assert startup is not None
        assert startup.ratio is not None
        assert container.headlines[0].detail.startswith(f"{startup.ratio:.1f}× [")
        assert sum(container.verdicts.values()) == 8
        assert container.verdicts["worse"] >= 1

    def test_findings_name_the_greatest_loss(self, store, make_run):
        container, vm = findings(RunData.load(store, make_run(blocks=10)))
        assert container.subject == "container"
        assert "Greatest loss: iperf3, bandwidth, 0.7" in container.text
        assert vm.subject == "vm (emulated: function only, never performance)"


class TestDamage:
    def test_a_run_in_which_everything_failed(self, written):
        html, markdown = written(blocks=1, host=None, failures=dict.fromkeys(range(1, 100), ("broke", None)))
        assert "24 of 24 trials failed" in html
        assert "No trial succeeded" in markdown
        assert "<svg" not in html

    def test_one_arm_and_one_trial_each(self, written):
        html, _ = written(arms=("native",), blocks=1)
        assert "No workload metric was measured in both" in html

    def test_damaged_host_facts_are_an_error_that_names_the_file(self, store, make_run, tmp_path):
        run = make_run(blocks=1)
        path = store.run_directory(run.id) / "host.json"
        path.write_text("{")
        with pytest.raises(StoreError, match=re.escape(str(path))):
            write_report(store, run, tmp_path / "report")
        assert not (tmp_path / "report" / "report.html").exists()

    def test_unreadable_host_facts_are_an_error_that_names_the_file(self, store, make_run, tmp_path):
        run = make_run(blocks=1, host=None)
        path = store.run_directory(run.id) / "host.json"
        path.mkdir()
        with pytest.raises(StoreError, match=rf"{re.escape(str(path))} cannot be read \(Is a directory\)"):
            write_report(store, run, tmp_path / "report")

    def test_a_failed_write_leaves_the_old_report_whole(self, store, make_run, tmp_path, monkeypatch):
        run = make_run(blocks=1)
        report = write_report(store, run, tmp_path / "report")
        before = report.html.read_bytes()
        monkeypatch.setattr("pathlib.Path.replace", _no_space)
        with pytest.raises(StoreError, match="No space"):
            write_report(store, run, tmp_path / "report")
        assert report.html.read_bytes() == before
        assert not list((tmp_path / "report").rglob("*.part"))

    @pytest.mark.parametrize("place", ["/dev/null/x", "/proc/x", "file/report"])
    def test_a_place_that_cannot_be_written_is_named(self, store, make_run, tmp_path, place):
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match=rf"^cannot write .*{place}: .*; name another place with --output$"):
            write_report(store, make_run(blocks=1), tmp_path / place)

    def test_a_chart_that_cannot_be_written_is_named(self, store, make_run, tmp_path):
        with pytest.raises(StoreError, match=r"cannot write .*none/chart\.png: No such file"):
            save_chart(store, make_run(blocks=6), "startup", tmp_path / "none" / "chart.png")


def _no_space(path, target):
    raise OSError(28, "No space left on device", str(target))


class TestEscaping:
    def test_nothing_named_by_others_is_markup(self, written):
        facts = {"facts": {HOSTILE: HOSTILE}, "fairness": [{"fact": HOSTILE, "values": {"native": HOSTILE}}]}
        html, markdown = written(
            blocks=6,
            suite=HOSTILE,
            stop_reason=HOSTILE,
            status="partial",
            workload=lambda name: name + HOSTILE,
            arms=("native", f"container{HOSTILE}"),
            host=facts,
            failures={3: (HOSTILE, f"{HOSTILE}\n</pre>```\n~~~\n")},
        )
        page = Page(html)
        assert page.tags.count("script") == 1, "ours, and no other"
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert any(HOSTILE in text for text in page.text)
        outside = re.sub(r"^````text$.*?^````$", "", markdown, flags=re.MULTILINE | re.DOTALL)
        assert outside != markdown
        assert "<script" not in outside

    def test_nothing_is_fetched(self, written):
        html, _ = written(blocks=1)
        page = Page(html)
        fetched = [value for _, name, value in page.attributes if name in {"src", "href", "xlink:href"}]
        assert fetched
        assert all(value.startswith("#") for value in fetched)
        assert not re.search(r"url\((?!#)|@import", html)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a|b", r"a\|b"),
            ("two\nlines", "two lines"),
            ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
            ("*_`[x](y)", r"\*\_\`\[x\](y)"),
            ("- point", r"\- point"),
            ("1. first", r"1\. first"),
            ("1.19 MiB", "1.19 MiB"),
            ("-500 ms", "-500 ms"),
            ("---", r"\---"),
            ("memory.anon", "memory.anon"),
        ],
    )
    def test_markdown(self, text, expected):
        assert escaped(text) == expected


class TestLogs:
    def test_the_end_is_shown_without_terminal_codes(self, tmp_path):
        (tmp_path / "log").write_bytes(b"start\n" + b"line\n" * 5000 + b"\x1b[31mred\x1b[0m \xff\x00 end\r\n")
        lines = read_end(tmp_path, "log").splitlines()
        assert lines[-1] == "red \ufffd\ufffd end"
        assert len(lines) == 40

    def test_only_logs_inside_the_run_are_shown(self, tmp_path):
        (tmp_path / "secret").write_text("secret")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "link").symlink_to(tmp_path / "secret")
        for path in ("../secret", str(tmp_path / "secret"), "link"):
            assert "outside the run's directory" in read_end(tmp_path / "run", path)

    def test_a_missing_or_empty_log_is_said(self, tmp_path):
        (tmp_path / "empty").touch()
        assert read_end(tmp_path, "none") == "none cannot be read: No such file or directory"
        assert read_end(tmp_path, "empty") == "The log is empty."

    def test_a_failed_trial_shows_reason_and_log(self, written):
        html, markdown = written(blocks=1, failures={4: ("fio printed no metric", "opening /scratch\nno space")})
        for text in (html, markdown):
            assert "fio printed no metric" in text
            assert "no space" in text


class TestSingleCharts:
    @pytest.mark.parametrize("suffix", [".svg", ".png"])
    def test_saved_on_a_ground_of_its_own(self, store, make_run, tmp_path, suffix):
        path = tmp_path / f"chart{suffix}"
        save_chart(store, make_run(blocks=6), "throughput", path)
        assert path.read_bytes().startswith({".svg": b"<?xml", ".png": b"\x89PNG"}[suffix])
        assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == [path.name]

    def test_mistakes_are_named(self, store, make_run, tmp_path):
        run = make_run(arms=("native",), blocks=1)
        with pytest.raises(ValueError, match="no chart 'startpu'; there are startup,"):
            save_chart(store, run, "startpu", tmp_path / "a.svg")
        with pytest.raises(ValueError, match=r"a\.gif: a chart is written as \.svg, \.png, \.pdf"):
            save_chart(store, run, "startup", tmp_path / "a.gif")
        with pytest.raises(ValueError, match="measured nothing"):
            save_chart(store, run, "throughput", tmp_path / "a.svg")
