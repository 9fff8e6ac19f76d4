#!/usr/bin/env bash
# Run on a machine with a GPU, from the repository's root: the tests for GPUs, then the benchmarks, in less than 10 minutes.
# What is missing there lies in .whl (tests/gpu/carry.sh); what is found goes to $OUT, and to standard output.
#
#   OUT=FOLDER bash tests/gpu/lent.sh [--dry-run]
set -uo pipefail
cd "$(dirname "$0")/../.."
out="${OUT:?names the folder for what is found}"
mkdir -p "$out"
site=$(mktemp -d)
export PYTHONPATH="$PWD:$PWD/plugins:$site" PYTHONUNBUFFERED=1
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl || exit 1
# shellcheck disable=SC2016
python3 -c 'import sys, torch, timm, accelerate, pydantic; from ltbench.registry.manager import plugins
print(sys.version.split()[0], "torch", torch.__version__, "timm", timm.__version__, "accelerate", accelerate.__version__,
      "pydantic", pydantic.VERSION, *sorted(plugins().methods))' 2>&1 | tee "$out/versions.txt"
dry="${1:-}"
if [ -n "$dry" ]; then export LTBENCH_GPU_TESTS=cpu; fi
started=$SECONDS
timeout -s INT 180 python3 -m pytest -q -n 4 -p no:cacheprovider --durations=15 tests/gpu 2>&1 | tee "$out/tests.txt"
echo "tests: $((SECONDS - started)) s" | tee -a "$out/tests.txt"
# shellcheck disable=SC2086
timeout -s INT 300 python3 tests/benchmarks/gpu.py $dry --minutes 4.5 --json "$out/gpu.json" 2>&1 | tee "$out/gpu.md"
size=(--backbone resnet50 --size 224 --images 4096 --batch 256 --rounds 2)
if [ -n "$dry" ]; then size=(--size 32 --images 16 --batch 8 --rounds 1); fi
timeout -s INT 50 python3 tests/benchmarks/shared_trunk.py "${size[@]}" 2>&1 | tee "$out/shared_trunk.txt"
