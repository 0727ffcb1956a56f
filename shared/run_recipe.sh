# shellcheck shell=bash disable=SC2034,SC2154 # recipes set what is read here, and read what is set
# Sourced by the run.sh of small recipes, from its own folder: one command from set-up to the table.
#
#   . ../../../shared/run_recipe.sh
#   test_sets="test-a test-b"
#   warmup_share=4 ctc_only_share=4    # a shorter training warms up for a fourth of it, and so on
#   long_run="set-up 4 minutes, …"     # what the whole takes; short_run="…" with --short
#   own_options="archive" archive=''   # if there are more than the common ones
#   help_text="Usage: … $(run_help)"
#   choose_data() { …; }               # by $variant: sets data_dir, table, and prepare for prepare.sh
#   run_recipe "$@"
#
# Each part skips what is done: the same command again continues where it stopped.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=log.sh
. "$root/shared/log.sh"
# shellcheck source=parse_options.sh
. "$root/shared/parse_options.sh"

environment='' variant=example_ctc steps='' exp_dir='' own_options='' short=false
prepare=() data_dir=data table=local/table.json

# run_help : the part of a help text that all recipes have.
run_help() {
  printf '%s' "
  --short             two minutes of training: shows that every part works, not what it can learn
  --environment E     k2 or torch2 (k2 where it can be)
  --variant NAME      which softmax, see sampled_transducer/train.py --help (example_ctc)
  --steps N           optimizer steps (the recipe's)
  --exp-dir DIR       where the model goes (exp/VARIANT)"
}

# run_recipe WORD... : the whole program.
run_recipe() {
  local word words=()
  for word; do
    if [[ $word == --short ]]; then short=true; else words+=("$word"); fi
  done
  options="environment variant steps exp_dir $own_options"
  parse_options ${words[@]+"${words[@]}"}
  [[ -z $steps ]] || need_positive steps
  if $short; then
    : "${steps:=500}" "${exp_dir:=exp/$variant-short}"
    log "$short_run"
  else
    : "${exp_dir:=exp/$variant}"
    log "$long_run"
  fi
  local venv
  venv=$("$root/shared/setup_env.sh" ${environment:+"$environment"})
  export PATH=$venv/bin:$PATH
  need_variant
  choose_data
  ./prepare.sh ${prepare[@]+"${prepare[@]}"}
  train_variant
  decode_variant
  python -m icefall_sampled.memory measure --exp-dir "$exp_dir"
  python "$root/local/show_results.py" "$exp_dir" --measures "$table"
}

# need_variant : a misspelt variant is said before anything is prepared.
need_variant() {
  local usage
  usage=$(python sampled_transducer/train.py "$variant" --help)
  [[ ${usage%%$'\n'*} == *" $variant [-h]"* ]] ||
    die "there is no variant '$variant' (sampled_transducer/train.py --help lists them)"
}

train_variant() {
  local train=(sampled_transducer/train.py "$variant" --exp-dir "$exp_dir")
  local ctc_only=$((${steps:-0} / ctc_only_share))
  # The phases of a shorter run keep their shares of it.
  [[ -z $steps ]] || train+=(--training.max-steps "$steps"
    --training.checkpoint-every-steps "$steps"
    --optimizer.warmup-steps $(((steps + warmup_share - 1) / warmup_share)))
  [[ -z $steps || $variant == *_noaux ]] || train+=(--loss.ctc-only-steps "$ctc_only")
  [[ -z $steps || $variant != *pruned ]] ||
    train+=(--loss.pruned.warmup-steps $(((steps - ctc_only) / 10)))
  python "${train[@]}"
}

# decode_variant : greedily and by beam search, with and without the CTC constraint.
decode_variant() {
  local search decode
  # shellcheck disable=SC2206 # words are what test_sets holds
  decode=(sampled_transducer/decode.py --exp-dir "$exp_dir" --data-dir "$data_dir"
    --sets $test_sets)
  for search in greedy time_sync_beam; do
    python "${decode[@]}" --method "$search"
    # The constraint needs a CTC head.
    [[ $variant == *_noaux ]] || python "${decode[@]}" --method "$search" --ctc-top-k 100
  done
}
