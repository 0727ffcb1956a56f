#!/usr/bin/env python3
"""Train a small Conformer transducer on the announcements of a telephone system.

What is special here: half an hour of one speaker for each language, composed into three hours of
announcements; a model of three million parameters that two CPU cores train in minutes. Training
starts with CTC alone, on the shortest utterances.

    train.py example_ctc --exp-dir exp/example_ctc

is the paper's method (negatives for each utterance from its own joint CTC posterior), and the
variant that run.sh trains; run_table.sh trains those of the table in RESULTS.md. A variant is
named by its softmax, then by its auxiliary losses besides joint CTC: `full` is the baseline,
`full_scctc` the baseline with self-conditioned CTC, `full_noaux` the transducer alone (Tables 1 and
2 of the paper), `pruned` the baseline with k2's pruned loss. The prefix `five_` means the same on
all five languages, with 300 of 2,000 pieces in the softmax; `streaming_example_ctc` is
`example_ctc` with a streaming encoder, `example_ctc_50` has half as many classes in the softmax,
and `example_ctc_nodraft` computes its loss without a draft pass. The same command again continues
an interrupted run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from icefall_sampled import recipes
from icefall_sampled.config import Config, LossConfig, TrainingConfig
from icefall_sampled.recipes.small import small_transducer, with_classes, with_data

RECIPE = Path(__file__).resolve().parent.parent


def base() -> Config:
    """The paper's method at the size of this corpus: English, 500 pieces, K = 100.

    docs/log.md tells how the numbers were chosen. CTC leaves its plateau on utterances of under
    two seconds, and hardly without them. It uses one thread: two threads wait for each other
    whenever something else runs on the machine.
    """
    config = small_transducer(
        RECIPE / "data",
        corpus="asterisk",
        lang="lang_bpe_500",
        num_sampled=100,
        learning_rate=1.5e-3,
        warmup_steps=800,
    )
    return replace(
        config,
        data=replace(config.data, curriculum_seconds=(2.0,) * 12 + (4.0,) * 3),
        loss=LossConfig(ctc_only_steps=800),
        training=TrainingConfig(
            max_steps=3600, checkpoint_every_steps=600, keep_checkpoints=5, log_every_steps=50,
            threads=1,
        ),
    )  # fmt: skip


def variants() -> dict[str, Config]:
    """The variants by name: each differs from `base` in its softmax and its auxiliary losses."""
    endings = recipes.auxiliaries(base().ctc, layers=(3,))
    named = recipes.crossed(base(), recipes.softmaxes(100), endings)
    named.update({f"five_{name}": five_languages(config) for name, config in named.items()})
    ours = named["example_ctc"]
    named["streaming_example_ctc"] = streaming(ours)
    named["example_ctc_50"] = with_classes(ours, 50)
    named["example_ctc_nodraft"] = replace(ours, loss=replace(ours.loss, draft_negatives=0))
    return recipes.in_folders(named, RECIPE / "exp")


def streaming(config: Config) -> Config:
    """The same variant, causal: chunks of half a second, one or two seconds, or the whole
    utterance; a chunk attends to the four seconds before it.
    """
    encoder = replace(
        config.encoder, causal=True, chunk_frames=(0, 8, 16, 32), left_context_frames=64
    )
    return replace(config, encoder=encoder)


def five_languages(config: Config) -> Config:
    """The same variant on all five languages: 2,000 pieces, K = 300 (`prepare.sh --langs all`)."""
    config = with_data(config, RECIPE / "data_all", corpus="asterisk", lang="lang_bpe_2000")
    return with_classes(config, 300)


if __name__ == "__main__":
    recipes.run_training(variants(), base=base(), description=__doc__)
