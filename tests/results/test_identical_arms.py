from __future__ import annotations

from pathlib import Path

import pytest

from results.errors import StoreError
from results.identical_arms import identical_arms

SUITE = """
name: twins
limits: {cpus: 1, memory: 512M}
arms:
  native: {runtime: native}
  one: {runtime: container, network: bridge}
  other: {network: bridge, runtime: container, timeouts: {start: 5m}}
  small: {runtime: container, network: bridge, limits: {memory: 256M}}
  plain: {runtime: container}
  native-again: {runtime: native}
  third: {runtime: container, network: bridge}
workloads: [null]
"""


def written(directory: Path, text: str) -> Path:
    (directory / "suite.yaml").write_text(text)
    return directory


def test_arms_of_one_runtime_with_the_same_options_and_limits(tmp_path: Path) -> None:
    assert identical_arms(written(tmp_path, SUITE)) == (("native", "native-again"), ("one", "other", "third"))


def test_a_run_without_a_suite_or_without_twins_has_none(tmp_path: Path) -> None:
    assert identical_arms(tmp_path) == ()
    assert identical_arms(written(tmp_path, "arms: {native: {runtime: native}, vm: {runtime: vm}}")) == ()


@pytest.mark.parametrize("text", ["", "arms", "arms: [native]", "{name: x}", "arms: {native", "arms: {native: vm}"])
def test_a_damaged_suite_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(StoreError, match=r"suite.yaml is damaged \(.*\): mend it, or move it away"):
        identical_arms(written(tmp_path, text))


def test_a_suite_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").mkdir()
    with pytest.raises(StoreError, match=r"suite.yaml cannot be read"):
        identical_arms(tmp_path)
