# shellcheck shell=bash disable=SC2034,SC2154 # corpus.sh reads what is set here, and the reverse
# Sourced by the run_table.sh of recipes whose rows are trained with several seeds, from its own
# folder: trains and scores the rows of local/table.json, and writes RESULTS.md from the results.
#
#   . ../../../shared/run_seeds.sh
#   run_seeds "$@"
#
# A run is a row with a seed. It is trained, decoded and measured once, and what came of it is one
# small file in results/. An interrupted run goes on where it stopped. Calls side by side share the
# runs: a call holds a lock on the folder of its run, which ends with its processes.

# shellcheck source=corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/corpus.sh"

help_text="Usage: run_table.sh [ROW]... [OPTION VALUE]...

Trains, decodes and measures the rows of local/table.json with several seeds, all rows if none is
named, and writes RESULTS.md. What is done is not done again; the same command a second time, at
the same time, takes the runs that the first one has not begun. --list yes prints the runs.

  --seeds \"N N\"         those of the table's seeds to train with (all)
  --list yes|no         print the runs as rows and seeds, and do no more (no)
  --train \"FLAG...\"     changes to every row's variant, as train.py takes them, but for the
                        seed and the folder, which are the run's
  --exp-root DIR        a folder for each run goes here (exp)
  --data-dir DIR        what prepare.sh made, for decode.py (the table's: data)
  --results DIR         the results go here, a file for each run (results)
  --table FILE          which rows, sets and decodings there are (local/table.json)
  --output FILE         what is written (the table's: RESULTS.md); the figure is beside it"

# run_seeds WORD... : the whole program.
run_seeds() {
  seeds='' list=no train='' exp_root=exp data_dir='' results=results
  table=local/table.json output=''
  options="seeds list train exp_root data_dir results table output"
  separate_names "$@"
  parse_options "${flags[@]}"
  [[ -z $seeds ]] || need_sizes seeds
  need_train
  command -v flock >/dev/null || die "flock is not on PATH (macOS: brew install flock)"
  find_python
  export OMP_NUM_THREADS=1 # a second thread gains little, and waits where another run has the core
  local runs
  # shellcheck disable=SC2086 # words are what seeds holds
  runs=$(seed_table --print-runs --changes="$train" ${names[@]+--rows "${names[@]}"} \
    ${seeds:+--seeds $seeds})
  if [[ $list == yes ]]; then
    printf '%s\n' "$runs"
    return
  fi
  find_places
  local variant seed failed=()
  while read -r -u 3 variant seed; do
    if [[ -e $results/$variant-seed-$seed.json ]]; then
      log "$variant, seed $seed: done already (to do it again, remove" \
        "$results/$variant-seed-$seed.json and $exp_root/$variant-seed-$seed)"
      continue
    fi
    # In a subshell, whose end releases the lock and leaves the other runs to be done.
    (claim_and_run "$variant" "$seed") || stop_if_interrupted $? || failed+=("$variant-seed-$seed")
  done 3<<<"$runs"
  seed_table --output "$output"
  log "$output is written"
  ((${#failed[@]} == 0)) || die "these runs failed: ${failed[*]}"
}

seed_table() { "$python" "$root/local/seed_table.py" "$table" "$results" "$@"; }

# need_train : the seed and the folder of a run must not be in --train.
need_train() {
  local flag
  for flag in --training.seed --exp-dir --exp_dir; do
    [[ " $train" != *[[:space:]]"$flag"* ]] || die "--train is '$train', it must be without $flag"
  done
}

# find_places : data_dir and output are the table's where no option says otherwise.
find_places() {
  local places
  places=$(seed_table --print-places)
  mapfile -t places <<<"$places"
  : "${data_dir:=${places[0]}}" "${output:=${places[1]}}"
}

# stop_if_interrupted STATUS : ends the script if a run was stopped by Ctrl-C or was told to end;
# otherwise false, as where one was killed, for want of memory perhaps.
stop_if_interrupted() {
  [[ $1 != 130 && $1 != 143 ]] || exit "$1"
  return 1
}

# claim_and_run VARIANT SEED : one run, unless another call is at it.
claim_and_run() {
  local exp_dir=$exp_root/$1-seed-$2 result=$results/$1-seed-$2.json lock
  mkdir -p "$exp_dir" || exit
  exec {lock}>"$exp_dir/.lock" || exit
  if ! flock --nonblock "$lock"; then
    log "$1, seed $2: another call is at it"
    return
  fi
  [[ ! -e $result ]] || return 0 # done since we looked
  log "$1, seed $2"
  must_not_have_changed "$exp_dir/changes.txt"
  run_seed "$1" "$2" "$exp_dir" "$result"
}

# must_not_have_changed FILE : a run that was begun with other flags must not go on with these.
must_not_have_changed() {
  if [[ ! -e $1 ]]; then
    printf '%s' "$train" >"$1.tmp" && mv "$1.tmp" "$1" || exit
  elif [[ $(<"$1") != "$train" ]]; then
    die "$(dirname "$1") was begun with --train '$(<"$1")' and not with '$train':" \
      "choose another --exp-root and --results, or remove it"
  fi
}

# run_seed VARIANT SEED EXP_DIR RESULT : train, decode, measure, and write the result.
run_seed() {
  local decodings number=0 flags
  done_dir=$3/.done
  run_stage 1 train "$train" "$3/trained.json" -- train_seed "$@"
  run_stage 2 memory "" "$3/memory.json" -- \
    "$python" -m icefall_sampled.memory measure --exp-dir "$3"
  decodings=$(seed_table --print-decodings "$1") || exit
  while read -r -u 4 flags; do
    number=$((number + 1))
    # shellcheck disable=SC2086 # words are what it holds
    run_stage 3 "decode-$number" "$flags" -- \
      "$python" sampled_transducer/decode.py --exp-dir "$3" --data-dir "$data_dir" $flags
  done 4<<<"$decodings"
  "$python" "$root/local/seed_result.py" "$3" --table "$table" --output "$4" || exit
  log "$4 is written"
}

train_seed() {
  "$python" "$root/local/seed_result.py" "$3" --begins || return
  # shellcheck disable=SC2086 # words are what train holds
  "$python" sampled_transducer/train.py "$1" --training.threads 1 $train \
    --exp-dir "$3" --training.seed "$2" || return
  "$python" "$root/local/seed_result.py" "$3" --trained "$1"
}
