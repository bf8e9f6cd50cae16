"""What a report says of arms that had not the same to work with, and of what they ran."""

from __future__ import annotations

from dataclasses import replace

import pytest

from results.report import background, overview
from results.report.data import RunData

MIB = 1 << 20
DIGEST = "sha256 /usr/bin/fio"


@pytest.fixture
def with_facts(store, make_run):
    """A run whose trials have the facts that are given by arm, and whose host has what was observed and differed."""

    def data(by_arm, observed=None, fairness=()):
        run = make_run(blocks=1, host={"observed": observed or {}, "fairness": fairness})
        loaded = RunData.load(store, run)
        return replace(loaded, trials=tuple(replace(each, facts=by_arm.get(each.arm, {})) for each in loaded.trials))

    return data


def usable(cpus, mib, online=2):
    return {"cpus_usable": str(cpus), "memory_usable": str(mib * MIB), "cpus_online": str(online)}


def test_a_banner_and_warnings_name_the_arms_and_both_figures(with_facts):
    data = with_facts({"native": usable(1, 512), "container": usable(2, 512), "vm": usable(1, 256, online=1)})
    (banner,) = [each for each in overview.banners(data) if each.title == "Not all arms had the same to work with"]
    for said in ("container can use 2, native 1", "vm can use 256 MiB, native 512 MiB"):
        assert said in banner.text
        assert any(said in text for text in background.host(data).paragraphs)
    assert any("processors online (" in text for text in background.host(data).paragraphs)


def test_equal_arms_have_neither(with_facts):
    data = with_facts({arm: usable(1, 512) for arm in ("native", "container", "vm")})
    assert not [each for each in overview.banners(data) if "same to work with" in each.title]
    assert not [text for text in background.host(data).paragraphs if text.startswith("Warning")]


@pytest.mark.parametrize(("other", "said"), [("aa", "1 of 1 files are the same"), ("bb", "0 of 1 files")])
def test_what_the_arms_ran_was_the_same_bytes_or_not(with_facts, other, said):
    data = with_facts({}, {"native": {DIGEST: "aa", "kernel": "6"}, "vm": {DIGEST: other}})
    assert any(said in text for text in background.host(data).paragraphs)
    assert any("1 are not" in text for text in background.host(data).paragraphs) == (other == "bb")


def test_what_differed_is_shown_in_the_order_of_the_suite(with_facts):
    rows = [{"fact": "kernel", "values": {"vm": "6.1", "container": "6.18", "native": "6.18"}}]
    table = background.host(with_facts({}, fairness=rows)).tables[0]
    assert list(table.columns) == ["Fact", "native", "container", "vm (emulated)"]
