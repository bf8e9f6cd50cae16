"""KVM works in the lab, the project says so, and what a guest under it says of itself agrees."""

from __future__ import annotations

import json
import subprocess

import pytest
from conformance import output

from runtimes.vm.probe import probe_accelerator

pytestmark = pytest.mark.lab

CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def test_doctor_says_that_kvm_works():
    told = subprocess.run(["bench", "doctor", "--format", "json"], capture_output=True, text=True, check=False)
    checks = {check["name"]: check for check in json.loads(told.stdout)}
    assert checks["KVM"]["status"] == "ok", checks["KVM"]
    assert "a guest booted under KVM" in checks["KVM"]["detail"]
    assert checks["cgroups"]["status"] == "ok", checks["cgroups"]
    assert [check for check in checks.values() if check["status"] == "missing"] == []


def test_the_probe_boots_a_guest(base_image):
    assert probe_accelerator(base_image).name == "kvm"


def test_a_guest_is_run_by_kvm_and_knows_it(runtime, new_spec):
    with runtime.start(new_spec()) as instance:
        assert instance.facts["accel"] == "kvm"
        assert output(instance, f"cat {CLOCK_SOURCE}") in {"kvm-clock", "tsc"}
        assert "Hypervisor vendor:   KVM" in output(instance, "LC_ALL=C lscpu | tr -s ' ' | sed 's/: */:   /'")
