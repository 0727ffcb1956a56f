"""The recipe's scripts import each other by name; so do its tests."""

from __future__ import annotations

import sys

from tests.support.character_recipes import recipe

sys.path.insert(0, str(recipe("csj") / "local"))
