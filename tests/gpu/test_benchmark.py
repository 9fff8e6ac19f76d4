"""The benchmark for GPUs can be run, on a day without one."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_the_benchmark_runs_dry(tmp_path: Path) -> None:
    """Every line of it, but those that a CPU cannot do or takes long to compile."""
    command = [sys.executable, str(SCRIPT), "--dry-run", "--no-compile", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    cases = json.loads((tmp_path / "found.json").read_text())["cases"]
    assert len(cases) > 10
    for case in cases:
        allowed = "needs an accelerator" in case["missing"] or "compile" in case["name"]
        assert allowed or all(min(rates) > 0 for rates in case["images_per_s"].values()), case
        assert allowed or case["images_per_s"], case
        assert f"| {case['name']} |" in done.stdout
