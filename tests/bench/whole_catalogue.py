"""What is run of the catalogue by one suite, and the packages of that suite's image.

A suite of a test that names the same packages has the same image, which is built once for both.
"""

from __future__ import annotations

from workloads.loader import load_catalogue

CATALOGUE = load_catalogue()

ELSEWHERE = {"cpu-burn", "isolation", "memory-fill"}
"""Those that the suites isolation and limits are made of run for real in `test_shipped_checks.py`."""

NAMES = CATALOGUE.keys() - ELSEWHERE

PACKAGES = sorted({package for name in NAMES for package in CATALOGUE[name].packages})
