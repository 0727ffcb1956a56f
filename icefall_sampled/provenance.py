"""What a measured figure must name: the machine, the processor, the commit."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch


def machine() -> str:
    """Where and with what this process runs."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return (
        f"Commit {commit()}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {device}, {torch.get_num_threads()} threads."
    )


def commit() -> str:
    """The commit of this code; "+changes" follows where files that decide results differ from it.

    What is written by measuring (Markdown, pictures, the recipes' results) decides none.
    """
    measured = (":(exclude)*.md", ":(exclude)*.png", ":(exclude)egs/*/results/*")
    found = git("rev-parse", "--short", "HEAD")
    changed = found and git("diff", "--name-only", "HEAD", "--", ".", *measured)
    return (found or "unknown") + ("+changes" if changed else "")


def git(*arguments: str) -> str:
    """What git prints about this repository; empty where it fails."""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def processor() -> str:
    """The name of this machine's processor and its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({platform.machine()})"
