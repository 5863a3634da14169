"""How long each stage ahead takes, what it computes and what it leaves on disk: `unlearning estimate`.

Nothing needs to have run: steps, forward passes and measures are tried on noise in the shape of the images that
params.yaml names, on this machine, and multiplied. Not reckoned: reading the images, the search, downloads.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from unlearning.budgets import sizes_of
from unlearning.check import CHANNELS, DOWNLOADED, DOWNLOADED_IMAGES
from unlearning.counts import Counts
from unlearning.engine.launch import launch
from unlearning.errors import InputError
from unlearning.estimating.measuring import Measuring, try_measuring
from unlearning.estimating.trainings import Subject, Training, forward_flops, meta_network, try_training
from unlearning.forecast import readable
from unlearning.methods import method_config, method_program
from unlearning.models.architecture import Architecture
from unlearning.params import Params, rows_of
from unlearning.params_file import load_params
from unlearning.sources import load_source
from unlearning.sources.downstream import load_downstream
from unlearning.splitting.images import split_samples
from unlearning.splitting.request import read_request
from unlearning.training.classifier import PARTS, RECIPES, train_classifier
from unlearning.training.ec_modules import pretrain_ec_modules

IMPORTS = "import unlearning.engine.run, unlearning.evaluation.measuring, unlearning.models.checkpoint"
DVC = 1.0  # seconds that DVC itself takes for a stage (measured: docs/speed.md)
COMPARING = 20.0  # seconds of `compare` and `report` together, about
FLOAT, GIGA = 4, 1e9  # bytes
COPIES = 2  # of each file: in DVC's cache and in the workspace, where the file system cannot share them


@dataclass(frozen=True)
class Stage:
    """A stage as it lies ahead, all seeds together."""

    name: str
    seconds: float
    flops: float = 0.0
    disk: float = 0.0  # bytes, one copy
    told: str = ""


def estimate() -> Iterator[str]:
    """Yield a line for each stage of params.yaml, then one for all."""
    stages = []
    for stage in ahead(load_params()):
        stages.append(stage)
        yield told(stage)
    everything = Stage(
        f"together {len(stages)} stages", sum(one.seconds for one in stages), sum(one.flops for one in stages),
        sum(one.disk for one in stages),
    )  # fmt: skip
    yield told(everything) + f"; on disk {COPIES} times that where the file system cannot share copies"


def told(stage: Stage) -> str:
    """Return the line of a stage."""
    parts = [f"about {readable(stage.seconds)}"]
    parts += [stage.told] if stage.told else []
    parts += [f"{stage.flops / 1e12:.3g} TFLOP"] if stage.flops else []
    parts += [f"{stage.disk / GIGA:.2g} GB"] if stage.disk > GIGA / 1000 else []
    return f"{stage.name}: {', '.join(parts)}"


def ahead(params: Params) -> Iterator[Stage]:
    """Yield the stages in their order."""
    subject = subject_of(params)
    start, seeds = seconds_to_start(), len(params.seeds)
    sizes = sizes_of(meta_network(subject.shape), subject.shape.channels, subject.shape.image_size)
    weights = sizes.weights * FLOAT

    def trained(name: str, one: Training, size: float = weights) -> Stage:
        what = f"{seeds} x {one.steps:,} steps of {one.step:.2g} s"
        return Stage(name, start + seeds * one.seconds, seeds * one.flops, seeds * size, what)

    for reference in params.references:
        if not _given(params, reference):
            yield trained(f"train@{reference}", _reference(reference, subject, params))
    if any(method.start == "ec_modules" for method in params.methods.values()):
        recipe = params.pretrain_ec
        yield trained("pretrain_ec", try_training("pretrain_ec", subject, recipe, pretrain_ec_modules, True))
    for name, method in params.methods.items():
        with_modules = method.start == "ec_modules"
        one = try_training(name, subject, method_config(name), method_program(name), with_modules)
        yield trained(f"unlearn@{name}", one)
    measuring = try_measuring(subject, params)
    shared = min(params.evaluate.shared_samples, subject.counts.training + subject.counts.judging)
    size = shared * sizes.features * FLOAT
    for name in rows_of(params):
        yield Stage(f"evaluate@{name}", start + seeds * measuring.seconds, seeds * measuring.flops, seeds * size)
    yield from _transfers(params, measuring, start, seeds)
    yield Stage("compare and report", COMPARING + 2 * start)


def subject_of(params: Params) -> Subject:
    """Return network, images and device, as the images outside of git are; raises InputError where there are none."""
    data, model = params.data, params.model
    counts, classes, forgotten = _of_source(params)
    channels = CHANNELS.get(data.name, 3)
    shape = Architecture(model.name, dict(model.kwargs), model.small_stem, classes, channels, data.image_size)
    return Subject(shape, forward_flops(shape), counts, forgotten, launch(params.precision))


def _of_source(params: Params) -> tuple[Counts, int, int]:
    """Return images, classes and classes to forget as the split will have them; raises InputError as reading them."""
    data, forget = params.data, params.forget
    try:
        source = load_source(data)
    except InputError:
        if data.name not in DOWNLOADED:
            raise
        return _of_download(params)
    request = read_request(forget, source)
    parts = split_samples(source, data, bool(params.original.checkpoint), request.samples)
    labels, known = parts["train"].samples.labels, ~np.isin(parts["train"].samples.labels, request.before)
    chosen = len(request.samples) or int(np.isin(labels, request.classes).sum())
    counts = Counts(chosen, int(known.sum()) - chosen, len(parts["test"].samples.labels))
    return counts, len(source.classes), len(request.classes)


def _of_download(params: Params) -> tuple[Counts, int, int]:
    """Return the same for a set that is not there yet, of classes of one size."""
    (training, test), classes, forget = DOWNLOADED_IMAGES, DOWNLOADED[params.data.name], params.forget
    chosen = forget.count if forget.scenario == "random" else max(1, len(forget.classes))
    kept = training - round(params.data.validation_fraction * training)
    return Counts(round(kept * chosen / classes), kept - round(kept * chosen / classes), test), classes, chosen


def seconds_to_start() -> float:
    """Return what a stage takes before it does anything: a process, its imports, and DVC."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - started + DVC


def _given(params: Params, name: str) -> bool:
    return name != "short_run" and bool(getattr(params, name).checkpoint)


def _reference(name: str, subject: Subject, params: Params) -> Training:
    own, counts = RECIPES[name](params), subject.counts
    whole = counts if PARTS[name] == "all" else Counts(0, counts.retain, counts.judging)
    return try_training(
        name, replace(subject, counts=whole), own, lambda run, cfg: train_classifier(run, cfg, "all"), False
    )


def _transfers(params: Params, measuring: Measuring, start: float, seeds: int) -> Iterator[Stage]:
    for one in params.downstream:
        try:
            images = len(load_downstream(one).ids)
        except InputError:
            if one.source not in DOWNLOADED:
                raise
            images = sum(DOWNLOADED_IMAGES)
        images = min(images, params.evaluate.max_samples)
        for name in rows_of(params):
            yield Stage(f"transfer@{name}-{one.name}", start + seeds * images * measuring.image)
