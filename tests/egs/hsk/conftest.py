"""The recipe's scripts import each other by name; so do its tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.replicas import hsk
from tests.support.character_recipes import recipe

sys.path.insert(0, str(recipe("hsk") / "local"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six words, tones in place of speech."""
    return hsk.make(tmp_path, num_words=6, speech=False)
