"""Device, precision and processes: a thin layer on accelerate that the rest of the engine asks."""

import atexit
import ctypes
import os
import platform
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import GradientAccumulationPlugin, InitProcessGroupKwargs, broadcast_object_list, gather_object
from torch import Tensor, nn

from ltbench.backbones.backbone import Backbone
from ltbench.engine.machine.world import read_world
from ltbench.errors import UsageError

if TYPE_CHECKING:
    from ltbench.config import ComputeConfig

_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1
"""As in malloc.h: how many blocks may lie outside the heap, and how much free heap is kept."""

_WAIT = timedelta(days=7)
"""How long the other processes wait while one trains a stage that all of them need."""

_SECONDS_TO_LEAVE = 10.0
"""How long a process that ends waits for what it and the others still do together. After an error they may never do it."""

_COMPILED = 64
"""Forms in which one piece of code may be compiled: a run has several networks, each in training and in evaluation, with what
is frozen and how many images there are. Beyond that number torch computes without compiling."""

T = TypeVar("T")


def native_bf16(device_type: str) -> bool:
    """Whether the hardware multiplies bfloat16 itself (emulation is slower than float32)."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def resolve_device(wanted: str) -> str:
    """``cpu``, ``cuda`` or ``mps``. Raises UsageError for a device that is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        raise UsageError(f"compute.device = '{wanted}': this machine has none that torch can use; use 'auto' or 'cpu'.")
    return wanted


def keep_freed_memory() -> None:
    """Let the allocator of glibc keep what is freed, on a CPU: asking the system anew for each activation costs a fifth.

    Elsewhere than on Linux with glibc, nothing is changed.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def leave(code: int = 1) -> None:
    """Take leave of the other processes of the run, before this one ends; nothing where there are none, or at a second call.

    A process that ends while torch.distributed's threads are running may be aborted by the C++ library ("terminate called
    without an active exception"), even after all its work is done.

    Args:
        code: with which the process ends, at once, where the others keep it waiting.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        end = threading.Timer(_SECONDS_TO_LEAVE, os._exit, [code])
        end.daemon = True
        end.start()
        PartialState().destroy_process_group()
        end.cancel()


def _check_devices(kind: str, started: int) -> None:
    if kind == "cuda" and started > torch.cuda.device_count():
        raise UsageError(
            f"{started} processes were started on this machine, where torch sees {torch.cuda.device_count()} GPU(s): start "
            "one for each."
        )


def _check_compiler(device: torch.device) -> None:
    """Raises UsageError where torch.compile does not work: a compiler is missing, say."""
    try:
        torch.compile(_to_compile)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler does
        said = [line for line in str(error).splitlines() if line.strip() and not line.endswith("raised:")]
        reason = next(iter(said), type(error).__name__).rstrip(".")
        raise UsageError(
            f"compute.compile = true: torch.compile does not work here ({reason}). On a CPU it needs a C++ compiler, on a GPU "
            "Triton; or leave the setting out."
        ) from error


def _to_compile(values: Tensor) -> Tensor:
    return 2 * values + 1


