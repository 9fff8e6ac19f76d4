#!/usr/bin/env bash
# Run where there is a network: wheels, in .whl, of what a GPU machine without one lacks beside torch, torchvision, timm,
# accelerate and pytest. Versions are those of the environment that this is run in; Python is the machine's.
#
#   tests/gpu/carry.sh [3.12]
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${1:-3.12}"
missing="pydantic pydantic_core annotated-types typing-inspection typing_extensions platformdirs rich-click simplejpeg"
rm -rf .whl
# shellcheck disable=SC2086
pinned=$(python -c 'import sys; from importlib.metadata import version; print(*(f"{name}=={version(name)}" for name in sys.argv[1:]))' $missing)
# shellcheck disable=SC2086
python -m pip download -q --no-deps --only-binary=:all: --python-version "$python" --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .whl $pinned
# ltbench itself travels as its working tree; of this wheel only what is said of its entry points counts.
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git archive HEAD | tar -x -C "$source"
python -m pip wheel -q --no-deps --no-build-isolation -w .whl "$source"
ls .whl
