"""Trees of files that stand for hosts that can be tuned."""

from __future__ import annotations

from pathlib import Path

from bench.tune.step import Host

CPU = "/sys/devices/system/cpu"
THP = "/sys/kernel/mm/transparent_hugepage"

FILES = {
    "/proc/sys/kernel/random/boot_id": "boot-1",
    f"{CPU}/online": "0-3",
    f"{CPU}/smt/control": "on",
    **{f"{CPU}/cpu{cpu}/cpufreq/scaling_governor": "powersave" for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/cpufreq/scaling_available_governors": "performance powersave" for cpu in range(4)},
    f"{CPU}/intel_pstate/no_turbo": "0",
    f"{THP}/enabled": "[always] madvise never",
    f"{THP}/defrag": "always defer defer+madvise [madvise] never",
    "/sys/kernel/mm/ksm/run": "1",
    "/proc/sys/kernel/numa_balancing": "1",
    "/proc/sys/kernel/nmi_watchdog": "1",
    "/proc/sys/kernel/randomize_va_space": "2",
    "/proc/irq/9/smp_affinity_list": "0-3",
    "/proc/irq/10/smp_affinity_list": "0-1",
    "/proc/irq/11/smp_affinity_list": "3",
    "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1000 10 -2\n/swap\\040file file 500 0 5",
    "/proc/meminfo": "MemTotal: 1000000 kB\nMemAvailable: 500000 kB",
}


class FakeHost:
    """A host as a tree of files, which changes as the kernel would change it.

    Attributes:
        host: to be tuned; CPUs 2 and 3 are measured.
        programs: those that were run.
    """

    def __init__(self, root: Path, changes: dict[str, str | None] | None = None) -> None:
        self.root = root
        self.programs: list[list[str]] = []
        self.host = Host(root, frozenset({2, 3}), self._run)
        for place, text in {**FILES, **(changes or {})}.items():
            if text is not None:
                self.write(place, text)

    def write(self, place: str, text: str) -> None:
        path = self.root / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def read(self, place: str) -> str:
        return (self.root / place.lstrip("/")).read_text().strip()

    def content(self) -> dict[str, str]:
        """Every file's text, but for the order in which swap areas are listed."""
        texts = {place: self.read(place) for place in map(self._place, self.root.rglob("*")) if place}
        texts["/proc/swaps"] = "\n".join(sorted(texts.get("/proc/swaps", "").splitlines()))
        return texts

    def _place(self, path: Path) -> str:
        return "/" + str(path.relative_to(self.root)) if path.is_file() else ""

    def _run(self, argv) -> None:
        """What swapon and swapoff do to the list of areas."""
        self.programs.append(list(argv))
        area = argv[-1].replace(" ", "\\040")
        head, *lines = self.read("/proc/swaps").splitlines()
        known = dict(line.split(maxsplit=1) for line in lines)
        if argv[0] == "swapoff":
            del known[area]
        else:
            priority = argv[argv.index("-p") + 1] if "-p" in argv else "-2"
            known[area] = f"partition 1000 10 {priority}" if area.startswith("/dev") else f"file 500 0 {priority}"
        self.write("/proc/swaps", "\n".join([head, *(f"{name} {rest}" for name, rest in known.items())]))
