"""What run.sh of the small recipes tells train.py."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.recipes import ROOT


def flags(variant: str, *, steps: str) -> list[str]:
    """The command line of train.py, of a recipe whose phases are a fourth of the training each."""
    script = f"""
        . {ROOT}/shared/run_recipe.sh
        python() {{ printf '%s\\n' "$@"; }}
        warmup_share=4 ctc_only_share=4 exp_dir=exp variant={variant} steps={steps}
        train_variant"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("variant", "phases"),
    [
        ("full", {"--loss.ctc-only-steps": "125"}),
        ("full_noaux", {}),
        # A tenth of the 375 steps with a transducer.
        ("pruned", {"--loss.ctc-only-steps": "125", "--loss.pruned.warmup-steps": "37"}),
        ("characters_pruned", {"--loss.ctc-only-steps": "125", "--loss.pruned.warmup-steps": "37"}),
    ],
)
def test_phases_of_a_shorter_run_keep_their_shares(variant: str, phases: dict[str, str]) -> None:
    command = flags(variant, steps="500")
    assert command[:2] == ["sampled_transducer/train.py", variant]
    given = dict(zip(command[2::2], command[3::2], strict=True))
    assert given == phases | {
        "--exp-dir": "exp",
        "--training.max-steps": "500",
        "--training.checkpoint-every-steps": "500",
        "--optimizer.warmup-steps": "125",
    }


def test_a_whole_run_is_the_variants_own() -> None:
    assert flags("pruned", steps="") == [
        "sampled_transducer/train.py", "pruned", "--exp-dir", "exp",
    ]  # fmt: skip
