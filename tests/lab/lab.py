"""Boot the lab and have it test this work tree, or give its console.

The lab is a Debian machine in software emulation, whose processor has virtualisation: KVM, cgroup v2, systemd and
libvirtd are real in it, on any host. What is timed in it says nothing about performance.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lab_disk import fetch_results, work_disk
from lab_image import PROJECT, LabImage, ensure_lab_image
from lab_machine import Ending, run_console, run_tests

from runtimes.base import HostError
from workloads.errors import InvalidInput

RESULTS = PROJECT / "lab-results"

_LIMIT = 2700.0
"""Seconds until the machine is given up."""

_AIM = 1600
"""Seconds in which all of it shall be done on two quiet cores; a busy host takes longer."""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="run", choices=("run", "shell", "image"))
    parser.add_argument("steps", nargs="*", help="steps of tests/lab/inside/driver.py to run; all without any")
    parser.add_argument("--limit", type=float, default=_LIMIT, help="seconds until the machine is killed")
    given = parser.parse_args()
    if os.geteuid() != 0:
        print("lab: needs root to make file systems of others' files: sudo make lab", file=sys.stderr)
        return 2
    # So that ending it by a signal runs what cleans up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        image = ensure_lab_image(_say)
        built = time.monotonic()
        if given.what == "image":
            print(image.rootfs.parent)
            return 0
        if given.what == "shell":
            with work_disk(given.steps, _say) as disk:
                return run_console(image, disk)
        ended = _tests(image, given.steps, given.limit)
        if ended == "silent":
            _say("it stood still, which is its emulation's fault: once more")
            ended = _tests(image, given.steps, given.limit - (time.monotonic() - built))
    except (HostError, InvalidInput) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return _summary(ended == "by itself", built - began, time.monotonic() - began)


def _tests(image: LabImage, steps: Sequence[str], limit: float) -> Ending:
    """Run the steps in a fresh machine, and fetch what came of them."""
    with work_disk(steps, _say) as disk, tempfile.TemporaryDirectory(prefix="bench-lab-") as directory:
        log = Path(directory) / "console.log"
        ended = run_tests(image, disk, log, limit)
        fetch_results(disk, RESULTS)
        (RESULTS / "console.log").write_bytes(log.read_bytes())
    return ended


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def _summary(ended: bool, image: float, wall: float) -> int:
    """Print what each step came to and how long all took, and add the times to the status; 0 if all passed.

    Args:
        ended: whether the machine ended by itself.
        image: seconds until it had what it boots, which are hardly any once that is built.
        wall: seconds from the call to the results, these among them.
    """
    file = RESULTS / "status.json"
    found = json.loads(file.read_text()) if file.exists() else {"finished": False, "steps": []}
    status = {**found, "ended": ended, "image_seconds": round(image, 1), "wall_seconds": round(wall, 1)}
    file.write_text(json.dumps(status, indent=1))
    outcomes = []
    for step in status["steps"]:
        print(f"{step['name']:<24} {step['seconds']:6.0f} s  {step['outcome']}")
        outcomes.append(step["outcome"])
    finished = status["finished"]
    passed = ended and finished and set(outcomes) == {"passed"}
    if not finished:
        print("lab: it did not come to its end; the last that it said is in lab-results/console.log", file=sys.stderr)
    print(f"lab: took {wall:.0f} s, {image:.0f} s of it for its image; two quiet cores need less than {_AIM} s")
    print(f"lab: {'passed' if passed else 'FAILED'}; results, logs and the store are in {RESULTS}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
