"""What a suite says of its history, from its file and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results.history.policy import THRESHOLD, Policy, Rule
from workloads.units import format_share

if TYPE_CHECKING:
    from bench.suite_file import RegressFile, WatchFile

IGNORE = "ignore"


def policy_of(file: RegressFile) -> Policy:
    """The policy that a file's section gives."""
    return Policy(file.threshold, tuple(_rule(metric, watch) for metric, watch in file.metrics.items()))


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
