# shellcheck shell=bash disable=SC2154 # stage, stop_stage and done_dir are the caller's
# Sourced by recipes, after log.sh: stages that can be run alone, repeated, and resumed.
#
#   stage=0 stop_stage=5 done_dir=data/.done
#   run_stage 3 features "key" data/fbank/cuts.jsonl.gz -- command argument…
#
# A finished stage leaves a marker file with its key; it is not run again while the key is the same
# and its outputs exist. The key must contain everything that the outputs depend on: the options,
# and `fingerprint` of the input files. So changed options repeat only the stages that they affect.

# run_stage NUMBER NAME KEY OUTPUT... -- COMMAND...
run_stage() {
  local number=$1 name=$2 key=$3
  local marker=$done_dir/$number-$name outputs=()
  shift 3
  while [[ $1 != -- ]]; do
    outputs+=("$1")
    shift
  done
  shift
  ((number >= stage && number <= stop_stage)) || return 0
  if is_done "$marker" "$key" "${outputs[@]}"; then
    log "stage $number, $name: done already (remove $marker to do it again)"
    return 0
  fi
  log "stage $number, $name"
  rm -f "$marker"
  mkdir -p "$done_dir"
  local started=$SECONDS
  "$@" || exit
  local output
  for output in "${outputs[@]}"; do
    [[ -e $output ]] || die "stage $number, $name, ended without $output"
  done
  printf '%s' "$key" >"$marker.tmp"
  mv "$marker.tmp" "$marker"
  log "stage $number, $name: finished in $((SECONDS - started)) s"
}

# is_done MARKER KEY OUTPUT... : whether a stage finished with this key and its outputs exist.
is_done() {
  local marker=$1 key=$2 output
  shift 2
  [[ -f $marker && $(<"$marker") == "$key" ]] || return 1
  for output; do
    [[ -e $output ]] || return 1
  done
}

# forget_if_rejected NUMBER NAME REJECTS : makes the stage run again if it left utterances out
# (REJECTS is not empty): unreadable files may have been repaired since.
forget_if_rejected() {
  [[ ! -s $3 ]] || rm -f "$done_dir/$1-$2"
}

# fingerprint FILE... : a hash of the files' uncompressed contents.
fingerprint() {
  command -v sha256sum >/dev/null || die "sha256sum is not on PATH (macOS: brew install coreutils)"
  local file
  for file; do
    if [[ ! -f $file ]]; then
      printf 'absent %s\n' "$file"
    elif [[ $file == *.gz ]]; then
      gzip -dc "$file"
    else
      cat "$file"
    fi
  done | sha256sum | cut -c 1-16
}
