#!/usr/bin/env bash
# From real Mandarin words to syllables: sets up the environment, prepares the words, trains with
# sampled softmax, decodes unseen words by greedy and by beam search, with and without the CTC
# constraint, and prints one table. Finished parts are skipped: the same command again continues
# where it stopped.
# shellcheck disable=SC2034 # run_recipe.sh reads what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/run_recipe.sh
. ../../../shared/run_recipe.sh

test_sets=test-unseen warmup_share=33 ctc_only_share=4
long_run="on one core: set-up 4 minutes (once), preparing 6, training 30, decoding 1"
short_run="about 2 minutes of training on one core; nearly every word will be wrong"
own_options="archive corpus_dir" archive='' corpus_dir=''
help_text="Usage: run.sh [--short] [OPTION VALUE]...
$(run_help)
  --archive, --corpus-dir: see prepare.sh"

choose_data() {
  if [[ $variant == characters_* ]]; then
    prepare=(--units characters)
    data_dir=data_characters
    table=local/table_characters.json
  fi
  prepare+=(--archive "$archive" --corpus-dir "$corpus_dir")
}

run_recipe "$@"
