#!/usr/bin/env bash
# Prepares the HSK words of audio-cmn: from the published recordings to features and a token table.
# Works from any folder; relative paths are meant from this script's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/corpus.sh
. ../../../shared/corpus.sh

corpus=hsk
sets="train dev test-unseen"
archive='' corpus_dir='' checksums=local/corpus.json units=syllables subsampling=6 data_dir=''

help_text="Usage: prepare.sh [OPTION VALUE]...

Stages: 0 download, 1 manifests, 2 sets, 3 features, 4 tokens, 5 validation and statistics.

  --archive TAR              unpack the recordings from this archive of audio-cmn, or of its folder
                             24k-abr/hsk, and fetch nothing
  --corpus-dir DIR           the folder with the MP3 files, where they are there already
  --checksums FILE           what the recordings must be (local/corpus.json)
  --units UNITS              syllables, with their tones, or characters (syllables)
  --data-dir DIR             what is made here goes here (data; characters: data_characters)
$(common_help)"
parse_corpus_options "archive corpus_dir checksums units" "$@"
[[ -z $archive || -z $corpus_dir ]] ||
  die "--archive and --corpus-dir are both given, it must be one of them at most"
# Other units are other data: an experiment must find what it was trained on.
case $units in
  syllables) : "${data_dir:=data}" ;;
  characters) : "${data_dir:=data_characters}" ;;
  *) die "--units is '$units', it must be syllables or characters" ;;
esac
make_data_dir
manifests=$data_dir/manifests

bring=(--checksums "$checksums")
if [[ -n $corpus_dir ]]; then
  bring+=(--check-only)
else
  corpus_dir=$download_dir/hsk
  [[ -z $archive ]] || bring+=(--archive "$archive")
fi
# Without a marker: what is there is checked each time, which takes a second.
if ((stage == 0)); then
  log "stage 0, download"
  "$python" local/hsk_download.py "$corpus_dir" "${bring[@]}"
fi

forget_if_rejected 1 manifests "$manifests/hsk_rejects.jsonl"
words=("$manifests"/hsk_{recordings,supervisions}.jsonl.gz)
key="$(realpath -m "$corpus_dir") $units $max_rejected_percent"
key+=" $(fingerprint "$checksums" local/hsk_{manifests,speech}.py)"
run_stage 1 manifests "$key" "${words[@]}" -- "$python" local/hsk_manifests.py \
  "$corpus_dir" "$manifests" --units "$units" --max-rejected-percent "$max_rejected_percent"

split=("$manifests"/hsk_supervisions_{train,dev,test-unseen}.jsonl.gz)
run_stage 2 sets "$units $(fingerprint local/hsk_sets.py "${words[@]}")" "${split[@]}" -- \
  "$python" local/hsk_sets.py "$manifests" --units "$units"
for set in $sets; do
  spoken=$manifests/hsk_supervisions_$set.jsonl.gz
  key=$(fingerprint "$root/local/make_cuts.py" "${words[0]}" "$spoken")
  run_stage 2 "cuts-$set" "$key" "$(raw "$set")" -- "$python" "$root/local/make_cuts.py" \
    "$(raw "$set")" --recordings "${words[0]}" --supervisions "$spoken"
done

features_stage
if [[ $units == syllables ]]; then words_stage; else characters_stage; fi
own_check=("$python" local/hsk_check_sets.py --data-dir "$data_dir" --units "$units")
validation_stage
