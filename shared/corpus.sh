# shellcheck shell=bash disable=SC2034,SC2154 # recipes read what is set here, and set what is read
# Sourced by the prepare.sh of every recipe: the common part of preparing a corpus. A recipe makes
# its cuts (stages 0 to 2) and calls the rest:
#
#   cd "$(dirname "${BASH_SOURCE[0]}")"
#   . ../../../shared/corpus.sh
#   corpus=mini sets="train dev test"      # raw cuts of a set: $(raw train), with features: $(cuts train)
#   subset=full data_dir=data              # its own options, and its defaults of the common ones
#   help_text="Usage: … its own options … $(common_help)"
#   parse_corpus_options "subset" "$@"     # checks the common options, finds $python
#   …                                      # run_stage 1 manifests …, must make $(raw SET) for all sets
#   features_stage                         # 3: all sets; those called train… with speed perturbation
#   bpe_stage "$vocab_size"                # 4: $data_dir/lang_bpe_N for each N, from the raw set train
#   characters_stage                       # 4: $data_dir/lang_char, likewise
#   words_stage                            # 4: $data_dir/lang_word, for tokens separated by spaces
#   own_check=(COMMAND…)                   # optional: stage 5 begins with it
#   validation_stage                       # 5: all sets with each vocabulary; those not called train…
#                                          # may have unknown tokens

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=log.sh
. "$root/shared/log.sh"
# shellcheck source=parse_options.sh
. "$root/shared/parse_options.sh"
# shellcheck source=stages.sh
. "$root/shared/stages.sh"

stage=0 stop_stage=5 subsampling=4 num_jobs=2 max_rejected_percent=1
data_dir=data download_dir=download dask=''
common_options="stage stop_stage subsampling num_jobs dask max_rejected_percent data_dir download_dir"
own_check=()
lang_dirs=() # of the vocabularies for validation

# common_help : the help text of the common options; the recipe explains --data-dir.
common_help() {
  printf '%s' "
A stage that is done is not done again, unless an option that it depends on has changed.

  --stage N                  first stage to run (0)
  --stop-stage N             last stage to run (5)
  --subsampling N            input frames to one of the encoder, 4, 6 or 8 ($subsampling, as in train.py)
  --num-jobs N               processes ($num_jobs)
  --dask ADDRESS             of a Dask scheduler whose workers compute the features, e.g.
                             tcp://host:8786; they must see the same folders (none)
  --max-rejected-percent P   stop where more than this share of utterances cannot be used (1)
  --download-dir DIR         what is fetched goes here (download)"
}

# parse_corpus_options "OWN OPTIONS" WORD... : the recipe's options and the common ones.
parse_corpus_options() {
  options="$common_options $1"
  parse_options "${@:2}"
  need_whole stage stop_stage
  ((stage <= stop_stage)) ||
    die "--stage is $stage, it must be at most --stop-stage, $stop_stage"
  [[ $subsampling == [468] ]] || die "--subsampling is '$subsampling', it must be 4, 6 or 8"
  need_positive num_jobs
  find_python
}

# find_python : sets python to an interpreter with lhotse and kaldifeat, and sets PYTHONPATH.
find_python() {
  export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
  for python in python "$root/.venv/bin/python" "$root/.venv-torch2/bin/python"; do
    if "$python" -c 'from importlib.util import find_spec as find
raise SystemExit(not (find("lhotse") and find("kaldifeat")))' 2>/dev/null; then
      return
    fi
  done
  die "no Python with lhotse and kaldifeat was found: run shared/setup_env.sh first"
}

# lhotse WORD... : lhotse's command line in $python's environment (python -m lhotse.… does nothing).
lhotse() { "$python" -c 'from lhotse.bin.lhotse import cli; cli()' "$@"; }

# need_sizes NAME : checks that this option is vocabulary sizes.
need_sizes() {
  [[ ${!1} =~ ^[1-9][0-9]*(\ [1-9][0-9]*)*$ ]] ||
    die "--${1//_/-} is '${!1}', it must be whole numbers above 0 with a space between"
}

