#!/usr/bin/env bash
# Prepares the Asterisk core sounds: from the published recordings to features and a BPE model.
# Works from any folder; relative paths are meant from this script's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(cd ../../.. && pwd -P)
# shellcheck source=../../../shared/log.sh
. "$root/shared/log.sh"
# shellcheck source=../../../shared/parse_options.sh
. "$root/shared/parse_options.sh"
# shellcheck source=../../../shared/stages.sh
. "$root/shared/stages.sh"

help_text="Usage: prepare.sh [OPTION VALUE]...

Stages: 0 download, 1 manifests, 2 announcements, 3 features, 4 BPE, 5 validation and statistics.
A stage that is done is not done again, unless an option that it depends on has changed.

  --stage N                  first stage to run (0)
  --stop-stage N             last stage to run (5)
  --langs \"LL LL\"            any of en es fr it ru, or all (en)
  --hours H                  announcements to train on, shared by the languages (3; all: 5)
  --eval-minutes M           announcements in dev and in test-announce, for each language (12)
  --max-seconds S            prompts longer than this are left out (20)
  --vocab-size \"N N\"         BPE vocabularies, blank and unknown included (500; all: 2000)
  --subsampling N            input frames to one of the encoder, 4, 6 or 8 (6, as in train.py)
  --num-jobs N               processes (2)
  --seed N                   other announcements (42)
  --max-rejected-percent P   stop where more than this share of utterances cannot be used (1)
  --data-dir DIR             what is made here goes here (data; other languages: data_all, data_es_fr)
  --download-dir DIR         what is fetched goes here (download)"

stage=0 stop_stage=5
langs=en hours='' eval_minutes=12 max_seconds=20 vocab_size='' subsampling=6 num_jobs=2 seed=42
max_rejected_percent=1 data_dir='' download_dir=download
options="stage stop_stage langs hours eval_minutes max_seconds vocab_size subsampling num_jobs \
  seed max_rejected_percent data_dir download_dir"
parse_options "$@"
need_whole stage stop_stage seed
((stage <= stop_stage)) || die "--stage is $stage, it must be at most --stop-stage, $stop_stage"
[[ $subsampling == [468] ]] || die "--subsampling is '$subsampling', it must be 4, 6 or 8"

find_python() {
  local candidate
  for candidate in python "$root/.venv/bin/python" "$root/.venv-torch2/bin/python"; do
    if "$candidate" -c 'from importlib.util import find_spec as find
raise SystemExit(not (find("lhotse") and find("kaldifeat")))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die "no Python with lhotse and kaldifeat was found: run shared/setup_env.sh first"
}

export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
python=$(find_python)
languages=$("$python" local/asterisk_texts.py "$langs")
# Other languages are other data: an experiment must find what it was trained on.
case $languages in
  en) defaults=(data 3 500) ;;
  "en es fr it ru") defaults=(data_all 5 2000) ;;
  *) defaults=("data_${languages// /_}" 3 500) ;;
esac
: "${data_dir:=${defaults[0]}}" "${hours:=${defaults[1]}}" "${vocab_size:=${defaults[2]}}"
need_positive hours eval_minutes max_seconds num_jobs
[[ $vocab_size =~ ^[1-9][0-9]*(\ [1-9][0-9]*)*$ ]] ||
  die "--vocab-size is '$vocab_size', it must be whole numbers above 0 with a space between"

manifests=$data_dir/manifests fbank=$data_dir/fbank
done_dir=$data_dir/.done
sets="train dev test-announce test-unseen"

# The markers hold absolute paths, because the manifests do: a folder that moved is made anew.
mkdir -p "$data_dir"
where=$(cd "$data_dir" && pwd -P)

make_manifests() {
  "$python" local/asterisk_manifests.py --langs "$1" \
    --download-dir "$download_dir" --data-dir "$data_dir" \
    --max-seconds "$max_seconds" --max-rejected-percent "$max_rejected_percent"
}

compose() {
  "$python" local/asterisk_announcements.py --langs "$langs" --data-dir "$data_dir" \
    --hours "$hours" --eval-minutes "$eval_minutes" --seed "$seed"
}

compute_fbank() {
  local perturb=()
  [[ $1 != train ]] || perturb=(--speed-perturb)
  "$python" "$root/local/compute_fbank.py" \
    "$manifests/asterisk_cuts_raw_$1.jsonl.gz" "$fbank/asterisk_cuts_$1.jsonl.gz" \
    --storage "$fbank/feats" --num-jobs "$num_jobs" \
    --max-rejected-percent "$max_rejected_percent" "${perturb[@]}"
}

train_bpe() {
  "$python" "$root/local/train_bpe.py" "$manifests/asterisk_cuts_raw_train.jsonl.gz" \
    "$data_dir/lang_bpe_$1" --vocab-size "$1"
}

validate() {
  local cuts=("$fbank"/asterisk_cuts_{train,dev,test-announce,test-unseen}.jsonl.gz) size
  "$python" local/asterisk_check_sets.py --data-dir "$data_dir" || return
  for size in $vocab_size; do
    "$python" "$root/local/validate.py" "${cuts[@]}" --lang-dir "$data_dir/lang_bpe_$size" \
      --subsampling "$subsampling" --num-jobs "$num_jobs" \
      --max-rejected-percent "$max_rejected_percent" || return
  done
  "$python" "$root/local/display_manifest_statistics.py" "${cuts[@]}" \
    --output "$data_dir/statistics.json"
}

# Without a marker: what is there is checked each time, which takes a second or two.
if ((stage == 0)); then
  log "stage 0, download"
  "$python" local/asterisk_download.py --langs "$langs" --download-dir "$download_dir"
fi

prompts=()
# The scripts are part of the keys of the quick stages: a new version of one makes its data anew,
# and features follow only where that has changed the announcements.
for language in $languages; do
  made=("$manifests"/asterisk_{recordings,supervisions}_"$language".jsonl.gz)
  key="$where $max_seconds $max_rejected_percent $(fingerprint \
    "local/checksums/$language.sha256" local/text_fixes.json local/asterisk_{texts,manifests}.py)"
  forget_if_rejected 1 "manifests-$language" "$manifests/asterisk_rejects_$language.jsonl"
  run_stage 1 "manifests-$language" "$key" "${made[@]}" -- make_manifests "$language"
  prompts+=("${made[@]}")
done

raw=("$manifests"/asterisk_cuts_raw_{train,dev,test-announce,test-unseen}.jsonl.gz)
key="$languages $hours $eval_minutes $seed $(fingerprint \
  local/grammar.json local/asterisk_{grammar,announcements}.py "${prompts[@]}")"
run_stage 2 announcements "$key" "${raw[@]}" -- compose

for set in $sets; do
  key="$where $(fingerprint "$manifests/asterisk_cuts_raw_$set.jsonl.gz")"
  forget_if_rejected 3 "features-$set" "$fbank/asterisk_cuts_$set.rejects.jsonl"
  run_stage 3 "features-$set" "$key" "$fbank/asterisk_cuts_$set.jsonl.gz" -- compute_fbank "$set"
done

for size in $vocab_size; do
  model=$data_dir/lang_bpe_$size/bpe.model
  key="$size $(fingerprint "$root/local/train_bpe.py" "${raw[0]}")"
  run_stage 4 "bpe-$size" "$key" "$model" -- train_bpe "$size"
done

run_stage 5 validation "$vocab_size $subsampling $(fingerprint "${raw[@]}" "$fbank"/*.jsonl.gz)" \
  "$data_dir/statistics.json" -- validate
