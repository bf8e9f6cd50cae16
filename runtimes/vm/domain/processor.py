"""Processors: their model and layout, where they run, and the clocks and features that go with them."""

from __future__ import annotations

from runtimes.vm.domain.elements import Element, element, text
from runtimes.vm.domain.spec import CpuTuning, DomainSpec


def processors(spec: DomainSpec) -> list[Element]:
    """How many there are, where they run, and what they are."""
    hardware = spec.hardware
    # With a cpuset, libvirt keeps all of QEMU to these CPUs; where the cgroup is ours, that does.
    kept = {"cpuset": ",".join(map(str, spec.cpus))} if spec.tuning else {}
    made = [text("vcpu", hardware.vcpus, placement="static", **kept)]
    if hardware.iothreads:
        made.append(text("iothreads", hardware.iothreads))
    tuning = [*_shares(spec.tuning), *(_pinning(spec) if hardware.pinning else [])]
    if tuning:
        made.append(element("cputune", *tuning))
    return made


def model(spec: DomainSpec) -> Element:
    """The processor: all that the accelerator has, unless a model is named."""
    hardware = spec.hardware
    if hardware.cpu is None:
        made = element("cpu", mode="host-passthrough" if spec.accelerator == "kvm" else "maximum", check="none")
    elif hardware.cpu == "host-model":
        made = element("cpu", mode="host-model", check="none")
    else:
        made = element(
            "cpu", text("model", hardware.cpu, fallback="forbid"), mode="custom", match="exact", check="none"
        )
    if hardware.topology:
        layout = hardware.topology.model_dump()
        made.append(element("topology", **{name: str(count) for name, count in layout.items()}))
    return made


def features() -> Element:
    """ACPI and APIC as every guest has them; without the port of another hypervisor, and without management mode."""
    return element(
        "features", element("acpi"), element("apic"), element("vmport", state="off"), element("smm", state="off")
    )


def clock() -> Element:
    """No HPET, which no guest of ours uses and which takes time to set up."""
    return element("clock", element("timer", name="hpet", present="no"), offset="utc")


def _shares(tuning: CpuTuning | None) -> list[Element]:
    """Weight and quota, in the order of libvirt's schema."""
    if tuning is None:
        return []
    made = [] if tuning.shares is None else [text("shares", tuning.shares)]
    if tuning.quota is not None:
        made += [text("global_period", tuning.period), text("global_quota", tuning.quota)]
    return made


def _pinning(spec: DomainSpec) -> list[Element]:
    """Each processor on a CPU of its own, as far as there are as many; QEMU's other threads on any of them."""
    together = ",".join(map(str, spec.cpus))
    return [
        *(
            element("vcpupin", vcpu=str(number), cpuset=str(spec.cpus[number % len(spec.cpus)]))
            for number in range(spec.hardware.vcpus)
        ),
        element("emulatorpin", cpuset=together),
        *(
            element("iothreadpin", iothread=str(number), cpuset=together)
            for number in range(1, spec.hardware.iothreads + 1)
        ),
    ]
