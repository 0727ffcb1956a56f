#!/usr/bin/env bash
# From real speech to words: sets up the environment, prepares the English announcements, trains
# with sampled softmax, decodes both test sets by greedy and by beam search, with and without the
# CTC constraint, and prints one table. Finished parts are skipped: the same command again continues
# where it stopped.
# shellcheck disable=SC2034 # run_recipe.sh reads what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/run_recipe.sh
. ../../../shared/run_recipe.sh

test_sets="test-announce test-unseen" warmup_share=4 ctc_only_share=4
long_run="set-up 4 minutes (once), preparing 2, training 13 on one core, decoding 2"
short_run="about 2 minutes of training on one core; the errors will be many"
help_text="Usage: run.sh [--short] [OPTION VALUE]...
$(run_help)"

choose_data() {
  if [[ $variant == five_* ]]; then
    prepare=(--langs all)
    data_dir=data_all
  fi
}

run_recipe "$@"
