"""The set-up of a browser where it is not, and may not be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "shared/setup_browser.sh"


def run(folder: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    """The script on a machine that has these programs alone, and stand-ins for none."""
    for name in programs:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return subprocess.run(
        ["bash", SCRIPT], env={**os.environ, "PATH": str(folder)},
        executable=shutil.which("bash"), capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_says_what_to_install_where_it_cannot(tmp_path: Path) -> None:
    done = run(tmp_path, "id")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("[browser] There is no Chromium with its driver, and no ")
    assert "install chromium chromium-driver (Debian's names)" in done.stderr


@pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="there is no Chromium with its driver: shared/setup_browser.sh installs them",
)
def test_does_nothing_where_it_is(tmp_path: Path) -> None:
    done = run(tmp_path, "chromium", "chromedriver")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