# make_data_dir : makes the folder and sets where, its absolute path. The manifests contain it, and
# so do the keys of stages: a folder that was moved is made again.
make_data_dir() {
  mkdir -p "$data_dir"
  where=$(cd "$data_dir" && pwd -P)
  done_dir=$data_dir/.done
}

# raw SET..., cuts SET... : the manifests of sets, before and after features are computed.
raw() { printf "%s.jsonl.gz\n" "${@/#/$data_dir/manifests/${corpus}_cuts_raw_}"; }
cuts() { printf "%s.jsonl.gz\n" "${@/#/$data_dir/fbank/${corpus}_cuts_}"; }

# features_stage : stage 3, for all sets.
features_stage() {
  local set
  for set in $sets; do
    forget_if_rejected 3 "features-$set" "$data_dir/fbank/${corpus}_cuts_$set.rejects.jsonl"
    run_stage 3 "features-$set" "$where $(fingerprint "$(raw "$set")")" "$(cuts "$set")" -- \
      compute_fbank "$set"
  done
}

compute_fbank() {
  local more=()
  [[ $1 != train* ]] || more=(--speed-perturb)
  [[ -z $dask ]] || more+=(--dask "$dask")
  "$python" "$root/local/compute_fbank.py" "$(raw "$1")" "$(cuts "$1")" \
    --storage "$data_dir/fbank/feats" --num-jobs "$num_jobs" \
    --max-rejected-percent "$max_rejected_percent" "${more[@]}"
}

# bpe_stage "SIZE..." : stage 4, a SentencePiece model of each size.
bpe_stage() {
  local size lang_dir key
  for size in $1; do
    lang_dir=$data_dir/lang_bpe_$size
    key="$size $(fingerprint "$root/local/train_bpe.py" "$(raw train)")"
    run_stage 4 "bpe-$size" "$key" "$lang_dir/bpe.model" -- \
      "$python" "$root/local/train_bpe.py" "$(raw train)" "$lang_dir" --vocab-size "$size"
    lang_dirs+=("$lang_dir")
  done
}

# characters_stage, words_stage : stage 4, a table of the characters in the training transcripts, or
# of the words, separated by spaces.
characters_stage() { tokens_stage characters lang_char/tokens.txt; }
words_stage() { tokens_stage words lang_word/word_tokens.txt; }

# tokens_stage UNITS FILE : a table of these units.
tokens_stage() {
  local table=$data_dir/$2
  run_stage 4 "$1" "$(fingerprint "$root/local/make_tokens.py" "$(raw train)")" "$table" -- \
    "$python" "$root/local/make_tokens.py" "$(raw train)" "${table%/*}" --units "$1"
  lang_dirs+=("${table%/*}")
}

# validation_stage : stage 5.
validation_stage() {
  local both=() set
  for set in $sets; do both+=("$(raw "$set")" "$(cuts "$set")"); done
  run_stage 5 validation "${lang_dirs[*]} $subsampling $(fingerprint "${both[@]}")" \
    "$data_dir/statistics.json" -- validate
}

# Sets that are not trained on may have units that training lacks: every model gets those wrong.
validate() {
  local trained=() others=() set lang_dir
  for set in $sets; do
    if [[ $set == train* ]]; then trained+=("$(cuts "$set")"); else others+=("$(cuts "$set")"); fi
  done
  if ((${#own_check[@]})); then "${own_check[@]}" || return; fi
  for lang_dir in "${lang_dirs[@]}"; do
    check_cuts "$lang_dir" "${trained[@]}" || return
    check_cuts "$lang_dir" "${others[@]}" --allow-unknown || return
  done
  "$python" "$root/local/display_manifest_statistics.py" "${trained[@]}" "${others[@]}" \
    --output "$data_dir/statistics.json"
}

# check_cuts LANG_DIR WORD... : validate.py on manifests of cuts, with the common options.
check_cuts() {
  "$python" "$root/local/validate.py" "${@:2}" --lang-dir "$1" --subsampling "$subsampling" \
    --num-jobs "$num_jobs" --max-rejected-percent "$max_rejected_percent"
}
