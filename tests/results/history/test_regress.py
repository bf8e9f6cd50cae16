from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest
from nightly_runs import add_nights, noisy
from stored_runs import RunBuilder, run_record

from results.errors import StoreError
from results.history.against import regress_against
from results.history.baselines import named_run
from results.history.policy import Policy, Rule
from results.history.regress import Finding, Regress, regress, with_rerun
from results.history.render import rendered
from results.records import Baseline
from results.store import Store

NIGHTS = 24


def judged(store: Store, levels: Sequence[float], policy: Policy | None = None, **others: Sequence[float]) -> Regress:
    add_nights(store, {"native": noisy(1.0, len(levels), seed=9), "container": levels, **others})
    return regress(store, store.resolve("latest"), policy or Policy())


def of_container(found: Regress) -> Finding:
    return next(each for each in found.findings if each.key.arm == "container")


def slower(nights: int, by: float = 1.1) -> list[float]:
    return noisy(1.0, NIGHTS - nights) + noisy(by, nights, seed=3)


def test_quiet_nights_are_the_same(store: Store) -> None:
    found = judged(store, noisy(1.0, NIGHTS))
    assert [each.verdict for each in found.findings] == ["same", "same"]
    assert found.exit_code(strict=True) == 0
    assert (found.runs, found.findings[0].nights) == (NIGHTS, NIGHTS)


def test_a_level_that_is_worse_for_good_is_an_alarm(store: Store) -> None:
    found = judged(store, slower(4))
    one = of_container(found)
    assert (one.verdict, one.ratio) == ("worse", pytest.approx(1.1, rel=0.01))
    assert one.change is not None
    assert one.change.shift.index == NIGHTS - 4
    assert found.alarms == (one,)
    assert found.exit_code(strict=False) == 3


def test_one_night_is_suspicious_and_no_alarm(store: Store) -> None:
    found = judged(store, slower(1))
    one = of_container(found)
    assert (one.verdict, one.suspicious, one.new) == ("inconclusive", True, True)
    assert found.suspicious == (one,)
    assert found.exit_code(strict=False) == 0
    assert found.exit_code(strict=True) == 4


def test_an_outlier_of_last_week_is_neither(store: Store) -> None:
    levels = noisy(1.0, NIGHTS)
    levels[-5] *= 1.4
    found = judged(store, levels)
    assert not found.alarms
    assert not found.suspicious


def test_what_got_better_is_said_and_no_alarm(store: Store) -> None:
    found = judged(store, slower(5, by=0.9))
    assert of_container(found).verdict == "better"
    assert found.exit_code(strict=True) == 0


def test_a_night_that_stands_out_is_suspicious_also_after_a_change_for_the_better(store: Store) -> None:
    found = judged(store, [*slower(12, by=0.8), 1.2])
    assert (of_container(found).verdict, of_container(found).suspicious) == ("inconclusive", True)


def test_what_is_missing_tonight_is_said(store: Store) -> None:
    add_nights(store, {"native": noisy(1.0, 12), "container": noisy(1.0, 12)})
    add_nights(store, {"native": [1.0]}, first=12, arms=("native", "container"))
    found = regress(store, store.resolve("latest"), Policy())
    one = of_container(found)
    assert (one.verdict, one.value, one.notes) == ("inconclusive", None, ("no trial of it succeeded in this run",))
    assert found.exit_code(strict=True) == 4
    assert json.loads(rendered(found, "json", strict=True))["findings"]
    add_nights(store, {"native": [1.0]}, first=13, arms=("native", "container"))
    later = regress(store, store.resolve("latest"), Policy())
    assert {each.key.arm for each in later.findings} == {"native"}


def test_a_zero_long_ago_blinds_nobody(store: Store) -> None:
    levels = slower(5)
    levels[3] = 0.0
    assert of_container(judged(store, levels)).verdict == "worse"


def test_too_little_history_is_inconclusive_and_says_so(store: Store) -> None:
    found = judged(store, noisy(1.0, 5))
    assert {each.verdict for each in found.findings} == {"inconclusive"}
    assert "too little history: 5 runs" in found.findings[0].notes[0]


def test_what_changes_in_the_baseline_arm_as_well_is_said_to_be_the_hosts(store: Store) -> None:
    add_nights(store, {"native": slower(4, 1.12), "container": slower(4)})
    found = regress(store, store.resolve("latest"), Policy())
    assert any("native changed as well" in note for note in of_container(found).notes)


def test_a_policy_says_what_is_watched(store: Store) -> None:
    add_nights(store, {"native": noisy(1.0, NIGHTS), "container": slower(4)})
    run = store.resolve("latest")

    def verdicts(*rules: Rule) -> list[str]:
        return [each.verdict for each in regress(store, run, Policy(rules=rules)).findings]

    assert verdicts(Rule("startup_*", ignored=True)) == []
    assert "worse" not in verdicts(Rule("startup_time", threshold=0.2))
    assert "better" in verdicts(Rule("*", better="higher"))
    assert "worse" in verdicts(Rule("iops", ignored=True))


