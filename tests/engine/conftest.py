"""Small parts of a training, put together by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ltbench.config import ComputeConfig
from ltbench.engine.machine.compute import Compute
from ltbench.engine.machine.progress import Bar


@pytest.fixture
def compute() -> Compute:
    return Compute(ComputeConfig(device="cpu", precision="fp32"))


@pytest.fixture
def bar() -> Bar:
    return Bar("toy", 1, 1, None)


@pytest.fixture
def plugin_file(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a plugin file: ``plugin_file("name", "code")``."""

    def write(name: str, code: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(code, encoding="utf-8")
        return path

    return write
