"""A headless browser, for tests of the pages that the library writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

NEEDED = ("chromium", "chromedriver")  # the same names as in shared/setup_browser.sh

needs_browser = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)),
    reason="there is no Chromium with its driver: shared/setup_browser.sh installs them",
)


@contextmanager
def browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """Chromium with an empty profile, without requests to the network."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which(NEEDED[0]))
    for name in (
        *("headless", "disable-gpu", "disable-quic", "no-first-run", "disable-sync", "mute-audio"),
        *("disable-background-networking", "disable-component-update", "disable-dev-shm-usage"),
        *("hide-scrollbars", "force-device-scale-factor=1", "window-size=1200,900"),
        "autoplay-policy=no-user-gesture-required",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{name}")
    if os.geteuid() == 0:  # Chromium has no sandbox for root
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(shutil.which(NEEDED[1]))))
    try:
        yield driver
    finally:
        driver.quit()


def until(driver: webdriver.Chrome, condition: Callable[[], Any]) -> Any:
    """Wait until the condition holds in the browser."""
    return WebDriverWait(driver, 60, poll_frequency=0.02).until(lambda _: condition())
