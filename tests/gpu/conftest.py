"""Where these tests run: on a GPU. ``LTBENCH_GPU_TESTS=cpu`` tries all of them on the CPU; the cheapest run there always.

On one GPU: ``pytest tests/gpu`` (docs/performance.md has the whole command).
"""

import os

import pytest
import torch

ON_CPU = os.environ.get("LTBENCH_GPU_TESTS") == "cpu"


def present(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU that CUDA sees; LTBENCH_GPU_TESTS=cpu tries this test on the CPU")
    return device


@pytest.fixture
def device() -> str:
    """``cuda``, or ``cpu`` where the tests are tried there."""
    return present("cpu" if ON_CPU else "cuda")


@pytest.fixture(params=["cpu"] if ON_CPU else ["cpu", "cuda"])
def any_device(request: pytest.FixtureRequest) -> str:
    """Both, in a test that is cheap enough for every day."""
    return present(request.param)