class Compute:
    """The accelerator of a run.

    Attributes:
        accelerator: accelerate's own object.
        precision: ``fp32``, ``bf16`` or ``fp16``, resolved.
        device: where tensors go.
        local_world: processes of the run on this machine.
    """

    def __init__(self, config: "ComputeConfig") -> None:
        world = read_world()
        kind = resolve_device(config.device)
        self.config = config
        self.precision = config.precision if config.precision != "auto" else ("bf16" if native_bf16(kind) else "fp32")
        if self.precision == "fp16" and kind == "cpu":
            raise UsageError("compute.precision = 'fp16' needs an accelerator; on a CPU use 'fp32', 'bf16' or 'auto'.")
        _check_devices(kind, world.local_size)
        AcceleratorState._reset_state(
            reset_partial_state=False
        )  # a second run in one process may want another precision
        self.accelerator = self._joined(kind, world.size)
        self.device = self.accelerator.device
        self._fresh_scale = self.scale()
        self.local_world = min(self.world, world.local_size)
        if kind == "cpu":
            keep_freed_memory()
        if config.compile:
            _check_compiler(self.device)
            torch._dynamo.config.recompile_limit = _COMPILED

    def _joined(self, kind: str, processes: int) -> Accelerator:
        """accelerate's object. Raises UsageError where the processes cannot be joined."""
        atexit.unregister(leave)
        atexit.register(leave)  # for those who call :func:`ltbench.run` from a script of their own
        try:
            return Accelerator(
                cpu=kind == "cpu",
                mixed_precision="no" if self.precision == "fp32" else self.precision,
                # The training loop divides batches itself; without this, accelerate launch's settings would divide the loss.
                gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
                kwargs_handlers=[InitProcessGroupKwargs(timeout=_WAIT)],
            )
        except (torch.distributed.DistError, ValueError) as error:
            if processes == 1:
                raise
            where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise UsageError(
                f"the {processes} processes cannot be joined at {where}: {' '.join(str(error).split())}"
            ) from error

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    @property
    def rank(self) -> int:
        return int(self.accelerator.process_index)

    @property
    def world(self) -> int:
        return int(self.accelerator.num_processes)

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()

    def from_main(self, value: T) -> T:
        """The main process's ``value``, on every process: what is in the cache, say, may change while they look."""
        answer: T = broadcast_object_list([value])[0] if self.world > 1 else value
        return answer

    def first(self, value: T | None) -> T | None:
        """Of the processes' values the first that is not None, on every process."""
        found: list[T | None] = gather_object([value]) if self.world > 1 else [value]
        return next((one for one in found if one is not None), None)

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes."""
        summed: Tensor = self.accelerator.reduce(values, reduction="sum")
        return summed

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Their mean over the processes, in place; one that has a gradient on some process alone counts as 0 elsewhere."""
        if self.world == 1:
            return
        there = torch.tensor([float(each.grad is not None) for each in parameters], device=self.device)
        flat = [each.grad if each.grad is not None else torch.zeros_like(each) for each in parameters]
        total = torch.cat([there, *(gradient.float().flatten() for gradient in flat)])
        torch.distributed.all_reduce(total)
        rows = (total[len(parameters) :] / self.world).split([each.numel() for each in parameters])
        for parameter, somewhere, row in zip(parameters, total[: len(parameters)].tolist(), rows, strict=True):
            if somewhere:
                parameter.grad = row.view_as(parameter).to(parameter.dtype)

    def gather(self, values: Tensor, places: Tensor, total: int) -> Tensor:
        """Values [B, ...] of this process's samples, at ``places`` int64[B] of the batch -> [total, ...] in its order."""
        if self.world == 1:
            rows, where = values, places.to(values.device)
        else:
            padded = self.accelerator.pad_across_processes(values.contiguous())
            where = self.accelerator.pad_across_processes(places.to(values.device), pad_index=-1)
            rows, where = self.accelerator.gather((padded, where))
            rows, where = rows[where >= 0], where[where >= 0]
        return rows[torch.argsort(where)]

    def share_state(self, module: nn.Module) -> None:
        """Give every process the main one's weights and buffers."""
        if self.world > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                torch.distributed.broadcast(tensor.data, src=0)

    def scale(self) -> dict[str, Any]:
        """State of the loss scaling that fp16 needs; empty for other precisions."""
        scaler = self.accelerator.scaler
        return dict(scaler.state_dict()) if scaler is not None else {}

    def set_scale(self, state: Mapping[str, Any] | None = None) -> None:
        """Bring the loss scaling to where it stood; by default to where a training starts."""
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(dict(state or self._fresh_scale))

    def share_buffers(self, module: nn.Module) -> None:
        """Give every process the main one's BatchNorm statistics: each gathers its own, only the main one's are stored."""
        if self.world > 1:
            for buffer in module.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, convolutions in channels_last where the configuration says so."""
        self.compile(module)
        module = module.to(self.device)
        return module.to(memory_format=torch.channels_last) if self.config.channels_last else module

    def compile(self, module: nn.Module) -> None:
        """Compile every backbone in a module where the settings say so: in place, so that names of weights stay. A copy of a
        compiled module is not compiled."""
        if self.config.compile:
            for part in module.modules():
                if isinstance(part, Backbone):
                    part.compile()

    def images(self, images: Tensor) -> Tensor:
        """Images on the device, in the layout of the modules."""
        images = images.to(self.device, non_blocking=True)
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images

    def autocast(self) -> Any:
        return self.accelerator.autocast()
