"""What the stages ahead would take on another machine, of one device or several, by their operations: a table.

The stages are counted here, as `unlearning estimate` counts them. Assumed is that a device computes so many operations
a second in training and in forward passes alike; what several lose to each other, and what a step takes however little
it computes, are constants below. Left out: waiting for a place in a queue, starting processes, work without products
of matrices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unlearning.budgets import GIGA
from unlearning.estimating.ahead import Stage, stages_of, subject_of
from unlearning.estimating.reading import seconds_to_read
from unlearning.estimating.trainings import Subject, Work
from unlearning.forecast import readable
from unlearning.params import Params

KEPT = 0.945  # of a device's speed at every doubling: eight A100 train a ResNet-50 6.7 times as fast as one (NVIDIA)
LEAST_STEP = 0.025  # seconds: a deep network's operations are launched one by one (ours, not measured)
TERA = 1e12


@dataclass(frozen=True)
class Machine:
    """Devices that compute alike, each fed by its own processes that read images."""

    rate: float  # operations a second of one device
    devices: int
    readers: int  # processes a device
    reading: float  # seconds of one process for one image

    def shared(self, stage: Stage) -> float:
        """Return the seconds of a stage that all devices share."""
        kept = KEPT ** (self.devices.bit_length() - 1)
        computing = stage.work.flops / (self.rate * self.devices * kept)
        return max(computing, stage.steps * LEAST_STEP, self._read(stage) / self.devices)

    def alone(self, stage: Stage) -> float:
        """Return the seconds of a stage on one device."""
        return max(stage.work.flops / self.rate, stage.steps * LEAST_STEP, self._read(stage))

    def _read(self, stage: Stage) -> float:
        return stage.work.images * (stage.reading or self.reading) / self.readers


def table(params: Params, tflops: float, numbers: Sequence[int]) -> Iterator[str]:
    """Yield what is assumed and a Markdown table: a row for each stage or model, a column for each number of devices.

    tflops: 10^12 operations a second of one device. Trainings of references and of EC's modules are shared by all
    devices; the stages of the models are dealt to them, whole, as `unlearning parallel` does.
    """
    subject = subject_of(params)
    reading, readers = seconds_to_read(params, subject), max(1, params.data.workers)
    stages = [stage for stage in stages_of(params, subject, timed=False) if stage.work.flops]
    machines = [Machine(tflops * TERA, devices, readers, reading) for devices in numbers]
    common = [stage for stage in stages if stage.model is None]
    names = list(dict.fromkeys(stage.model for stage in stages if stage.model is not None))
    of_model = {name: [stage for stage in stages if stage.model == name] for name in names}
    yield _assumed(subject, len(params.seeds), machines[0])
    yield ""
    yield f"| stages | PFLOP | million images | {' | '.join(_devices(machine) for machine in machines)} | GB |"
    yield "| :--- | ---: | ---: |" + " ---: |" * (len(machines) + 1)
    for stage in common:
        yield _row(f"`{stage.name}`", [stage], [machine.shared(stage) for machine in machines])
    for name, own in of_model.items():
        times = [sum(map(machine.alone, own)) for machine in machines]
        yield _row(f"`{name}`: {_kinds(own)}", own, times)
    yield _row("together", stages, [together(machine, common, list(of_model.values())) for machine in machines])


def _assumed(subject: Subject, seeds: int, machine: Machine) -> str:
    shape = subject.shape
    lines = [
        f"{seeds} seed{'s' if seeds > 1 else ''}",
        f"{shape.name} at {shape.image_size} px, {subject.flops / GIGA:.3g} GFLOP an image",
        f"{machine.rate / TERA:g} TFLOP/s a device",
    ]
    if machine.reading:
        lines.append(f"{machine.readers} processes a device read images, each in {1000 * machine.reading:.2g} ms")
    return "; ".join(lines)


def together(machine: Machine, common: list[Stage], of_model: list[list[Stage]]) -> float:
    """Return the seconds of all: the common stages one after the other, then the models', the longest first."""
    busy = [0.0] * machine.devices
    for seconds in sorted((sum(map(machine.alone, own)) for own in of_model), reverse=True):
        busy[busy.index(min(busy))] += seconds
    return sum(map(machine.shared, common)) + max(busy)


def _row(name: str, stages: list[Stage], seconds: list[float]) -> str:
    work = sum((stage.work for stage in stages), Work())
    sizes = [_short(work.flops / 1e15), _short(work.images / 1e6)]
    disk = sum(stage.disk for stage in stages) / GIGA
    return f"| {' | '.join([name, *sizes, *map(readable, seconds), f'{disk:.2g}'])} |"


def _short(number: float) -> str:
    """Return three digits of a number, without an exponent where it is large: 11,900."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 1000 else f"{number:.3g}"


def _kinds(stages: list[Stage]) -> str:
    """Return what is done with a model, each kind of stage once."""
    return ", ".join(dict.fromkeys(stage.name.partition("@")[0] for stage in stages))


def _devices(machine: Machine) -> str:
    return f"{machine.devices} device{'s' if machine.devices > 1 else ''}"
