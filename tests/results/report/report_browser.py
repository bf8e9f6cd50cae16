"""Opens a report in headless Chromium, at any width and colour scheme.

As a script it takes pictures of a report: ``python report_browser.py report.html DIRECTORY``.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path("/usr/bin/chromedriver")
VIEWS = {
    "desktop-light": (1280, "light"),
    "desktop-dark": (1280, "dark"),
    "phone-light": (390, "light"),
    "phone-dark": (390, "dark"),
}
"""Width in CSS pixels and colour scheme of each view that a report is looked at in."""

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def open_browser() -> Iterator[webdriver.Chrome]:
    """A fresh browser with a profile of its own; both are gone at exit."""
    with tempfile.TemporaryDirectory(prefix="bench-browser-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = str(CHROMIUM)
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        try:
            yield driver
        finally:
            driver.quit()


def open_page(driver: webdriver.Chrome, page: Path, view: str) -> None:
    """Load ``page`` as ``view`` shows it."""
    width, scheme = VIEWS[view]
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.get(page.resolve().as_uri())


def take_picture(driver: webdriver.Chrome, path: Path) -> None:
    """Write the whole page as it is now to ``path``, a PNG."""
    content = driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": content["width"], "height": content["height"], "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))


def print_pdf(driver: webdriver.Chrome, path: Path) -> None:
    """Write the page as it would be printed to ``path``, a PDF."""
    path.write_bytes(base64.b64decode(driver.print_page()))


def main(page: Path, directory: Path) -> None:
    """Picture ``page`` in every view, and as printed."""
    directory.mkdir(parents=True, exist_ok=True)
    with open_browser() as driver:
        for view in VIEWS:
            open_page(driver, page, view)
            take_picture(driver, directory / f"{view}.png")
        print_pdf(driver, directory / "printed.pdf")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
