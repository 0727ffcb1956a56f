# shellcheck shell=bash disable=SC2154 # recipes set what is read here
# Sourced by recipes with characters, after corpus.sh: stage 5 for sets that nothing is trained on.
#
#   sets="train dev" validation_stage   # utterances with a character outside the table are faults
#   test_sets_stage test                # there, such a character is an error of every model
#
# Each writes its table of statistics.

# test_sets_stage SET... : checks the features of sets, and not their texts against a vocabulary.
test_sets_stage() {
  local made
  mapfile -t made < <(cuts "$@")
  run_stage 5 test-sets "$(fingerprint "${made[@]}")" "$data_dir/statistics_test.json" -- \
    validate_test_sets "${made[@]}"
}

validate_test_sets() {
  "$python" "$root/local/validate.py" "$@" --num-jobs "$num_jobs" \
    --max-rejected-percent "$max_rejected_percent" || return
  "$python" "$root/local/display_manifest_statistics.py" "$@" \
    --output "$data_dir/statistics_test.json"
}
