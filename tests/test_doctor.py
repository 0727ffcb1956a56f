"""The doctor's reading of the pins, its verdicts, and its report where nothing is installed."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from icefall_sampled.doctor import (
    Package,
    environment,
    import_trouble,
    inspect_packages,
    pinned_packages,
    read_pins,
)
from icefall_sampled.losses import lattice

ROOT = Path(__file__).parents[1]


def run_doctor(python: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "icefall_sampled.doctor"], cwd=ROOT, capture_output=True, text=True
    )


def test_pins_are_read_with_comments_hashes_and_markers() -> None:
    text = (
        "# a==1 in a comment\n"
        "b==2.0  # why\n"
        "c==3 --hash=sha256:00\n"
        'd==4.1; python_version >= "3.11"\n'
        'd==4.0; python_version < "3.11"\n'
        "\n"
    )
    assert read_pins(text, (3, 10)) == {"b": "2.0", "c": "3", "d": "4.0"}
    assert read_pins(text, (3, 11)) == {"b": "2.0", "c": "3", "d": "4.1"}
    assert read_pins(text, (3, 12)) == {"b": "2.0", "c": "3", "d": "4.1"}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-torch2.txt"])
def test_every_line_of_the_requirements_is_a_pin(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    for line in wanted:
        versions = [read_pins(line, python) for python in ((3, 10), (3, 11))]
        assert any(versions), line


def test_the_environments_differ_where_they_must_and_nowhere_else() -> None:
    k2, torch2 = pinned_packages("k2"), pinned_packages("torch2")
    # The last two for torch 1.13.1's own sake: its TensorBoard writer, and its numpy 1.
    assert k2.keys() - torch2.keys() == {"k2", "graphviz", "six", "ml_dtypes"}
    assert torch2.keys() - k2.keys() == {"fast_rnnt"}
    if sys.version_info >= (3, 11):
        different = {name for name in k2.keys() & torch2.keys() if k2[name] != torch2[name]}
        assert different == {"torch", "numpy", "transformers"}


@pytest.mark.parametrize(
    ("installed", "trouble", "ok", "status"),
    [
        ("1.2", None, True, "ok"),
        ("1.2+cpu", None, True, "ok"),
        ("1.3", None, True, "ok, but pinned is 1.2"),
        (None, None, False, "MISSING (pinned: 1.2)"),
        ("1.2", "no libtorch.so", False, "DOES NOT IMPORT: no libtorch.so"),
    ],
)
def test_verdict(installed: str | None, trouble: str | None, ok: bool, status: str) -> None:
    package = Package(name="a", pinned="1.2", installed=installed, trouble=trouble)
    assert (package.ok, package.status) == (ok, status)


def test_a_package_that_is_not_there_is_missing() -> None:
    (package,) = inspect_packages({"surely-no-such-package": "1.0"})
    assert package.installed is None
    assert not package.ok


def test_import_trouble_is_the_first_line_of_any_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_build.py").write_text('raise OSError("libtorch.so: not found\\nmore")\n')
    (tmp_path / "silent_build.py").write_text("raise AttributeError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert import_trouble("broken_build") == "libtorch.so: not found"
    assert import_trouble("silent_build") == "AttributeError"
    assert import_trouble("json") is None


def test_report_here() -> None:
    result = run_doctor(sys.executable)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"environment  {environment()}" in lines
    assert f"lattice      {lattice.why()}" in lines
    assert lines[-1] == "Everything needed is there."


def test_report_of_an_empty_environment_names_the_command(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    result = run_doctor(tmp_path / "bare" / "bin" / "python")
    assert result.returncode == 1
    assert result.stderr == ""
    assert "MISSING (pinned: " in result.stdout
    assert f"bash {ROOT / 'shared' / 'setup_env.sh'}" in result.stdout.splitlines()[-1]
    assert "GPU          unknown, torch does not import" in result.stdout
