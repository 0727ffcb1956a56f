"""Recipes differ in what is special about them: none repeats another's functions or lines.

What two of them need belongs to the library, local/ or shared/. Blank lines, comments, docstrings,
imports and lines that only close brackets are no content: they may be alike.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

RECIPES = Path(__file__).resolve().parents[2] / "egs"
LONGEST_SHARED_RUN = 5
_TRIVIAL = re.compile(r"^(#.*|[\s)\]},;]*|fi|done|else|esac|\. .*)$")

Lines = list[tuple[str, str]]  # where, and what


def recipe_files(root: Path) -> dict[str, list[Path]]:
    """The programs of each recipe, by the corpus."""
    return {
        folder.parent.name: [
            path
            for pattern in ("*.py", "*.sh")
            for path in sorted(folder.rglob(pattern))
            if not {"data", "exp", "download"} & set(path.relative_to(folder).parts)
        ]
        for folder in sorted(root.glob("*/ASR"))
    }


def content_lines(path: Path) -> Lines:
    """The lines that say something."""
    text = path.read_text(encoding="utf-8")
    skipped = silent_lines(text) if path.suffix == ".py" else set()
    return [
        (f"{path}:{number}", line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if number not in skipped and not _TRIVIAL.match(line.strip())
    ]


def silent_lines(text: str) -> set[int]:
    """The lines of a Python file that hold imports and docstrings."""
    silent: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        is_string = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_string or isinstance(node, ast.Import | ast.ImportFrom):
            silent.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return silent


def function_bodies(path: Path) -> Iterator[tuple[str, str]]:
    """Where each function is, and what it does: without names of functions and docstrings."""
    if path.suffix == ".sh":
        for match in re.finditer(
            r"^(\w+)\(\) \{\n(.*?)^\}", path.read_text(encoding="utf-8"), flags=re.M | re.S
        ):
            yield f"{path}: {match[1]}", " ".join(match[2].split())
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield f"{path}: {node.name}", "\n".join(ast.unparse(part) for part in body)


def runs(files: Iterable[Path], length: int) -> Iterator[tuple[str, str]]:
    """Where each run of so many lines begins, and the run."""
    for path in files:
        lines = content_lines(path)
        for i in range(len(lines) - length + 1):
            yield lines[i][0], "\n".join(line for _, line in lines[i : i + length])


def shared(
    one: Iterable[tuple[str, str]], other: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Pairs of places that have the same content."""
    found = {content: place for place, content in one}
    return [(found[content], place) for place, content in other if content in found]


def copies(root: Path) -> list[tuple[str, str]]:
    """Places of which one is a copy of the other, over all pairs of recipes."""
    pairs = []
    for one, other in combinations(recipe_files(root).values(), 2):
        length = LONGEST_SHARED_RUN + 1
        pairs += shared(runs(one, length), runs(other, length))
        pairs += shared(
            (b for path in one for b in function_bodies(path)),
            (b for path in other for b in function_bodies(path)),
        )
    return pairs


def test_no_recipe_repeats_another() -> None:
    assert len(recipe_files(RECIPES)) >= 2
    assert all(recipe_files(RECIPES).values())
    assert copies(RECIPES) == []


def test_no_recipe_has_symlinks() -> None:
    assert [p for files in recipe_files(RECIPES).values() for p in files if p.is_symlink()] == []


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_function_that_two_recipes_share_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a/ASR/x.py", 'def f(x):\n    """One."""\n    return x + 1\n')
    write(tmp_path / "b/ASR/y.py", "def g(x):\n    return (x+1)  # the same\n")
    write(tmp_path / "c/ASR/z.py", "def f(x):\n    return x + 2\n")
    assert len(copies(tmp_path)) == 1
    write(tmp_path / "a/ASR/x.sh", "go() {\n  echo one\n}\n")
    write(tmp_path / "b/ASR/x.sh", "run() {\n  echo   one\n}\n")
    assert len(copies(tmp_path)) == 2


def test_six_lines_in_a_row_are_found_and_five_are_not(tmp_path: Path) -> None:
    lines = [f"echo {i}\n\n# {{}}\n" for i in range(6)]
    write(tmp_path / "a/ASR/run.sh", "".join(lines).format(*"abcdef"))
    write(tmp_path / "b/ASR/go.sh", "".join(lines[:5]).format(*"ghijk") + "echo other\n")
    assert copies(tmp_path) == []
    write(tmp_path / "b/ASR/go.sh", "".join(lines).format(*"ghijkl"))
    assert len(copies(tmp_path)) == 1


def test_imports_and_docstrings_may_be_alike(tmp_path: Path) -> None:
    text = '"""One\ntwo\nthree\nfour\nfive\nsix."""\n' + "".join(
        f"from somewhere import {name}\n" for name in "abcdef"
    )
    write(tmp_path / "a/ASR/x.py", text)
    write(tmp_path / "b/ASR/x.py", text)
    assert copies(tmp_path) == []
