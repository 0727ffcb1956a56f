"""The package as others install it: what it needs, what is in it, that it works on torch alone."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

EXTRA_OF_HEADING = {
    "Speech and text": "training",
    "Training": "training",
    "Export": "export",
    "Checks": "checks",
}
"""The extra of the packages under a heading of requirements-torch2.txt; others build wheels."""

COMPILED = {"k2", "fast_rnnt", "kaldifeat"}
"""They are compiled for the torch in use, so none of them is declared."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` builds, from a copy, because building leaves files behind."""
    copy = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "icefall_sampled", copy / "icefall_sampled", ignore=ignored)
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", copy / "wheel", copy]
    subprocess.run(command, check=True)
    (built,) = (copy / "wheel").iterdir()
    return built


def requirements(wheel: Path) -> dict[str, set[str]]:
    """The names that each extra requires; "" for those that are always required."""
    (metadata,) = importlib.metadata.Distribution.discover(path=[str(wheel)])
    needed: dict[str, set[str]] = {"": set(), "training": set(), "export": set(), "checks": set()}
    for line in metadata.requires or []:
        requirement = Requirement(line)
        for extra in needed:
            marker = requirement.marker
            if (marker is None) == (extra == "") and (
                marker is None or marker.evaluate({"extra": extra})
            ):
                needed[extra].add(str(requirement).split(";")[0].split(">")[0].strip())
    return needed


def test_torch_alone_is_required_and_the_extras_are_the_headings_of_the_pins(wheel: Path) -> None:
    expected: dict[str, set[str]] = {
        "": {"torch"},
        "training": {"numpy"},
        "export": {"icefall_sampled[training]"},
        "checks": {"icefall_sampled[export]"},
    }
    heading = ""
    for line in (ROOT / "requirements-torch2.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            heading = line.removeprefix("# ")
        elif line and heading in EXTRA_OF_HEADING:
            expected[EXTRA_OF_HEADING[heading]].add(line.split("==")[0])
    assert requirements(wheel) == expected


def test_what_the_package_imports_is_declared(wheel: Path) -> None:
    declared = requirements(wheel)
    known = declared[""] | declared["training"] | COMPILED | set(sys.stdlib_module_names)
    undeclared = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "icefall_sampled").rglob("*.py")
        for name in imported(path) - known - {"icefall_sampled"}
        if path.parent.name != "export" or name not in declared["export"]
    }
    assert undeclared == set()


def imported(path: Path) -> set[str]:
    """The packages that a file imports anywhere."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
    return {name.split(".")[0] for name in names}


def test_every_file_of_the_package_and_the_licence_are_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (licence,) = (name for name in names if name.endswith("/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    tracked = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "icefall_sampled").rglob("*")
        if path.suffix in (".py", ".css", ".js", ".typed")
    }
    assert {"icefall_sampled/py.typed", "icefall_sampled/decoding/report/page.css"} <= tracked
    assert {name for name in names if name.startswith("icefall_sampled/")} == tracked


def with_all_it_requires(name: str) -> set[str]:
    """The installed packages that an installed package requires, itself included."""
    found, todo = set(), [name]
    while todo:
        one = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if one not in found:
            found.add(one)
            wanted = map(Requirement, importlib.metadata.requires(one) or [])
            todo += [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def link_package(name: str, folder: Path) -> None:
    """Install an installed package in another folder, by links."""
    package = importlib.metadata.distribution(name)
    for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
        if not (folder / top).exists():
            (folder / top).symlink_to(str(package.locate_file(top)))


def test_losses_and_samplers_work_on_torch_alone(wheel: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=False, symlinks=True)
    python = fresh / "bin" / "python"
    (site,) = fresh.glob("lib/python*/site-packages")
    for name in with_all_it_requires("torch"):
        link_package(name, site)
    # Without an index, this fails if anything is required that is not there.
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--quiet"]
    subprocess.run([*install, wheel], check=True)
    done = subprocess.run(
        [python, "-I", ROOT / "tests" / "support" / "known_answers.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "pruned_loss_says_what_it_needs"
    doctor = subprocess.run(
        [python, "-I", "-m", "icefall_sampled.doctor"], capture_output=True, text=True, check=True
    )
    assert "The lattice uses torch, because k2 cannot be imported" in doctor.stdout
    missing = subprocess.run(
        [*install, f"{wheel}[training]"], capture_output=True, text=True, check=False
    )
    assert "No matching distribution found for" in missing.stderr
