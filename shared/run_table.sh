# shellcheck shell=bash disable=SC2034,SC2154 # corpus.sh reads what is set here, and the reverse
# Sourced by the run_table.sh of a recipe, in the recipe's folder: trains and scores rows of the
# paper's table (local/paper_table.json), and writes RESULTS.md from the measurements.
#
#   . ../../../shared/run_table.sh
#   figure_set=test-other     # also draw memory against the error rate of this set
#   run_table "$@"
#
# A row is a variant of sampled_transducer/train.py. Each is trained, decoded and measured once; an
# interrupted row continues where it stopped, and with new options if these have changed.

# shellcheck source=corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/corpus.sh"

figure_set=''
help_text="Usage: run_table.sh [ROW]... [OPTION VALUE]...

Trains, decodes and measures rows of the paper's table, all if none is named, and writes RESULTS.md.
What is done is not done again. --list yes prints the rows.

  --list yes|no         print the names of the rows, and do no more (no)
  --processes N         training processes, one for each GPU (1)
  --train \"FLAG...\"     changes to every row's variant, as train.py takes them
  --decode \"FLAG...\"    more flags for decode.py
  --exp-root DIR        a folder for each row goes here (exp)
  --output FILE         what is written (RESULTS.md); the figure goes beside it, as memory_wer.png"

# run_table WORD... : the whole program.
run_table() {
  list=no processes=1 train='' decode='' exp_root=exp output=RESULTS.md
  options="list processes train decode exp_root output"
  separate_names "$@"
  parse_options ${flags[@]+"${flags[@]}"}
  need_positive processes
  find_python
  local rows
  rows=$(show_table --print-rows ${names[@]+--rows "${names[@]}"})
  if [[ $list == yes ]]; then
    printf '%s\n' "$rows"
    return
  fi
  local row
  for row in $rows; do run_row "$row"; done
  write_results
}

show_table() {
  "$python" "$root/local/show_table.py" local/paper_table.json "$exp_root" "$@"
}

# run_row VARIANT : train, decode and measure one row.
run_row() {
  local exp_dir=$exp_root/$1 launch=("$python") flags
  done_dir=$exp_dir/.done
  log "row $1"
  ((processes == 1)) || launch+=(-m icefall_sampled.torchrun --nproc_per_node "$processes")
  # shellcheck disable=SC2086 # words are what these hold
  run_stage 1 train "$train" "$exp_dir/tensorboard" -- \
    "${launch[@]}" sampled_transducer/train.py "$1" --exp-dir "$exp_dir" $train
  flags="$(show_table --print-decode) $decode"
  # shellcheck disable=SC2086
  run_stage 2 decode "$train $flags" -- \
    "$python" sampled_transducer/decode.py --exp-dir "$exp_dir" $flags
  run_stage 3 memory "$train" "$exp_dir/memory.json" -- \
    "$python" -m icefall_sampled.memory measure --exp-dir "$exp_dir"
}

# write_results : RESULTS.md and the figure, from all existing rows.
write_results() {
  local figure
  figure=$(dirname "$output")/memory_wer.png
  if [[ -n $figure_set ]]; then
    "$python" "$root/local/draw_memory_wer.py" local/paper_table.json "$exp_root" "$figure" \
      --test-set "$figure_set"
  fi
  show_table --output "$output" --figure "$figure"
  log "$output is written"
}