def test_an_acknowledged_change_is_no_alarm_but_the_next_one_is(store: Store) -> None:
    found = judged(store, slower(8))
    change = of_container(found).change
    assert change is not None
    store.acknowledge(change.acknowledged("new kernel", "2026-02-01T00:00:00Z"))
    assert not regress(store, found.run, Policy()).alarms
    add_nights(store, {"native": noisy(1.0, 6), "container": noisy(1.25, 6)}, first=NIGHTS)
    (again,) = regress(store, store.resolve("latest"), Policy()).alarms
    assert again.change is not None
    assert again.change.shift.index == NIGHTS


def rerun(store: Store, level: float) -> Regress:
    found = judged(store, slower(1))
    again = RunBuilder(store, run_record(suite="example-confirm", started="2026-05-01T00:00:00Z"))
    again.blocks("container", [level * (1 + 0.001 * block) for block in range(4)], "startup_time")
    return with_rerun(found, store, again.record)


def test_a_rerun_that_shows_the_same_makes_an_alarm_of_what_is_suspicious(store: Store) -> None:
    found = rerun(store, 1.1)
    one = of_container(found)
    assert (one.verdict, one.confirmed, one.suspicious) == ("worse", True, False)
    assert one.notes == ("a rerun shows the same",)
    assert found.exit_code(strict=False) == 3


def test_a_rerun_that_does_not_show_it_ends_the_matter(store: Store) -> None:
    found = rerun(store, 1.002)
    one = of_container(found)
    assert (one.verdict, one.confirmed, one.suspicious) == ("inconclusive", False, False)
    assert one.notes == ("a rerun does not show it: no alarm",)
    assert found.exit_code(strict=False) == 0


def named(store: Store, name: str = "release", run: int = 0) -> None:
    store.set_baseline(Baseline(name, store.runs()[::-1][run].id, "2026-01-01T00:00:00Z", ""))


def test_a_run_is_held_against_a_named_one_and_the_noise_between_nights(store: Store) -> None:
    add_nights(store, {"native": noisy(1.0, NIGHTS, noise=0.03), "container": slower(2, by=1.3)})
    named(store)
    run = store.resolve("latest")
    found = regress_against(store, run, "release", named_run(store, "release", run), Policy())
    verdicts = {each.key.arm: each.verdict for each in found.findings}
    assert verdicts == {"native": "inconclusive", "container": "worse"}
    assert found.baseline == "release"


def test_two_runs_alone_cannot_tell_what_nights_do(store: Store) -> None:
    add_nights(store, {"native": [1.0, 1.0], "container": [1.0, 1.3]}, trials=8)
    named(store)
    run = store.resolve("latest")
    found = regress_against(store, run, "release", named_run(store, "release", run), Policy())
    one = of_container(found)
    assert (one.verdict, one.suspicious, one.new) == ("inconclusive", True, True)
    assert found.exit_code(strict=False) == 0


def test_a_baseline_cries_no_wolf_on_quiet_nights(store: Store) -> None:
    """Nights differ by 2 %, trials by 0.1 %: of the trials alone, most metrics would be certain to differ."""
    add_nights(store, {f"arm{place}": noisy(1.0, NIGHTS, seed=place, noise=0.02) for place in range(30)})
    named(store)
    run = store.resolve("latest")
    found = regress_against(store, run, "release", named_run(store, "release", run), Policy())
    assert len(found.findings) == 30
    assert not found.alarms


def test_a_baseline_of_something_else_is_refused_unless_it_is_joined(store: Store) -> None:
    add_nights(store, {"native": noisy(1.0, 2)}, host_fingerprint="another")
    named(store)
    add_nights(store, {"native": noisy(1.0, 2)}, first=2)
    run = store.resolve("latest")
    with pytest.raises(StoreError, match=r"another host than .* --join host"):
        named_run(store, "release", run)
    assert named_run(store, "release", run, ["host_fingerprint"]).host_fingerprint == "another"
    with pytest.raises(StoreError, match="did you mean 'release'"):
        named_run(store, "releases", run)


def test_the_outcome_reads_in_every_form_and_markup_stays_text(store: Store) -> None:
    add_nights(
        store, {"native": noisy(1.0, NIGHTS), "<b>|`x`": slower(4)}, arms=("native", "<b>|`x`"), suite="a\x00<&b>"
    )
    found = regress(store, store.resolve("latest"), Policy())
    data = json.loads(rendered(found, "json", strict=False))
    assert (data["exit_code"], data["regressed"], len(data["findings"])) == (3, 1, 2)
    suite = ET.fromstring(rendered(found, "junit", strict=False))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "0")
    assert suite.find("testcase/failure") is not None
    markdown = rendered(found, "markdown", strict=False)
    assert "<b>" not in markdown
    assert "&lt;b&gt;\\|\\`x\\`" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| 🔴")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [9]
