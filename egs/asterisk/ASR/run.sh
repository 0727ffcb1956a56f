#!/usr/bin/env bash
# Real speech in, words out: sets the environment up, prepares the English announcements, trains
# with sampled softmax, decodes both test sets with and without the CTC constraint, and prints
# one table. Each part skips what is done: the same command again continues where it stopped.
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

short=false
if [[ ${1:-} == --short ]]; then
  short=true
  shift
fi
environment='' variant=example_ctc steps='' exp_dir=''
# shellcheck disable=SC2034 # parse_options.sh reads it
options="environment variant steps exp_dir"
parse_options "$@"
[[ -z $steps ]] || need_positive steps

arguments=()
if $short; then
  exp_dir=${exp_dir:-exp/$variant-short}
  arguments=(--training.max-steps "${steps:-400}" --loss.ctc-only-steps 150
    --optimizer.warmup-steps 100 --training.checkpoint-every-steps 200)
  log "about 2 minutes of training on two cores; the errors will be many"
else
  exp_dir=${exp_dir:-exp/$variant}
  [[ -z $steps ]] || arguments=(--training.max-steps "$steps")
  log "on two cores: set-up 5 minutes (once), preparing 2, training 12, decoding 1"
fi

venv=$("$root/shared/setup_env.sh" ${environment:+"$environment"})
export PATH=$venv/bin:$PATH
# Threads that wait must not keep a core from those that work.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}

./prepare.sh
python sampled_transducer/train.py "$variant" --exp-dir "$exp_dir" "${arguments[@]}"
test_sets=(--sets test-announce test-unseen)
python sampled_transducer/decode.py --exp-dir "$exp_dir" "${test_sets[@]}"
python sampled_transducer/decode.py --exp-dir "$exp_dir" "${test_sets[@]}" --ctc-top-k 100
python -m icefall_sampled.memory --exp-dir "$exp_dir"
python "$root/local/show_results.py" "$exp_dir"
