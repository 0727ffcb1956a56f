#!/usr/bin/env bash
# All measurements, then the tables and figures: about half an hour on one quiet core.
#
#   bash benchmarks/run.sh CHECKPOINT                 # the exp folder of a training run, for trained posteriors
#   bash benchmarks/run.sh CHECKPOINT report          # some parts: main sizes denormals growth profile lattice long report
#
# Called again, it goes on where it stopped. What other packages need is made by benchmarks/setup_peers.sh; what is not
# there is reported as not installed. `long` (half an hour more) and `decoding` (a quarter of an hour) are not part of the
# whole: they must be asked for. `decoding` needs a second run of the asterisk recipe, with a stateless predictor:
#
#   STATELESS=egs/asterisk/ASR/exp/stateless bash benchmarks/run.sh CHECKPOINT decoding report
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

if (($# < 1)); then
  echo "usage: bash benchmarks/run.sh CHECKPOINT [main|sizes|denormals|growth|profile|lattice|long|decoding|report]…" >&2
  exit 2
fi
checkpoint=$1
shift
if (($# == 0)); then set -- main sizes denormals growth profile lattice report; fi

venv=$(shared/setup_env.sh)
export PATH="$venv/bin:$PATH"

ours=("fused full" "fused full + draft" "fused sampled" "fused sampled + draft")
pruned=("k2 pruned" "fast_rnnt pruned")
# What stores the whole lattice, or goes through it twice: many seconds a step, so one step each.
slow=("k2 full" "fast_rnnt full" torchaudio optimized_transducer checkpointed "naive sampled")

bench() { python -m benchmarks.bench_loss --checkpoint "$checkpoint" "$@"; }

main_part() { # V = 2000: repeats, a random and a sorted batch
  bench --vocab-sizes 2000 --methods "${pruned[@]}" "${ours[@]}" "sampling alone" \
    --posteriors random trained --num-batches 1 --plan.budget-seconds 3
  bench --vocab-sizes 2000 --methods "${slow[@]}" --posteriors random trained --batches random --num-batches 1 \
    --plan.single
}

sizes() { # the other V
  bench --vocab-sizes 500 --methods "${pruned[@]}" "${ours[@]}" --posteriors random trained --batches random \
    --num-batches 1 --plan.budget-seconds 2
  bench --vocab-sizes 500 --methods "${slow[@]}" --posteriors random trained --batches random --num-batches 1 \
    --plan.single
  bench --vocab-sizes 4233 32768 --methods "${pruned[@]}" "${ours[@]}" --posteriors random trained --batches random \
    --num-batches 1 --plan.single
  bench --vocab-sizes 4233 --methods "${slow[@]}" --posteriors random --batches random --num-batches 1 --plan.single
  # Except for the checkpointed one these do not fit, which takes no time to say.
  bench --vocab-sizes 32768 --methods "k2 full" "fast_rnnt full" torchaudio optimized_transducer "naive sampled" \
    --posteriors random --batches random --num-batches 1 --plan.single
}

denormals() { # without flushing, on a batch that was measured with it
  bench --vocab-sizes 2000 --methods "${pruned[@]}" "${ours[@]}" --posteriors random trained --flush no \
    --batches random --num-batches 1 --plan.single
  bench --vocab-sizes 500 --methods "k2 full" --posteriors random trained --flush no --batches random --num-batches 1 \
    --plan.single
}

growth() { python -m benchmarks.growth --checkpoint "$checkpoint" --plan.budget-seconds 1 --plan.min-repeats 2; }

profile() { OMP_NUM_THREADS=1 python -m benchmarks.profile_loss --checkpoint "$checkpoint"; }

lattice() { # alone, in each environment that is there
  local python
  for python in "$venv" .venv-torch2; do
    [[ ! -x $python/bin/python ]] || OMP_NUM_THREADS=1 "$python/bin/python" -m benchmarks.bench_lattice
  done
}

long() { # what the table leaves open
  bench --vocab-sizes 4233 --methods "${slow[@]}" --posteriors trained --batches random --num-batches 1 --plan.single
  bench --vocab-sizes 32768 --methods checkpointed --posteriors random trained --batches random --num-batches 1 \
    --plan.single
  bench --vocab-sizes 500 2000 --methods "${slow[@]}" --flush no --posteriors random trained --batches random \
    --num-batches 1 --plan.single
}

decoding() { # the searches: time and memory, errors, and sound to text beside sherpa-onnx
  if [[ -z ${STATELESS:-} ]]; then
    echo "STATELESS is empty, it must be the exp folder of a run with a stateless predictor." >&2
    exit 2
  fi
  OMP_NUM_THREADS=1 python -m benchmarks.decoding_errors --checkpoints "$checkpoint" "$STATELESS"
  OMP_NUM_THREADS=1 python -m benchmarks.decoding_errors --checkpoints "$checkpoint" --methods beam --gaps 10
  OMP_NUM_THREADS=1 python -m benchmarks.decoding_whole --checkpoint "$STATELESS"
  python -m benchmarks.bench_decoding --checkpoints "$checkpoint" "$STATELESS"
}

report() { python -m benchmarks.report; }

for part in "$@"; do
  case $part in
    main) main_part ;;
    sizes | denormals | growth | profile | lattice | long | decoding | report) "$part" ;;
    *)
      echo "There is no part '$part': say main, sizes, denormals, growth, profile, lattice, long, decoding or report." >&2
      exit 2
      ;;
  esac
done
