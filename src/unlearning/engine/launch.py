"""Where a stage runs: device, precision, and how many processes share the work (torchrun, accelerate, srun)."""

import math
import os
import resource
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from timm.layers import convert_sync_batchnorm  # torch's own drops the activation of timm's BatchNormAct2d
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unlearning.errors import InputError

NARROWEST_STRIDED = 8  # channels
JOINED_BYTES = 1 << 26  # that a process sends to all others at once
WAIT = timedelta(days=7)  # for other processes: one of them may measure for hours; a dead one ends the others by itself

Dealt = TypeVar("Dealt")


@dataclass(frozen=True)
class Launch:
    device: torch.device
    rank: int
    world: int  # number of processes
    dtype: torch.dtype  # of autocast; float32 means none
    fp32_modules: bool = False  # whether the EC modules compute in float32 while the rest is in autocast

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def in_precision(self, network: nn.Module) -> "InPrecision":
        """Return the module to call: its forward passes run in autocast, and their outputs leave as float32."""
        return InPrecision(network, self)

    def distribute(self, network: nn.Module) -> "InPrecision":
        """Return the module to call, on the device, in the run's precision.

        Several processes average gradients and, on GPUs, share batch statistics.
        """
        if self.device.type == "cpu":
            refuse_wrong_gradients(network)
        network = self.place(network)
        if self.world == 1:
            return self.in_precision(network)
        if self.device.type == "cuda":
            network = convert_sync_batchnorm(network)
        return self.in_precision(DistributedDataParallel(network))

    def place(self, network: nn.Module) -> nn.Module:
        """Move to the device in channels-last."""
        moved: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the rows of all processes (B, ...), with gradient: losses over the global batch stay exact."""
        if self.world == 1:
            return tensor
        if not tensor.is_floating_point():
            parts = [torch.empty_like(tensor) for _ in range(self.world)]
            torch.distributed.all_gather(parts, tensor)
            return torch.cat(parts)
        from torch.distributed.nn.functional import all_gather  # here, as only several processes need it

        return torch.cat(all_gather(tensor))

    def dealt(self, batches: list[Dealt]) -> list[Dealt]:
        """Return the whole batches that this process takes of a pass, so that each holds what it would hold in one.

        They follow on those of the process before; of fewer batches than processes the last ones have none.
        """
        first, end = (-(-rank * len(batches) // self.world) for rank in (self.rank, self.rank + 1))
        return batches[first:end]

    def joined(self, own: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return {name: rows of all processes (n, ...), in order of their ranks}: on the CPU, in every process.

        Nothing is padded: the numbers of rows may differ, and a process that has none may lack the names.
        """
        if self.world == 1:
            return own
        shapes = {name: (len(rows), rows.shape[1:], rows.dtype) for name, rows in own.items()}
        of_all: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(of_all, shapes)
        found = {}
        for name, (_, shape, dtype) in of_all[0].items():  # the first always has a batch
            rows = own.get(name, torch.empty(0, *shape, dtype=dtype))
            found[name] = self._joined(rows, [one[name][0] if name in one else 0 for one in of_all])
        return found

    def _joined(self, own: Tensor, counts: list[int]) -> Tensor:
        """Return the rows of all processes, which have so many; they travel as bytes, a bounded number at once."""
        whole = torch.empty(sum(counts), *own.shape[1:], dtype=own.dtype)
        width = math.prod(own.shape[1:])
        at_once = min(max(counts), max(1, JOINED_BYTES // max(1, width * own.element_size())))
        for start in range(0, max(counts), at_once or 1):
            sent = torch.zeros(at_once, *own.shape[1:], dtype=own.dtype)
            mine = own[start : start + at_once]
            sent[: len(mine)] = mine
            there = sent.view(torch.uint8).to(self.device)
            parts = [torch.empty_like(there) for _ in range(self.world)]
            torch.distributed.all_gather(parts, there)
            for rank, part in enumerate(parts):
                rows = part.cpu().view(own.dtype).view_as(sent)[: max(0, counts[rank] - start)]
                first = sum(counts[:rank]) + start
                whole[first : first + len(rows)] = rows
        return whole

    def total(self, number: int) -> int:
        """Return the sum of the processes' numbers."""
        return number if self.world == 1 else int(self.gather(torch.tensor([number], device=self.device)).sum())

    @property
    def alone(self) -> "Launch":
        """The same device without the other processes: for what one of them does while these wait."""
        return replace(self, rank=0, world=1)

    def highest(self, number: int) -> int:
        """Return the largest of the processes' numbers: all of them see the same and act alike."""
        return number if self.world == 1 else int(self.gather(torch.tensor([number], device=self.device)).max())

    def average(self, tensor: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes, without gradient: all of them see the same and act alike."""
        if self.world == 1:
            return tensor
        mean = tensor.detach().clone().to(self.device)
        torch.distributed.all_reduce(mean)
        return mean / self.world

    @property
    def description(self) -> str:
        """Name the device: the GPU, or the CPU's vector instructions and threads."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"

    @property
    def conditions(self) -> dict[str, str | int]:
        """What rounding depends on: a run that goes on under others would give a model of neither."""
        return {"device": self.description, "precision": self.precision, "processes": self.world}

    @property
    def precision(self) -> str:
        """Name the precision of networks: what "auto" has come to on this device."""
        if self.dtype == torch.float32:
            return "fp32"
        return "bf16, EC modules in fp32" if self.fp32_modules else "bf16"

    def peak_memory_gb(self) -> float:
        """Return the most memory this process has held so far: on the GPU, or else of its own."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        unit = 1 if sys.platform == "darwin" else 1024  # bytes, or kibibytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9

    def synchronise(self) -> None:
        """Wait until the device has done all that was asked of it, so that a clock can be read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class InPrecision(nn.Module):
    """A network in autocast. Only the network: a loss in bf16 would lose what temperatures of 0.07 enlarge."""

    def __init__(self, network: nn.Module, launch: Launch) -> None:
        super().__init__()
        self.network, self.launch = network, launch

    def forward(self, images: Tensor) -> Any:
        with self.launch.autocast():
            output = self.network(images)
        return output.float() if isinstance(output, Tensor) else output

    def without_averaging(self) -> AbstractContextManager[object]:
        """Return the context in which backward passes leave each process its own gradients, to be averaged later."""
        return self.network.no_sync() if isinstance(self.network, DistributedDataParallel) else nullcontext()


def launch(precision: str) -> Launch:
    """Join the processes the environment describes, and make the run deterministic.

    precision: "bf16", "fp32", or "auto" for what is fastest: bf16 where the device computes in it natively, but for the
    EC modules on a CPU. Their depthwise convolutions have no fast bf16 backward pass there: with them, bf16 takes twice
    the time of fp32, while for a plain network it takes two thirds.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by deterministic matrix products
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time
    torch.backends.cudnn.deterministic = True
    torch.set_float32_matmul_precision("high")
    # Unless asked for the CPU, accelerate would let each process on it run alone, and all write the same files.
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=WAIT)
    bf16 = precision == "bf16" or (precision == "auto" and has_native_bf16(state.device))
    dtype = torch.bfloat16 if bf16 else torch.float32
    fp32_modules = precision == "auto" and state.device.type == "cpu"
    return Launch(state.device, state.process_index, state.num_processes, dtype, fp32_modules)


def refuse_wrong_gradients(network: nn.Module) -> None:
    """Raise InputError for a layer whose weight gradient oneDNN computes wrongly on the CPU.

    Seen with torch 2.14 on AVX2, channels-last: 1x1 convolutions of stride 2 with fewer than 8 input channels get
    gradients with uninitialised values in them. No timm model is that narrow unless asked to be.
    """
    for name, module in network.named_modules():
        strided = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1)
        if strided and module.in_channels < NARROWEST_STRIDED:
            raise InputError(
                f"model.kwargs: {name} is a strided 1x1 convolution of {module.in_channels} channels; its gradient is "
                f"wrong on this CPU (a fault of oneDNN); use at least {NARROWEST_STRIDED} channels"
            )


def has_native_bf16(device: torch.device) -> bool:
    """Return whether the device has bf16 instructions; emulation would be slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
