"""The probes of the workload ``isolation``: that they match its metrics, and that they can fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from bench.host import host_values, namespaces
from workloads.catalogue.isolation import escapes, kernel, separation
from workloads.catalogue.isolation.findings import CLAIMS, Finding, Host, UndecidedError, attempt, every
from workloads.loader import CATALOGUE, load_workload

HERE = host_values(namespaces())
SAME = Host(HERE["host_boot_id"], frozenset(HERE["host_namespaces"].split(",")), os.getpid())
ELSEWHERE = Host("another", frozenset({"net:1"}), 2**22 + 1)  # no process has this id (kernel/pid_max of proc(5))


def failing(error: int) -> Callable[[], None]:
    def call() -> None:
        raise OSError(error, os.strerror(error))

    return call


def test_every_claim_is_a_check_of_the_workload_and_every_module_is_in_its_image() -> None:
    workload = load_workload("isolation")
    assert {module.__name__.split(".")[-1] for module in (escapes, kernel, separation)} <= {
        file.name.removeprefix("isolation/").removesuffix(".py") for file in workload.files
    }
    assert {file.name for file in workload.files} == {
        str(path.relative_to(CATALOGUE)) for path in (CATALOGUE / "isolation").glob("*.py")
    }
    assert set(workload.metrics) == set(CLAIMS)
    assert len(CLAIMS) >= 40
    for name, metric in workload.metrics.items():
        assert (metric.unit, metric.better, metric.path) == ("check", "higher", f"$.{name}")


def test_an_attempt_is_refused_permitted_or_undecided() -> None:
    assert not attempt("it", lambda: None).holds
    assert attempt("it", failing(errno.EPERM)) == Finding(True, "it: EPERM")
    assert not attempt("it", failing(errno.EINVAL), allowed=[errno.EINVAL]).holds
    assert attempt("it", failing(errno.ENOENT), absent=[errno.ENOENT]).holds
    with pytest.raises(UndecidedError, match="it: "):
        attempt("it", failing(errno.EINVAL))


def test_a_claim_holds_if_every_way_was_refused() -> None:
    held, broken = Finding(True, "refused"), Finding(False, "done")
    assert every(held, held).holds
    assert every(held, broken) == broken


@pytest.mark.parametrize(
    "name",
    [
        "has_its_own_kernel",
        "has_its_own_mount_table",
        "has_its_own_network",
        "has_its_own_host_name",
        "has_its_own_ipc",
        "has_its_own_view_of_cgroups",
        "cannot_see_host_processes",
    ],
)
def test_what_is_the_hosts_is_known_by_what_is_told_of_the_host(name: str) -> None:
    assert not CLAIMS[name](SAME).holds
    if name not in {"has_its_own_view_of_cgroups", "cannot_see_host_processes"}:  # which look at more than that
        assert CLAIMS[name](ELSEWHERE).holds


def test_a_process_of_ones_own_with_the_number_of_the_hosts_is_no_host_process() -> None:
    assert not CLAIMS["cannot_signal_host_processes"](SAME).holds
    other_numbers = Host(SAME.boot_id, frozenset(), SAME.pid)
    assert "one of the instance's own" in CLAIMS["cannot_signal_host_processes"](other_numbers).evidence
    assert CLAIMS["cannot_signal_host_processes"](other_numbers).holds
    assert CLAIMS["cannot_signal_host_processes"](ELSEWHERE).holds


def test_a_kept_descriptor_of_a_directory_is_found(tmp_path) -> None:  # type: ignore[no-untyped-def]
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        finding = CLAIMS["cannot_leave_its_root_by_a_kept_descriptor"](SAME)
    finally:
        os.close(held)
    assert not finding.holds
    assert str(tmp_path) in finding.evidence
