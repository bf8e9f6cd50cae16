"""The steps of a night as they are.

What imports numpy is imported after the run: a night that is refused needs none of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.nightly.gate import examine_apart, obstacles
from bench.nightly.lock import night_lock
from bench.nightly.night import Outcome, Status, Step
from results.errors import StoreError
from results.files import replace_file
from results.records import CONFIRMING
from results.retention import Keep, outdated
from results.store import Store

if TYPE_CHECKING:
    from bench.runner import RunResult
    from bench.suite_model import Suite
    from results.history.regress import Regress


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a night is asked for.

    Attributes:
        suite: resolved.
        store: the store's directory.
        site: the site's directory; None for no site.
        keep: how much of the suite's history stays; None for all of it.
        strict: whether a metric of which nothing can be said is a failure.
        allow_noisy: whether to measure also while others are at work.
    """

    suite: Suite
    store: Path
    site: Path | None
    keep: Keep | None
    strict: bool
    allow_noisy: bool


class Steps:
    """The steps of one night, which know tonight's run once there is one.

    Args:
        wishes: what the night is asked for.
        measure: carries the suite out, and stores it.
        judge: compares a run of the store with its past.
        held: has the lock, for as long as it is open.
    """

    def __init__(
        self, wishes: Wishes, measure: Callable[[], RunResult], judge: Callable[[str], Regress], held: ExitStack
    ) -> None:
        self._wishes = wishes
        self._measure = measure
        self._judge = judge
        self._held = held
        self._run = ""

    def in_order(self) -> Sequence[Step]:
        """Retention comes before the site, so that the site has no page of a run that is gone."""
        steps = [
            Step("lock", self.lock, starts_nothing=True),
            Step("gate", self.gate, starts_nothing=True),
            Step("run", self.run, starts_nothing=True),
            Step("regress", self.regress, needs_run=True),
            Step("report", self.report, needs_run=True),
        ]
        if self._wishes.keep is not None:
            steps.append(Step("retention", self.retention))
        if self._wishes.site is not None:
            steps.append(Step("site", self.site))
        return steps

    def lock(self) -> Outcome:
        """Have the store alone until the night is over."""
        self._held.enter_context(night_lock(self._wishes.store, self._wishes.suite.name))
        return Outcome()

    def gate(self) -> Outcome:
        """Look whether this host can, and may, measure tonight."""
        found = obstacles(examine_apart(), self._wishes.suite, allow_noisy=self._wishes.allow_noisy)
        if not found:
            return Outcome()
        return Outcome("refused", "; ".join(found))

    def run(self) -> Outcome:
        """Measure."""
        result = self._measure()
        self._run = result.run
        with Store(self._wishes.store).open(create=False) as store:
            trials = len(store.trials(result.run))
        facts = {"run": result.run, "trials": trials, "failed": result.failed}
        has_run = trials > result.failed
        if result.interrupted:
            return Outcome("interrupted", "what was measured is kept, marked partial", facts, has_run)
        if result.failed:
            logs = Store(self._wishes.store).run_directory(result.run) / "trials"
            return Outcome("failed", f"{result.failed} trials failed; their logs are in {logs}", facts, has_run)
        return Outcome("ok", "", facts, has_run)

    def regress(self) -> Outcome:
        """Compare tonight with the past, and leave what became of it beside the report, for whatever wants it."""
        from results.history.data import regress_data
        from results.history.junit import regress_junit
        from results.history.markdown import regress_markdown
        from results.history.regress import EXIT_INCONCLUSIVE, EXIT_REGRESSED
        from results.history.wording import summary_line

        strict = self._wishes.strict
        found = self._judge(self._run)
        written = {
            "regress.md": regress_markdown(found),
            "regress.xml": regress_junit(found, strict=strict),
            "regress.json": json.dumps(regress_data(found, strict=strict), indent=2, ensure_ascii=False),
        }
        self._leave(written)
        facts = {
            "regressions": len(found.alarms),
            "suspicious": len(found.suspicious),
            "inconclusive": sum(each.verdict == "inconclusive" for each in found.findings),
        }
        statuses: Mapping[int, Status] = {0: "ok", EXIT_REGRESSED: "regression", EXIT_INCONCLUSIVE: "inconclusive"}
        return Outcome(statuses[found.exit_code(strict=strict)], summary_line(found), facts)

    def _leave(self, files: Mapping[str, str]) -> None:
        directory = Store(self._wishes.store).run_directory(self._run) / "report"
        try:
            directory.mkdir(exist_ok=True)
            for name, text in files.items():
                replace_file(directory / name, text.encode("utf-8", "replace"))
        except OSError as error:
            raise StoreError(f"cannot write {directory}: {error.strerror}; free some space there") from error

    def report(self) -> Outcome:
        """Write tonight's report into the run's directory."""
        from results.report import write_report

        with Store(self._wishes.store).open(create=False) as store:
            record = store.resolve(self._run)
            report = write_report(store, record, store.run_directory(record.id) / "report")
        return Outcome(facts={"report": report.html.resolve()})

    def retention(self) -> Outcome:
        """Remove what is older than asked for; never a baseline."""
        assert self._wishes.keep is not None
        suite = self._wishes.suite.name
        with Store(self._wishes.store).open(create=True) as store:
            baselines = {baseline.run for baseline in store.baselines()}
            old = outdated(store.runs(), suite, self._wishes.keep, baselines, [f"{suite}{CONFIRMING}"])
            for run in old:
                store.remove_run(run.id)
        return Outcome(facts={"removed": len(old)})

    def site(self) -> Outcome:
        """Bring the site up to date."""
        from bench.regression import policy_of_run
        from results.site import write_site

        assert self._wishes.site is not None
        with Store(self._wishes.store).open(create=False) as store:
            update = write_site(store, self._wishes.site, lambda run: policy_of_run(store.run_directory(run.id)))
        return Outcome(facts={"site": update.index.resolve()})
