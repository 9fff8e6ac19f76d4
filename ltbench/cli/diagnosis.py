"""What ``ltbench doctor`` looks at: versions, the machine, the cache, the checks of plugins."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ltbench.errors import DataError
from ltbench.plugin import Check
from ltbench.registry.lookup import one_line
from ltbench.registry.manager import Plugins

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "safetensors",
    "pydantic",
    "pluggy",
    "numpy",
    "scipy",
    "pandas",
)

GIB = 2**30


def versions() -> list[Check]:
    """Python, ltbench and what it computes with."""
    found = [Check("python", True, f"{platform.python_version()} ({sys.executable})")]
    for name in ("ltbench", *PACKAGES):
        try:
            found.append(Check(name, True, version(name)))
        except PackageNotFoundError:
            found.append(Check(name, False, f"not installed: pip install {name}"))
    return found


def machine() -> list[Check]:
    """Device and precision that a run would choose, cores, memory."""
    from ltbench.engine.machine.world import usable_cores

    found = [Check("system", True, platform.platform()), Check("cores", True, str(usable_cores()))]
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        found.append(Check("memory", True, f"{memory / GIB:.1f} GiB"))
    return [*found, *_device()]


def _device() -> list[Check]:
    try:
        import torch

        from ltbench.engine.machine.compute import native_bf16, resolve_device

        kind = resolve_device("auto")
        names = (
            [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if kind == "cuda" else []
        )
        fast = native_bf16(kind)
    except Exception as error:
        return [Check("device", False, f"cannot be found out: {one_line(error)}")]
    return [
        Check("device", True, ", ".join([kind, *names])),
        Check("precision", True, "bf16, native" if fast else "fp32 (no native bf16)"),
    ]


def cache() -> Check:
    """Where trained stages are kept, and how much lies there."""
    from ltbench.common.cache import cache_dir

    try:
        folder = cache_dir()
    except DataError as error:
        return Check("cache", False, str(error))
    return Check("cache", True, f"{folder}, writable, {_size(folder) / GIB:.2f} GiB")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # another process removed it meanwhile
            continue
    return total


def plugin_checks(plugins: Plugins) -> list[Check]:
    """What the plugins' own ``ltbench_checks`` say, each named after the distribution it came with."""
    return [
        Check(f"{record.distribution}: {check.name}", check.ok, check.detail)
        if isinstance(check, Check)
        else Check(str(record), False, f"ltbench_checks must yield Check records, got {check!r}")
        for record, checks in plugins.checks()
        for check in checks
    ]
