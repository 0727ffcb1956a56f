#!/usr/bin/env bash
# Prepares the HSK words of audio-cmn, from the published recordings: features and a token table.
# Works from any folder; relative paths are relative to this script's folder.
# shellcheck disable=SC2034 # the files in shared/ read what is set here
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=../../../shared/corpus.sh
. ../../../shared/corpus.sh

corpus=hsk
sets="train dev test-unseen"
archive='' corpus_dir='' checksums=local/corpus.json units=syllables compose_hours=0
subsampling=6 data_dir=''

help_text="Usage: prepare.sh [OPTION VALUE]...

Stages: 0 download, 1 manifests, 2 sets, 3 features, 4 tokens, 5 validation and statistics.

  --archive TAR              unpack the recordings from this archive of audio-cmn, or of its folder
                             24k-abr/hsk, and fetch nothing
  --corpus-dir DIR           the folder with the MP3 files, where they are there already
  --checksums FILE           what the recordings must be (local/corpus.json)
  --units UNITS              syllables, with their tones, or characters (syllables)
  --compose-hours H          lists of training words to train on besides, and test-lists (0, none)
  --data-dir DIR             what is made here goes here (data; characters: data_characters;
                             with lists: data_lists, data_characters_lists)
$(common_help)"
parse_corpus_options "archive corpus_dir checksums units compose_hours" "$@"
[[ -z $archive || -z $corpus_dir ]] ||
  die "--archive and --corpus-dir are both given, it must be one of them at most"
[[ $units == syllables || $units == characters ]] ||
  die "--units is '$units', it must be syllables or characters"
# Other texts or utterances go to another folder: an experiment must find its own training data.
usual=data
[[ $units == syllables ]] || usual+=_characters
lists=()
if [[ $compose_hours != 0 ]]; then
  need_positive compose_hours
  usual+=_lists sets+=" test-lists" lists=(--lists)
fi
: "${data_dir:=$usual}"
make_data_dir
manifests=$data_dir/manifests

bring=(--checksums "$checksums")
if [[ -n $corpus_dir ]]; then
  bring+=(--check-only)
else
  corpus_dir=$download_dir/hsk
  [[ -z $archive ]] || bring+=(--archive "$archive")
fi
# No marker file: existing files are checked each time, which takes a second.
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
# make_cuts SET CUTS : the cuts of the words of a set.
make_cuts() {
  local spoken=$manifests/hsk_supervisions_$1.jsonl.gz key
  key=$(fingerprint "$root/local/make_cuts.py" "${words[0]}" "$spoken")
  run_stage 2 "cuts-$1" "$2 $key" "$2" -- "$python" "$root/local/make_cuts.py" "$2" \
    --recordings "${words[0]}" --supervisions "$spoken"
}
make_cuts dev "$(raw dev)"
make_cuts test-unseen "$(raw test-unseen)"
if ((${#lists[@]})); then
  single=$manifests/hsk_cuts_single_train.jsonl.gz
  make_cuts train "$single"
  key="$compose_hours $(fingerprint local/hsk_{lists,sets}.py "$root/local/composing.py" \
    "$single" "${split[@]}")"
  mapfile -t composed < <(raw train test-lists)
  run_stage 2 lists "$key" "${composed[@]}" -- \
    "$python" local/hsk_lists.py "$single" "$manifests" --hours "$compose_hours"
else
  make_cuts train "$(raw train)"
fi

# Reading begins inside the MP3 files, after the silence: their decoder, libmpg123, then misses bits
# of frames that are discarded. The kept samples are identical to those of the whole file.
log "complaints of libmpg123 about part2_3_length are harmless"
features_stage
if [[ $units == syllables ]]; then words_stage; else characters_stage; fi
own_check=("$python" local/hsk_check_sets.py --data-dir "$data_dir" --units "$units"
  "${lists[@]}")
validation_stage
