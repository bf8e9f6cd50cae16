"""A run held against its history, by what its suite says of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from results.errors import StoreError
from results.history.policy import THRESHOLD, WATCH_ALL, Policy, Rule
from workloads.units import format_share

if TYPE_CHECKING:
    from bench.suite_file import RegressFile, WatchFile
    from results.history.regress import Regress
    from results.history.series import Joinable
    from results.records import RunRecord
    from results.selection import Selection
    from results.store import Store

IGNORE = "ignore"


def policy_of(file: RegressFile) -> Policy:
    """The policy that a file's section gives."""
    return Policy(file.threshold, tuple(_rule(metric, watch) for metric, watch in file.metrics.items()))


def policy_of_run(directory: Path) -> Policy:
    """The policy of a run's suite, as it was when the run was made; the usual one where its file has gone.

    Only this section is read: workloads and runtimes of the suite may have changed since.

    Args:
        directory: of the run.

    Raises:
        StoreError: its ``suite.yaml`` is damaged.
    """
    import yaml

    path = directory / "suite.yaml"
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        section = (document or {}).get("regress")
        if not section:
            return WATCH_ALL  # most suites, and what reads a whole suite takes longer to import than a history to read

        from bench.suite_file import RegressFile

        return policy_of(RegressFile.model_validate(section))
    except FileNotFoundError:
        return WATCH_ALL
    except (OSError, ValueError, AttributeError, yaml.YAMLError, ValidationError) as error:
        raise StoreError(f"{path} is damaged ({error}): mend it, or remove it to watch all metrics alike") from error


def judged(
    store: Store,
    run: RunRecord,
    baseline: str | None,
    selection: Selection,
    joined: frozenset[Joinable],
    nights: int,
) -> Regress:
    """What becomes of a run by its history, or by a named run.

    Raises:
        StoreError: no run has this name, or the named one is not of the same thing.
        SelectionError: nothing is of what is asked for.
    """
    from results.history.against import regress_against
    from results.history.baselines import named_run
    from results.history.regress import regress as by_history
    from results.history.series import Wanted, series_of

    policy, wanted = policy_of_run(store.run_directory(run.id)), Wanted(selection)
    if baseline is None:
        found = by_history(store, run, policy, wanted=wanted, joined=joined, nights=nights)
    else:
        theirs = named_run(store, baseline, run, joined)
        found = regress_against(store, run, baseline, theirs, policy, wanted=wanted, joined=joined, nights=nights)
    if not found.findings and not selection.is_everything:
        selection.checked([series.key for series in series_of(store, [run], Wanted(parts=True))])
    return found


def policy_data(policy: Policy) -> dict[str, Any]:
    """The policy as plain data in the form of a suite file."""
    data: dict[str, Any] = {}
    if policy.threshold != THRESHOLD:
        data["threshold"] = format_share(policy.threshold)
    if policy.rules:
        data["metrics"] = {rule.metric: _rule_data(rule) for rule in policy.rules}
    return data


def _rule(metric: str, watch: str | WatchFile) -> Rule:
    if isinstance(watch, str):
        return Rule(metric, ignored=True)
    return Rule(metric, watch.threshold, watch.better)


def _rule_data(rule: Rule) -> str | dict[str, str]:
    if rule.ignored:
        return IGNORE
    data = {} if rule.threshold is None else {"threshold": format_share(rule.threshold)}
    return data | ({"better": rule.better} if rule.better else {})
