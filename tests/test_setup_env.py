"""shared/setup_env.sh: what it refuses and how, and that it can be interrupted and repeated.

All but the last two tests stop before anything is downloaded, in a copy of the files it reads.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = sys._base_executable  # type: ignore[attr-defined]
TOOLS = ["awk", "basename", "bash", "cat", "df", "dirname", "mkdir", "paste", "rm", "sed", "sort"]
TOOLS += ["tail", "uname"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, in a folder whose name has a space."""
    copy = tmp_path / "a checkout"
    shutil.copytree(ROOT / "shared", copy / "shared")
    shutil.copytree(ROOT / "icefall_sampled", copy / "icefall_sampled")
    for name in ("pyproject.toml", "requirements.txt", "requirements-torch2.txt"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with the tools of every machine: no compiler, no make, no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (folder / tool).symlink_to(found)
    return folder


def set_up(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # An empty cache, so that a compiler is needed.
    cache = {"XDG_CACHE_HOME": str(checkout / "cache")}
    return subprocess.run(
        ["bash", str(checkout / "shared" / "setup_env.sh"), *arguments],
        env={**os.environ, "PYTHON": "", **cache, **environment},
        cwd="/",
        capture_output=True,
        text=True,
    )


def test_unknown_environment_is_refused(checkout: Path) -> None:
    result = set_up(checkout, "torch3")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert "'torch3'" in result.stderr
    assert "k2 (the default) or torch2" in result.stderr


def test_an_environment_behind_a_link_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (other / "bin/python").write_text("theirs")
    (checkout / ".venv-torch2").symlink_to(other)
    result = set_up(checkout, "torch2", PYTHON=PYTHON)
    assert (result.returncode, result.stdout) == (2, "")
    assert ".venv-torch2 is a link, it must be a folder of this checkout" in result.stderr
    assert (other / "bin/python").read_text() == "theirs"


@pytest.mark.parametrize(
    ("environment", "wanted"), [("k2", "Python 3.11"), ("torch2", "Python 3.10 or newer")]
)
def test_wrong_python_is_named(checkout: Path, environment: str, wanted: str) -> None:
    result = set_up(checkout, environment, PYTHON="true")
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    if os.uname()[:1] + os.uname()[4:] == ("Linux", "x86_64") or environment == "torch2":
        assert f"it needs {wanted}, which PYTHON=true is not" in result.stderr
    assert not list(checkout.glob(".venv*"))


def test_without_k2_torch2_is_taken_and_said(checkout: Path, bare_path: Path) -> None:
    result = set_up(checkout, PATH=str(bare_path))
    first, second = result.stderr.splitlines()
    assert "The k2 environment cannot be made here" in first
    assert "taking torch2 instead" in first
    assert "The torch2 environment cannot be made here: it needs Python 3.10 or newer" in second
    assert (result.returncode, result.stdout) == (2, "")


def test_missing_compiler_is_said_before_anything_is_downloaded(
    checkout: Path, bare_path: Path
) -> None:
    result = set_up(checkout, "torch2", PATH=str(bare_path), PYTHON=PYTHON)
    assert (result.returncode, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert "kaldifeat is compiled here and that needs a C++ compiler, make" in last
    assert "apt-get install g++ make" in last
    assert not (checkout / ".venv-torch2" / ".stamps" / "torch").exists()


def test_half_made_venv_is_made_anew(checkout: Path, bare_path: Path) -> None:
    # As an interruption leaves it: Python runs already, pip is not there yet.
    folder = checkout / ".venv-torch2"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    result = set_up(checkout, "torch2", PATH=str(bare_path), PYTHON=PYTHON)
    assert "Making .venv-torch2" in result.stderr
    subprocess.run([folder / "bin" / "python", "-m", "pip", "--version"], check=True)


def test_moved_checkout_gets_a_new_venv(checkout: Path, bare_path: Path) -> None:
    set_up(checkout, "torch2", PATH=str(bare_path), PYTHON=PYTHON)
    again = set_up(checkout, "torch2", PATH=str(bare_path), PYTHON=PYTHON)
    assert "Making" not in again.stderr
    moved = checkout.rename(checkout.with_name("moved"))
    result = set_up(moved, "torch2", PATH=str(bare_path), PYTHON=PYTHON)
    assert "Making .venv-torch2" in result.stderr


def test_nothing_changed_is_silent_and_leaves_the_environment_alone() -> None:
    folder = Path(sys.prefix)
    if folder.parent != ROOT or not folder.name.startswith(".venv"):
        pytest.skip("these tests do not run in an environment of this checkout")
    name = "torch2" if folder.name.endswith("torch2") else "k2"
    log = folder / "setup.log"
    before = log.stat().st_mtime_ns
    result = subprocess.run(
        ["bash", str(ROOT / "shared" / "setup_env.sh"), name],
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{folder}\n", "")
    assert log.stat().st_mtime_ns == before


@pytest.mark.slow
def test_interrupted_set_up_is_finished_by_the_next_call(checkout: Path) -> None:
    """Downloads and compiles everything: minutes."""
    name = "k2" if sys.version_info[:2] == (3, 11) and sys.platform == "linux" else "torch2"
    command = ["bash", str(checkout / "shared" / "setup_env.sh"), name]
    environment = {**os.environ, "ICEFALL_SAMPLED_NO_CACHE": "1"}

    for moment in ("GB to download", "compiling in the background"):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            if moment in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
        assert process.wait() == 128 + signal.SIGTERM
        assert "call it again to go on from here" in rest

    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    python = Path(done.stdout.strip()) / "bin" / "python"
    subprocess.run([python, "-m", "icefall_sampled.doctor"], check=True, cwd="/")
