"""Where the VM runtime keeps things: the same directory as images are in."""

from __future__ import annotations

import pytest

from runtimes.base import HostError
from runtimes.cache import cache_directory


@pytest.mark.parametrize(
    ("setting", "expected"), [(None, "home/.cache/bench"), ("~/mine", "home/mine"), ("here", "here")]
)
def test_it_is_made_where_it_is_wanted(tmp_path, monkeypatch, setting, expected):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    if setting is None:
        monkeypatch.delenv("BENCH_CACHE", raising=False)
    else:
        monkeypatch.setenv("BENCH_CACHE", setting)
    assert cache_directory() == tmp_path / expected
    assert cache_directory("one", "two") == tmp_path / expected / "one" / "two"
    assert (tmp_path / expected / "one" / "two").is_dir()


def test_one_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("BENCH_CACHE", str(file))
    with pytest.raises(HostError, match=f"cannot make the cache directory {file}: .*set BENCH_CACHE"):
        cache_directory()
