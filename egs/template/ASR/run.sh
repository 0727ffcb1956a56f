#!/usr/bin/env bash
# From audio and texts of your own corpus to a trained and measured model. Finished parts are
# skipped: the same command again continues where it stopped.
set -euo pipefail

recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$recipe/../../.." && pwd -P)
# shellcheck source=../../../shared/log.sh
. "$root/shared/log.sh"
# shellcheck source=../../../shared/parse_options.sh
. "$root/shared/parse_options.sh"
# shellcheck source=local/template_options.sh
. "$recipe/local/template_options.sh"

# shellcheck disable=SC2034 # parse_options.sh reads it
help_text="Usage: run.sh (--audio DIR [--transcripts FILE] | --cuts MANIFEST) [OPTION VALUE]...

  --name NAME         of the corpus: data/NAME and exp/NAME (what DIR or MANIFEST is called)
  --variant NAME      tiny, small, medium, large, or with the full softmax tiny_full … (by hours)
  --steps N           optimizer steps (by the hours)
  --num-gpus N        processes that train, on a GPU each (1)
  --environment E     k2 or torch2 (k2 where it can be)
  --train-options S   more options for train.py, see sampled_transducer/train.py small --help
  --speakers, --case, --percent, --vocab-size, --num-jobs, --max-rejected-percent: see prepare.sh"

# shellcheck disable=SC2034 # what is passed on is read by its name
audio='' transcripts='' cuts='' speakers='' case='' percent='' vocab_size='' num_jobs=''
# shellcheck disable=SC2034
max_rejected_percent='' name='' variant='' steps='' num_gpus=1 environment='' train_options=''
passed="audio transcripts cuts speakers case percent vocab_size num_jobs max_rejected_percent"
# shellcheck disable=SC2034 # parse_options.sh reads it
options="$passed name variant steps num_gpus environment train_options"
parse_options "$@"
check_corpus_options
[[ -z $steps ]] || need_whole steps
need_whole num_gpus
: "${name:=$(basename "${audio:-${cuts%%.*}}")}"
data_dir=$recipe/data/$name exp_dir=$recipe/exp/$name

venv=$("$root/shared/setup_env.sh" ${environment:+"$environment"})
export PATH=$venv/bin:$PATH PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
# A misspelt variant is an error before anything is prepared.
[[ -z $variant ]] || python "$recipe/sampled_transducer/train.py" "$variant" --help >/dev/null

prepare=(--data-dir "$data_dir")
for option in $passed; do
  [[ -z ${!option} ]] || prepare+=("--${option//_/-}" "${!option}")
done
"$recipe/prepare.sh" "${prepare[@]}"

lang_dir=$(<"$data_dir/lang_dir")
raw=$data_dir/manifests/template_cuts_raw_train.jsonl.gz
plan=$(python "$recipe/local/template_plan.py" training "$raw" "$lang_dir" --steps "${steps:-0}")
read -r -a words <<<"$plan"
read -r -a more <<<"$train_options"
log "train.py ${variant:-${words[0]}} ${words[*]:1} $train_options"
launch=(python)
((num_gpus <= 1)) ||
  launch=(python -m icefall_sampled.torchrun --standalone --nproc_per_node "$num_gpus")
program=$recipe/sampled_transducer
"${launch[@]}" "$program/train.py" "${variant:-${words[0]}}" --exp-dir "$exp_dir" \
  --data.train-cuts "$data_dir/fbank/template_cuts_train.jsonl.gz" \
  --data.dev-cuts "$data_dir/fbank/template_cuts_dev.jsonl.gz" \
  --data.lang-dir "$lang_dir" "${words[@]:1}" "${more[@]}"
"${launch[@]}" "$program/decode.py" --exp-dir "$exp_dir" --data-dir "$data_dir"
python "$root/local/show_results.py" "$exp_dir"
