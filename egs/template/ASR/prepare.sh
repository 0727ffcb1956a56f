#!/usr/bin/env bash
# Prepares a corpus of your own, from audio and texts or a manifest: features and vocabulary.
# Works from any folder; relative paths are relative to the caller's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/corpus.sh
. ../../../shared/corpus.sh
# shellcheck source=local/template_options.sh
. local/template_options.sh

corpus=template sets="train dev test"
audio='' transcripts='' cuts='' speakers=unknown case=keep percent=5 vocab_size=''
max_rejected_percent=5 subsampling=6 # the coarsest of its models

help_text="Usage: prepare.sh (--audio DIR [--transcripts FILE] | --cuts MANIFEST) [OPTION VALUE]...

Stages: 1 manifest, 2 split, 3 features, 4 vocabulary, 5 validation and statistics.

  --audio DIR                audio files of any kind, an utterance each, at any depth
  --transcripts FILE         lines 'path text' (without it each a.wav has its a.txt beside it)
  --cuts MANIFEST            lhotse cuts with audio and texts instead
  --speakers unknown|folders whether a file's folder tells its speaker (unknown)
  --case keep|lower|upper    of the texts (keep)
  --percent P                share of the speech in dev, and in test, of at most an hour (5)
  --vocab-size N             word pieces, or 'characters' (what suits hours and text)
  --data-dir DIR             what is made here goes here (data)
$(common_help)"
parse_corpus_options "audio transcripts cuts speakers case percent vocab_size" "$@"

# from_caller NAME... : makes these path options relative to the caller's folder.
from_caller() {
  local name
  for name; do
    [[ -z ${!name} || ${!name} == /* ]] || printf -v "$name" %s "$called_from/${!name}"
  done
}
from_caller audio transcripts cuts data_dir
check_corpus_options
manifest=$cuts
make_data_dir
mkdir -p "$data_dir/manifests"
everything=$data_dir/manifests/template_cuts_all.jsonl.gz

# The key includes the files of the folder: a new or changed file makes the manifest again.
listing() {
  if [[ -n $audio ]]; then find "$audio" -type f -printf '%p %s %T@\n' | sort; fi
}
key="$where $audio $transcripts $manifest $speakers $case $max_rejected_percent $(listing |
  sha256sum) $(fingerprint local/template_read.py ${transcripts:+"$transcripts"} \
  ${manifest:+"$manifest"})"
run_stage 1 manifest "$key" "$everything" -- \
  "$python" local/template_read.py "$everything" ${audio:+--audio "$audio"} \
  ${transcripts:+--transcripts "$transcripts"} ${manifest:+--cuts "$manifest"} \
  --speakers "$speakers" --case "$case" --num-jobs "$num_jobs" \
  --max-rejected-percent "$max_rejected_percent"

# shellcheck disable=SC2086 # words are what sets holds
mapfile -t parts < <(raw $sets)
run_stage 2 split "$percent $(fingerprint local/template_split.py "$everything")" "${parts[@]}" -- \
  "$python" local/template_split.py "$everything" "${parts[@]}" --percent "$percent"

features_stage
choose_vocabulary() {
  "$python" local/template_plan.py vocabulary "${parts[0]}" >"$data_dir/vocabulary.tmp" || return
  mv "$data_dir/vocabulary.tmp" "$data_dir/vocabulary"
}
run_stage 4 choice "$(fingerprint local/template_plan.py "${parts[0]}")" "$data_dir/vocabulary" -- \
  choose_vocabulary
read -r kind size <"$data_dir/vocabulary"
case ${vocab_size:-$kind} in
  characters) characters_stage ;;
  *)
    : "${vocab_size:=$size}"
    need_sizes vocab_size
    bpe_stage "$vocab_size"
    ;;
esac
printf '%s\n' "${lang_dirs[0]}" >"$data_dir/lang_dir"
validation_stage
