#!/usr/bin/env bash
# Prepares LibriSpeech, from openslr.org or an extracted copy: features and BPE models.
# Works from any folder; relative paths are relative to this script's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/corpus.sh
. ../../../shared/corpus.sh

corpus=librispeech
small_sets="dev-clean dev-other test-clean test-other"
sets="train $small_sets"
subset=full corpus_dir='' musan_dir='' vocab_size="500 600 2000" data_dir='' num_jobs=4

help_text="Usage: prepare.sh [OPTION VALUE]...

Stages: 0 download, 1 manifests, 2 cuts, 3 features, 4 BPE, 5 validation and statistics.

  --subset full|100          train on all 960 hours, or on train-clean-100 (full)
  --corpus-dir DIR           a LibriSpeech that is there already: then nothing of it is fetched
  --musan-dir DIR|download   also prepare MUSAN, from a copy that is there or from openslr.org, as
                             noise for training: train.py VARIANT --data.noise-cuts
                             data/fbank/librispeech_cuts_noise.jsonl.gz (none)
  --vocab-size \"N N\"         BPE vocabularies, blank and unknown included (500 600 2000)
  --data-dir DIR             what is made here goes here (data; 100 hours: data_100)
$(common_help)"
parse_corpus_options "subset corpus_dir musan_dir vocab_size" "$@"

case $subset in
  full) train_parts="train-clean-100 train-clean-360 train-other-500" default=data ;;
  100) train_parts="train-clean-100" default=data_100 ;;
  *) die "--subset is '$subset', it must be full or 100" ;;
esac
: "${data_dir:=$default}"
need_sizes vocab_size
make_data_dir
manifests=$data_dir/manifests

# No marker file: lhotse has its own.
if ((stage == 0)); then
  log "stage 0, download"
  fetch=()
  # shellcheck disable=SC2206 # words are what these hold
  [[ -n $corpus_dir ]] || fetch=(--parts $train_parts $small_sets)
  [[ $musan_dir != download ]] || fetch+=(--musan)
  ((${#fetch[@]} == 0)) ||
    "$python" local/librispeech_download.py "$download_dir" "${fetch[@]}"
fi
: "${corpus_dir:=$download_dir/LibriSpeech}"
[[ $musan_dir != download ]] || musan_dir=$download_dir/musan

# shellcheck disable=SC2206 # words are what these hold
parts=($train_parts $small_sets)
made=()
for part in "${parts[@]}"; do
  made+=("$manifests"/librispeech_{recordings,supervisions}_"$part".jsonl.gz)
  forget_if_rejected 1 manifests "$manifests/librispeech_rejects_$part.jsonl"
done
key="$(realpath -m "$corpus_dir") $max_rejected_percent $(fingerprint local/librispeech_manifests.py)"
run_stage 1 manifests "$key" "${made[@]}" -- \
  "$python" local/librispeech_manifests.py "$corpus_dir" "$manifests" --parts "${parts[@]}" \
  --num-jobs "$num_jobs" --max-rejected-percent "$max_rejected_percent"

# cuts_stage SET PARTS : the raw cuts of a set, from the manifests of its parts.
cuts_stage() {
  local part recordings=() supervisions=()
  for part in $2; do
    recordings+=("$manifests/librispeech_recordings_$part.jsonl.gz")
    supervisions+=("$manifests/librispeech_supervisions_$part.jsonl.gz")
  done
  run_stage 2 "cuts-$1" "$(fingerprint "$root/local/make_cuts.py" \
    "${recordings[@]}" "${supervisions[@]}")" "$(raw "$1")" -- \
    "$python" "$root/local/make_cuts.py" "$(raw "$1")" \
    --recordings "${recordings[@]}" --supervisions "${supervisions[@]}"
}

cuts_stage train "$train_parts"
for set in $small_sets; do cuts_stage "$set" "$set"; done

if [[ -n $musan_dir ]]; then
  noise=("$manifests"/musan_recordings_{music,speech,noise}.jsonl.gz)
  musan_dir=$(realpath -m "$musan_dir")
  run_stage 2 musan "$musan_dir" "${noise[@]}" -- lhotse prepare musan "$musan_dir" "$manifests"
  run_stage 2 cuts-noise "$(fingerprint "$root/local/make_cuts.py" "${noise[@]}")" \
    "$(raw noise)" -- \
    "$python" "$root/local/make_cuts.py" "$(raw noise)" --recordings "${noise[@]}"
fi

sets="$sets${musan_dir:+ noise}" features_stage
bpe_stage "$vocab_size"
validation_stage
