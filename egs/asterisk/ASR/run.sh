#!/usr/bin/env bash
# Real speech in, words out: sets the environment up, prepares the English announcements, trains
# with sampled softmax, decodes both test sets by greedy and by beam search, with and without the
# CTC constraint, and prints one table. Each part skips what is done: the same command again
# continues where it stopped.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd ../../.. && pwd -P)
# shellcheck source=../../../shared/log.sh
. "$root/shared/log.sh"
# shellcheck source=../../../shared/parse_options.sh
. "$root/shared/parse_options.sh"

# shellcheck disable=SC2034 # parse_options.sh reads it
help_text="Usage: run.sh [--short] [OPTION VALUE]...

  --short             two minutes of training: shows that every part works, not what it can learn
  --environment E     k2 or torch2 (k2 where it can be)
  --variant NAME      which softmax, see sampled_transducer/train.py --help (example_ctc)
  --steps N           optimizer steps (the recipe's)
  --exp-dir DIR       where the model goes (exp/VARIANT)"

environment='' variant=example_ctc steps='' exp_dir='' short=false
words=()
for word in "$@"; do
  if [[ $word == --short ]]; then short=true; else words+=("$word"); fi
done
# shellcheck disable=SC2034 # parse_options.sh reads it
options="environment variant steps exp_dir"
parse_options ${words[@]+"${words[@]}"}
[[ -z $steps ]] || need_positive steps

if $short; then
  steps=${steps:-500}
  exp_dir=${exp_dir:-exp/$variant-short}
  log "about 2 minutes of training on two cores; the errors will be many"
else
  exp_dir=${exp_dir:-exp/$variant}
  log "on two cores: set-up 4 minutes (once), preparing 2, training 12, decoding 1"
fi

venv=$("$root/shared/setup_env.sh" ${environment:+"$environment"})
export PATH=$venv/bin:$PATH

train=(sampled_transducer/train.py "$variant" --exp-dir "$exp_dir")
# The phases of a shorter run keep their shares of it.
[[ -z $steps ]] || train+=(--training.max-steps "$steps" --training.checkpoint-every-steps "$steps"
  --optimizer.warmup-steps $(((steps + 3) / 4)))
[[ -z $steps || $variant == *_noaux ]] || train+=(--loss.ctc-only-steps $((steps / 4)))
# A misspelt variant is said before anything is prepared.
usage=$(python sampled_transducer/train.py "$variant" --help)
[[ ${usage%%$'\n'*} == *" $variant [-h]"* ]] ||
  die "there is no variant '$variant' (sampled_transducer/train.py --help lists them)"

prepare=() data_dir=data
if [[ $variant == five_* ]]; then
  prepare=(--langs all)
  data_dir=data_all
fi
./prepare.sh ${prepare[@]+"${prepare[@]}"}
python "${train[@]}"
decode=(sampled_transducer/decode.py --exp-dir "$exp_dir" --data-dir "$data_dir"
  --sets test-announce test-unseen)
for search in greedy time_sync_beam; do
  python "${decode[@]}" --method "$search"
  # The constraint needs a CTC head.
  [[ $variant == *_noaux ]] || python "${decode[@]}" --method "$search" --ctc-top-k 100
done
python -m icefall_sampled.memory measure --exp-dir "$exp_dir"
python "$root/local/show_results.py" "$exp_dir"
