#!/usr/bin/env bash
# Prepares CSJ-APS, the academic presentations of the Corpus of Spontaneous Japanese, from the
# corpus, which must be bought: features and a table of characters.
# Works from any folder; relative paths are relative to this script's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/corpus.sh
. ../../../shared/corpus.sh

corpus=csj sets="train dev eval1 eval2 eval3"
corpus_dir='' dev_utterances=4000 num_jobs=4

help_text="Usage: prepare.sh --corpus-dir DIR [OPTION VALUE]...

Stages: 0 the corpus is there, 1 manifests, 2 cuts, 3 features, 4 characters, 5 validation and
statistics.

  --corpus-dir DIR           the folder with MORPH/SDB and WAV in it (download/CSJ)
  --dev-utterances N         the first N training utterances are dev (4000)
  --data-dir DIR             what is made here goes here (data)
$(common_help)"
parse_corpus_options "corpus_dir dev_utterances" "$@"
need_whole dev_utterances
make_data_dir
: "${corpus_dir:=$download_dir/CSJ}"
manifests=$data_dir/manifests

if ((stage == 0)) && [[ ! -d $corpus_dir/MORPH/SDB ]]; then
  die "--corpus-dir is '$corpus_dir', it must be a copy of CSJ with MORPH/SDB and WAV in it: it is" \
    "no free corpus (https://clrd.ninjal.ac.jp/csj/en)"
fi

tests="eval1 eval2 eval3"
made=("$manifests"/csj_recordings_{train,eval1,eval2,eval3}.jsonl.gz
  "$manifests"/csj_supervisions_{train,dev,eval1,eval2,eval3}.jsonl.gz)
for set in train $tests; do
  forget_if_rejected 1 manifests "$manifests/csj_rejects_$set.jsonl"
done
key="$(realpath -m "$corpus_dir") $dev_utterances $max_rejected_percent"
run_stage 1 manifests "$key $(fingerprint local/csj_{manifests,sessions,text}.py)" "${made[@]}" -- \
  "$python" local/csj_manifests.py "$corpus_dir" "$manifests" \
  --dev-utterances "$dev_utterances" --num-jobs "$num_jobs" \
  --max-rejected-percent "$max_rejected_percent"

for set in $sets; do
  talks=$manifests/csj_recordings_${set/dev/train}.jsonl.gz
  spoken=$manifests/csj_supervisions_$set.jsonl.gz
  run_stage 2 "cuts-$set" "$(fingerprint "$root/local/make_cuts.py" "$talks" "$spoken")" \
    "$(raw "$set")" -- \
    "$python" "$root/local/make_cuts.py" "$(raw "$set")" --recordings "$talks" --supervisions "$spoken"
done

features_stage
# The paper has 2,753 classes: compare the printed number with the docstring of train.py.
characters_stage
validation_stage
