#!/usr/bin/env bash
# Prepares the Asterisk core sounds, from the published recordings: features and a BPE model.
# Works from any folder; relative paths are relative to this script's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/corpus.sh
. ../../../shared/corpus.sh

corpus=asterisk
sets="train dev test-announce test-unseen"
langs=en hours='' eval_minutes=12 max_seconds=20 vocab_size='' subsampling=6 seed=42 data_dir=''

help_text="Usage: prepare.sh [OPTION VALUE]...

Stages: 0 download, 1 manifests, 2 announcements, 3 features, 4 BPE, 5 validation and statistics.

  --langs \"LL LL\"            any of en es fr it ru, or all (en)
  --hours H                  announcements to train on, shared by the languages (3; all: 5)
  --eval-minutes M           announcements in dev and in test-announce, for each language (12)
  --max-seconds S            prompts longer than this are left out (20)
  --vocab-size \"N N\"         BPE vocabularies, blank and unknown included (500; all: 2000)
  --seed N                   other announcements (42)
  --data-dir DIR             what is made here goes here (data; other languages: data_all, data_es_fr)
$(common_help)"
parse_corpus_options "langs hours eval_minutes max_seconds vocab_size seed" "$@"
need_whole seed

languages=$("$python" local/asterisk_texts.py "$langs")
# Other languages go to another folder: an experiment must find its own training data.
case $languages in
  en) defaults=(data 3 500) ;;
  "en es fr it ru") defaults=(data_all 5 2000) ;;
  *) defaults=("data_${languages// /_}" 3 500) ;;
esac
: "${data_dir:=${defaults[0]}}" "${hours:=${defaults[1]}}" "${vocab_size:=${defaults[2]}}"
need_positive hours eval_minutes max_seconds
need_sizes vocab_size
make_data_dir

make_manifests() {
  "$python" local/asterisk_manifests.py --langs "$1" \
    --download-dir "$download_dir" --data-dir "$data_dir" \
    --max-seconds "$max_seconds" --max-rejected-percent "$max_rejected_percent"
}

compose() {
  "$python" local/asterisk_announcements.py --langs "$langs" --data-dir "$data_dir" \
    --hours "$hours" --eval-minutes "$eval_minutes" --seed "$seed"
}

# No marker file: existing files are checked each time, which takes a second or two.
if ((stage == 0)); then
  log "stage 0, download"
  "$python" local/asterisk_download.py --langs "$langs" --download-dir "$download_dir"
fi

manifests=$data_dir/manifests
prompts=()
# The scripts are part of the keys of the quick stages: a new version makes their data again, and
# features only if that has changed the announcements.
for language in $languages; do
  made=("$manifests"/asterisk_{recordings,supervisions}_"$language".jsonl.gz)
  key="$where $max_seconds $max_rejected_percent $(fingerprint \
    "local/checksums/$language.sha256" local/text_fixes.json local/asterisk_{texts,manifests}.py)"
  forget_if_rejected 1 "manifests-$language" "$manifests/asterisk_rejects_$language.jsonl"
  run_stage 1 "manifests-$language" "$key" "${made[@]}" -- make_manifests "$language"
  prompts+=("${made[@]}")
done

# shellcheck disable=SC2086 # words are what sets holds
mapfile -t announcements < <(raw $sets)
key="$languages $hours $eval_minutes $seed $(fingerprint \
  local/grammar.json local/asterisk_{grammar,announcements}.py "$root/local/composing.py" \
  "${prompts[@]}")"
run_stage 2 announcements "$key" "${announcements[@]}" -- compose

features_stage
bpe_stage "$vocab_size"
own_check=("$python" local/asterisk_check_sets.py --data-dir "$data_dir")
validation_stage
