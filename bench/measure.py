"""Carrying out a plan from the image to the store, whoever asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from results.store import Store

if TYPE_CHECKING:
    from bench.plan import Plan
    from bench.progress import RunObserver
    from bench.runner import RunResult
    from bench.suite_model import Suite
    from workloads.image import BuiltImage


def measure(
    suite: Suite,
    plan: Plan,
    store_directory: Path,
    progress: Callable[[], AbstractContextManager[RunObserver]],
    prepare: Callable[[Callable[[str], None]], BuiltImage] | None = None,
) -> RunResult:
    """Build the image if need be, carry out the plan, and store what comes of it, trial by trial.

    Arms whose runtime this host does not have are left out, which is told and recorded.

    Args:
        suite: what is measured.
        plan: of the suite.
        store_directory: made if need be.
        progress: shows how far it is; entered once for the image, and once for the trials.
        prepare: has the image ready, and tells of it; without it, the image is the plan's own.

    Raises:
        HostError: this host cannot run it.
        ImageError: the image cannot be built.
        StoreError: the store cannot be written.
    """
    from bench.availability import without_unavailable
    from bench.images import prepare_image
    from bench.interruption import one_interruption
    from bench.runner import check_arms, check_scratch_space, execute

    with Store(store_directory).open(create=True) as store, one_interruption() as interruption:
        with progress() as observer:
            suite, plan = without_unavailable(suite, plan, check_arms(suite))
            check_scratch_space(plan)
            if prepare is None:
                image = prepare_image(
                    plan.packages(), plan.files(), observer.preparing, plan.kernels(), plan.imported()
                )
            else:
                image = prepare(observer.preparing)
        with ExitStack() as stack:
            # Not in sight of the progress, which may have a thread.
            _become_root(suite, stack)
            observer = stack.enter_context(progress())
            return execute(suite, plan, image, store, observer, interruption)


def _become_root(suite: Suite, outside: ExitStack) -> None:
    """Have an ordinary user's process go on as root of a user namespace of its own.

    Images are built before, and the dead's processes killed: both have ids that the new namespace does not. What arms
    need to have outside of it is started before, and ended by ``outside``.
    """
    from runtimes.facilities import reclaim
    from runtimes.user_namespace import enter

    if os.geteuid() != 0:
        reclaim()
        for arm in suite.arms:
            outside.enter_context(arm.options.outside())
        enter()
