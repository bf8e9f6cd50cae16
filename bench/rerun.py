"""A run once more: the same suite and the same image, or a refusal that says what would be another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.suite import load_suite
from results.records import CONFIRMING
from results.store import Store
from workloads.errors import InvalidInput

if TYPE_CHECKING:
    from bench.progress import RunObserver
    from bench.runner import RunResult
    from bench.sampling import SamplingOverride
    from bench.suite_model import Suite
    from results.records import RunRecord
    from workloads.image import BuiltImage
    from workloads.loader import Catalogue


def same_suite(
    run: RunRecord, path: Path, *, sampling: SamplingOverride | None = None, catalogue: Catalogue | None = None
) -> Suite:
    """The suite as it was run.

    Args:
        run: of the store.
        path: of its ``suite.yaml``.
        sampling: instead of the suite's own; None for nothing.
        catalogue: the workloads that there are by name; without it, those that are shipped.

    Raises:
        InvalidInput: it cannot be loaded any more, or would measure something else by now.
    """
    suite = load_suite(str(path), sampling=sampling, catalogue=catalogue, recorded=True)
    if suite.hash != run.suite_hash:
        raise InvalidInput(
            f"run {run.id} cannot be repeated: a workload's definition, or an option's default, has changed since, so "
            f"that its suite would measure something else; run it anew with `bench run {path}`"
        )
    return suite


def require_same_image(run: RunRecord, image: BuiltImage) -> None:
    """Find out whether the image is made from what that of a run was.

    Raises:
        InvalidInput: it is not.
    """
    if image.id == run.image:
        return
    if image.manifest.source:
        raise InvalidInput(
            f"run {run.id} cannot be repeated: it ran image {run.image}, and what is now at "
            f"{image.manifest.source['path']} makes {image.id}: its content, or this version of bench, is another; "
            "run the suite anew"
        )
    raise InvalidInput(
        f"run {run.id} cannot be repeated: it ran image {run.image}, and from the same packages this version of "
        f"bench makes {image.id}, with another agent or in another way; run the suite anew"
    )


def measure_part_again(
    store_directory: Path,
    run: str,
    arms: Sequence[str],
    workloads: Sequence[str],
    catalogue: Catalogue,
    progress: Callable[[], AbstractContextManager[RunObserver]],
) -> RunResult:
    """Carry out some of a run again, in the image of the whole, as a run of a suite that is named after the other.

    Args:
        store_directory: of the store that has the run, and gets the new one.
        run: its id.
        arms: to run, besides the baseline.
        workloads: to run.
        catalogue: the workloads that there are by name.
        progress: as for :func:`bench.measure.measure`.

    Raises:
        InvalidInput: suite or image would be another.
        HostError, ImageError, StoreError, RunError: as for :func:`bench.measure.measure`.
    """
    from bench.images import prepare_image
    from bench.measure import measure
    from bench.plan import make_plan
    from bench.privileges import check_privileges

    with Store(store_directory).open(create=False) as store:
        record = store.resolve(run)
        path = store.run_directory(record.id) / "suite.yaml"
    whole = make_plan(same_suite(record, path, catalogue=catalogue))
    suite = load_suite(str(path), arms=arms, workloads=workloads, catalogue=catalogue, recorded=True)
    suite = replace(suite, name=f"{suite.name}{CONFIRMING}")
    plan = make_plan(suite)
    check_privileges(suite, plan, [str(path)])

    def prepare(tell: Callable[[str], None]) -> BuiltImage:
        image = prepare_image(whole.packages(), whole.files(), tell, plan.kernels(), plan.imported())
        require_same_image(record, image)
        return image

    return measure(suite, plan, store_directory, progress, prepare)
