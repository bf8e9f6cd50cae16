"""The chart of a history as a file of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import series_of_values

from results.charts.history import caption, save_history_chart
from results.errors import StoreError
from results.history.changes import changes_of


@pytest.fixture
def series():
    """Forty nights of three trials each, slower by a tenth from the middle on."""
    values = np.repeat([1.0, 1.1], 20)
    spread = tuple(value * np.array([0.98, 1.0, 1.02]) for value in values)
    made = series_of_values(values)
    runs = tuple(
        replace(run, started=f"2026-{1 + night // 20:02}-{1 + night % 20:02}T02:00:00Z")
        for night, run in enumerate(made.runs)
    )
    return replace(made, runs=runs, trials=spread)


def test_the_caption_says_what_a_reader_must_know(series):
    (run, *_) = series.runs
    text = caption([series])
    assert text.startswith("n = 40 runs of 3 trials each.")
    assert "pale band" in text
    for fact in (run.host_fingerprint, run.suite, run.suite_hash[:12], run.image[:12], series.runs[-1].id):
        assert fact in text
    assert "emulation" not in text
    assert "software emulation" in caption([replace(series, key=replace(series.key, accel="tcg"))])


def test_runs_that_were_joined_are_all_named(series):
    joined = replace(series, runs=(replace(series.runs[0], host_fingerprint="beef"), *series.runs[1:]))
    assert f"Host: beef, {series.runs[1].host_fingerprint}." in caption([joined])


def test_the_file_is_whole_or_as_it_was(series, tmp_path, monkeypatch):
    found = [(series, changes_of(series, 0.05))]
    path = tmp_path / "chart.svg"
    save_history_chart(found, path)
    before = path.read_bytes()
    assert before.endswith(b"</svg>")

    def full(place, content):
        place.open("wb").write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StoreError, match="No space left on device; name another file with --output"):
        save_history_chart(found, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["chart.svg"]
