"""A site as files: what is written, kept and removed, and what of others' is left alone."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from markupsafe import escape
from site_history import NIGHTS, add_night, without_waiting_for_the_disk

from results.errors import StoreError
from results.history.policy import Policy, Rule
from results.report.trials import LINKS
from results.site import write_site
from results.site.output import MANIFEST, file_name, open_output
from results.store import Store


class _Links(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.targets = []
        self.ids = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src", "action"):
                self.targets.append(value)
            if name == "id":
                self.ids.add(value)


def test_every_link_leads_to_a_file_of_the_site(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= NIGHTS + 4
    followed = 0
    for page in pages:
        for target in _Links(page.read_text()).targets:
            parts = urlsplit(target)
            assert not parts.scheme, f"{page}: {target} leaves the site"
            assert not parts.netloc, f"{page}: {target} leaves the site"
            assert not parts.path.startswith("/"), f"{page}: {target} is not relative"
            place = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert place.is_file(), f"{page}: {target} leads nowhere"
            assert place.is_relative_to(site.resolve())
            if parts.fragment:
                assert parts.fragment in _Links(place.read_text()).ids, f"{page}: {target} leads nowhere"
            followed += 1
    assert followed > NIGHTS


def test_what_comes_from_a_run_is_escaped(site):
    for page in site.rglob("*.html"):
        assert "work <b>" not in page.read_text()
    assert "other &amp; more" in (site / "index.html").read_text()


def test_the_index_counts_and_marks(site):
    text = (site / "index.html").read_text()
    assert f"{NIGHTS + 1} runs of 2 suites" in text
    assert text.count("emulated</span>") == NIGHTS + 1
    assert "partial" in text


def test_nothing_is_written_again_without_need(small, tmp_path):
    first = write_site(small, tmp_path / "site")
    assert (first.kept, first.removed) == (0, 0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*.html")}
    second = write_site(small, tmp_path / "site")
    assert (second.written, second.kept, second.removed) == (0, first.written, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*.html")} == before


def test_a_night_more_writes_its_page_and_leaves_the_others(small, tmp_path, monkeypatch):
    write_site(small, tmp_path / "site")
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "site" / "runs").iterdir()}
    new = add_night(small, 2)
    compared = []
    monkeypatch.setattr("results.site.build.summarise", _counting(compared))
    write_site(small, tmp_path / "site")
    assert compared == [new]
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "site" / "runs").iterdir()}
    assert after.keys() - runs.keys() == {tmp_path / "site" / "runs" / f"{new}.html"}
    assert {path: after[path] for path in runs} == runs
    assert new in (tmp_path / "site" / "index.html").read_text()


def _counting(compared):
    from results.site.runs import summarise

    def counted(store, run):
        compared.append(run.id)
        return summarise(store, run)

    return counted


def test_the_page_of_a_run_that_is_gone_goes(small, tmp_path):
    write_site(small, tmp_path / "site")
    (tmp_path / "site" / "runs" / "notes.txt").write_text("mine")
    for run in small.runs():
        small.remove_run(run.id)
    update = write_site(small, tmp_path / "site")
    assert update.removed >= 2
    assert [path.name for path in (tmp_path / "site" / "runs").iterdir()] == ["notes.txt"]
    assert "No run has ended yet" in update.index.read_text()


def test_a_run_that_goes_on_comes_later(small, tmp_path):
    from stored_runs import run_record

    small.add_run(run_record(id="going-on"))
    write_site(small, tmp_path / "site")
    assert "going-on" not in (tmp_path / "site" / "index.html").read_text()


def test_a_report_of_before_the_end_is_not_taken(small, tmp_path):
    run = small.runs()[0]
    stale = small.run_directory(run.id) / "report" / "report.html"
    os.utime(stale, (0, 0))
    write_site(small, tmp_path / "site")
    page = (tmp_path / "site" / "runs" / f"{run.id}.html").read_text()
    assert "<h1>Run" not in page
    assert {target for target in _Links(page).targets if target[0] != "#"} == {"../index.html"}
    assert 'href="../index.html"' in page
    assert "rate" in page


@pytest.mark.parametrize("left", [b"", b"<html><body><h1>Run", b"<html>\xff</html>"])
def test_a_report_that_is_not_whole_is_made_anew(small, tmp_path, left):
    run = small.runs()[0]
    (small.run_directory(run.id) / "report" / "report.html").write_bytes(left)
    write_site(small, tmp_path / "site")
    page = (tmp_path / "site" / "runs" / f"{run.id}.html").read_text()
    assert 'href="../index.html"' in page
    assert f"Run {run.id}, started" in page


@pytest.mark.parametrize("content", ["{", '{"facts": 5}', '{"fairness": [{"fact": "<i>"}]}'])
def test_a_run_of_which_no_report_can_be_made_says_so_until_it_can(small, tmp_path, content):
    broken, other = (small.run_directory(run.id) for run in small.runs())
    (broken / "report" / "report.html").write_text("")
    (broken / "host.json").write_text(content)
    write_site(small, tmp_path / "site")
    page = tmp_path / "site" / "runs" / f"{broken.name}.html"
    assert "No report can be made of this run" in page.read_text()
    assert f": runs/{broken.name}/host.json is damaged" in page.read_text()
    assert all((page.parent / target).is_file() for target in _Links(page.read_text()).targets)
    assert f"Run {other.name}</h1>" in page.with_name(f"{other.name}.html").read_text()
    (broken / "host.json").unlink()
    write_site(small, tmp_path / "site")
    assert "No report can be made" not in page.read_text()


def test_logs_stay_in_the_store(small, tmp_path):
    run = small.runs()[0]
    links = '<a href="#host">Host</a> <a href="../trials/1/log%20%231">log</a> <a href="https://example.org/">paper</a>'
    report = small.run_directory(run.id) / "report" / "report.html"
    report.write_text(f"<html><body>{links}<p>{escape(LINKS)}</p></body></html>")
    write_site(small, tmp_path / "site")
    page = (tmp_path / "site" / "runs" / f"{run.id}.html").read_text()
    assert set(_Links(page).targets) == {"../index.html", "#host", "https://example.org/"}
    assert "Links lead to the logs" not in page


def test_a_file_of_somebody_else_is_never_replaced(small, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("my homepage")
    with pytest.raises(StoreError, match=r"index\.html is not of bench's making"):
        write_site(small, tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_text() == "my homepage"


def test_an_update_that_died_half_way_is_gone_on_with(small, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("results.site.build.regressions_page", lambda trends: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_site(small, tmp_path / "site")
    update = write_site(small, tmp_path / "site")
    assert update.index.is_file()
    assert not list((tmp_path / "site").rglob("*.part"))


def test_one_update_at_a_time(small, tmp_path):
    with open_output(tmp_path / "site"), pytest.raises(StoreError, match="another bench site"):
        write_site(small, tmp_path / "site")
    write_site(small, tmp_path / "site")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"format": 1}', '{"format": 9, "files": {}, "remembered": {}}']
    + [json.dumps({"format": 1, "files": {name: ""}, "remembered": {}}) for name in ("../out.html", "/etc/passwd")],
)
def test_a_damaged_manifest_removes_nothing(history, tmp_path, content):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / MANIFEST).write_text(content)
    (tmp_path / "out.html").write_text("mine")
    with Store(history).open(create=False) as store, pytest.raises(StoreError, match="damaged"):
        write_site(store, tmp_path / "site")
    assert (tmp_path / "out.html").read_text() == "mine"


def test_a_place_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="-o"):
        write_site(small, tmp_path / "file" / "site")


def test_names_are_fit_for_files_and_urls():
    assert file_name("20261001-023000-0000") == "20261001-023000-0000"
    odd = ["../x", "..", "a/b", "a b", "a?b", "ä", "", ".hidden", "-o", "x" * 300]
    names = [file_name(text) for text in odd]
    assert len(set(names)) == len(odd)
    for name in names:
        assert Path(name).name == name
        assert unquote(name) == name
        assert not name.startswith((".", "-"))


def test_an_acknowledged_change_is_no_open_regression(tmp_path):
    from results.history.changes import changes_of
    from results.history.series import Wanted, series_of
    from results.selection import Selection

    with Store(tmp_path / "store").open(create=True) as store:
        without_waiting_for_the_disk(store)
        for night in range(NIGHTS):
            add_night(store, night)
        first = write_site(store, tmp_path / "site")
        page = tmp_path / "site" / "regressions.html"
        assert "1 open, 0 acknowledged" in page.read_text()
        runs = sorted(store.runs(), key=lambda run: run.started)
        (series,) = series_of(store, runs, Wanted(Selection(metrics=("rate",), arms=("container",))))
        (change,) = changes_of(series, 0.015)
        store.acknowledge(change.acknowledged("a new <kernel>", "2026-11-01T00:00:00+00:00"))
        second = write_site(store, tmp_path / "site")
        third = write_site(store, tmp_path / "site")
    assert third.written == 0
    assert "0 open, 1 acknowledged" in page.read_text()
    assert "a new &lt;kernel&gt;" in page.read_text()
    (trend,) = (tmp_path / "site" / "trends").rglob("*.html")
    assert "known, a new &lt;kernel&gt;" in trend.read_text()
    assert "open regression" not in trend.read_text()
    assert second.written < 5 < first.written


def test_a_suite_says_what_is_good_and_what_is_not_watched(history, tmp_path):
    rules = {"turned": Rule("rate", better="lower"), "not watched": Rule("rate", ignored=True)}
    pages = {}
    with Store(history).open(create=False) as store:
        for name, rule in rules.items():
            policy = Policy(rules=(rule,))
            write_site(store, tmp_path / name, lambda run, policy=policy: policy)
            assert "No open regression" in (tmp_path / name / "regressions.html").read_text()
            (page,) = (tmp_path / name / "trends").rglob("*.html")
            pages[name] = page.read_text()
    assert "higher is better" not in pages["turned"]
    assert 'verdict better">▲' in pages["turned"]
    assert "higher is better" in pages["not watched"]
    assert 'class="verdict' not in pages["not watched"]


def test_a_regression_of_a_suite_that_is_another_by_now_is_not_open(tmp_path):
    with Store(tmp_path / "store").open(create=True) as store:
        without_waiting_for_the_disk(store)
        for night in range(NIGHTS):
            add_night(store, night)
        add_night(store, NIGHTS, suite_hash="0ther")
        write_site(store, tmp_path / "site")
    assert "No open regression" in (tmp_path / "site" / "regressions.html").read_text()


def test_runs_that_are_not_alike_are_not_of_one_trend(small, tmp_path):
    add_night(small, 2, host_fingerprint="beef")
    add_night(small, 3, suite_hash="0ther")
    add_night(small, 4, status="partial")
    add_night(small, 5, suite="nightly-confirm")
    write_site(small, tmp_path / "site")
    pages = sorted((tmp_path / "site" / "trends").rglob("*.html"))
    assert len(pages) == 3
    assert sorted(" 2 runs" in page.read_text() for page in pages) == [False, False, True]
    listed = (tmp_path / "site" / "trends.html").read_text()
    assert [listed.count(f'href="{page.relative_to(tmp_path / "site")}"') for page in pages] == [1, 1, 1]


def test_of_a_long_history_the_newest_part_is_drawn(small, tmp_path, monkeypatch):
    monkeypatch.setattr("results.site.trends.MOST_POINTS", 2)
    newest = add_night(small, 2)
    write_site(small, tmp_path / "site")
    (page,) = (tmp_path / "site" / "trends").rglob("*.html")
    assert "The newest 2 runs" in page.read_text()
    assert newest in page.read_text()


def test_what_is_longer_ago_than_regress_looks_is_no_open_regression():
    from histories import series_of_values

    from results.history.changes import changes_of
    from results.history.regress import NIGHTS
    from results.site.summaries import is_open

    noise = np.random.default_rng(4).normal(size=NIGHTS + 60)
    for since, expected in ((NIGHTS - 10, True), (NIGHTS + 10, False)):
        level = np.where(np.arange(noise.size) >= noise.size - since, 1.2, 1.0)
        (change,) = changes_of(series_of_values(level * np.exp(0.003 * noise)), 0.02)
        assert change.alarming
        assert is_open(change, is_current=True) is expected
        assert not is_open(change, is_current=False)
