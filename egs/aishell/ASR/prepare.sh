#!/usr/bin/env bash
# Prepares AISHELL-1, from openslr.org or an extracted copy: features and a table of characters.
# Works from any folder; relative paths are relative to this script's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/corpus.sh
. ../../../shared/corpus.sh

corpus=aishell sets="train dev test" corpus_dir='' num_jobs=4

help_text="Usage: prepare.sh [OPTION VALUE]...

Stages: 0 download, 1 manifests, 2 cuts, 3 features, 4 characters, 5 validation and statistics.

  --corpus-dir DIR           the folder with data_aishell in it, where it is there already: then
                             nothing is fetched
  --data-dir DIR             what is made here goes here (data)
$(common_help)"
parse_corpus_options "corpus_dir" "$@"
make_data_dir
manifests=$data_dir/manifests

# No marker file: lhotse has its own.
if [[ -z $corpus_dir ]]; then
  corpus_dir=$download_dir/aishell
  if ((stage == 0)); then
    log "stage 0, download: 15 GB"
    lhotse download aishell "$download_dir"
  fi
fi

transcript=$corpus_dir/data_aishell/transcript/aishell_transcript_v0.8.txt
made=("$manifests"/aishell_{recordings,supervisions}_{train,dev,test}.jsonl.gz)
for set in $sets; do forget_if_rejected 1 manifests "$manifests/aishell_rejects_$set.jsonl"; done
key="$(realpath -m "$corpus_dir") $max_rejected_percent"
key+=" $(fingerprint local/aishell_manifests.py "$transcript")"
run_stage 1 manifests "$key" "${made[@]}" -- "$python" local/aishell_manifests.py \
  "$corpus_dir" "$manifests" --max-rejected-percent "$max_rejected_percent"

for set in $sets; do
  parsed=("$manifests"/aishell_{recordings,supervisions}_"$set".jsonl.gz)
  key=$(fingerprint "$root/local/make_cuts.py" "${parsed[@]}")
  run_stage 2 "cuts-$set" "$key" "$(raw "$set")" -- "$python" "$root/local/make_cuts.py" \
    "$(raw "$set")" --recordings "${parsed[0]}" --supervisions "${parsed[1]}"
done

features_stage
# The paper has 4,231 classes: compare the printed number with the docstring of train.py.
characters_stage
validation_stage
