"""The options that docs/icefall.md names exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from icefall_sampled.config import Config, DecodeConfig, leaves
from icefall_sampled.export.command import ExportConfig
from icefall_sampled.recipes.programs import RecipeDecodeConfig

ROOT = Path(__file__).parents[1]
OTHERS = {"--help", "--standalone", "--nproc_per_node", "--gpu-mib"}
"""Of torchrun and of `icefall_sampled.memory`."""


def test_each_option_on_the_right_of_the_table_exists() -> None:
    text = (ROOT / "docs" / "icefall.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    named = {option for _, here in rows for option in re.findall(r"--[\w.-]+", here)}
    config = {f"--{name.replace('_', '-')}" for name in leaves(Config())}
    other = {
        f"--{field.name.replace('_', '-')}"
        for program in (DecodeConfig, RecipeDecodeConfig, ExportConfig)
        for field in fields(program)
    }
    scripts = [ROOT / "egs/librispeech/ASR/prepare.sh", ROOT / "shared/corpus.sh"]
    prepare = set(re.findall(r"--[\w-]+", "".join(script.read_text() for script in scripts)))
    assert len(rows) > 30 and len(named) > 40
    assert named - config - other - prepare - OTHERS == set()
