"""What each stage ahead takes: its time on this machine, what it computes and reads, and what it leaves on disk.

Nothing needs to have run: steps, forward passes and measures are tried on noise in the shape of the images that
params.yaml names, and multiplied. Not reckoned: the search, shadow models, audits, downloads.
"""

import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unlearning.budgets import FLOAT, GIGA, sizes_of
from unlearning.check import CHANNELS
from unlearning.counts import Counts
from unlearning.data.below import Below
from unlearning.data.text_lists import lines_of
from unlearning.engine.launch import launch
from unlearning.errors import InputError
from unlearning.estimating.measuring import Measuring, by_operations, reckon, try_measuring
from unlearning.estimating.reading import seconds_a_file, seconds_to_read
from unlearning.estimating.trainings import Subject, Training, Work, forward_flops, meta_network, try_training
from unlearning.forecast import readable
from unlearning.methods import method_config, method_program
from unlearning.models.architecture import Architecture
from unlearning.params import Params, rows_of
from unlearning.published_sets import PUBLISHED, PublishedSet
from unlearning.sources import load_source
from unlearning.sources.downstream import load_downstream
from unlearning.splitting.images import split_samples
from unlearning.splitting.request import read_request
from unlearning.training.classifier import PARTS, RECIPES, train_classifier
from unlearning.training.ec_modules import pretrain_ec_modules

IMPORTS = "import unlearning.engine.run, unlearning.evaluation.measuring, unlearning.models.checkpoint"
DVC = 1.0  # seconds that DVC itself takes for a stage (measured: docs/speed.md)
COMPARING = 20.0  # seconds of `compare` and `report` together, about
COPIES = 2  # of each file: in DVC's cache and in the workspace, where the file system cannot share them
LONG = 60.0  # seconds: attacks that would take longer on this machine are reckoned by their operations, not tried


@dataclass(frozen=True)
class Stage:
    """A stage as it lies ahead, all seeds together."""

    name: str
    work: Work  # its images those that are read from files
    disk: float = 0.0  # bytes, one copy
    told: str = ""
    model: str | None = None  # whose alone it is: stages of several models can run side by side
    steps: int = 0  # of an optimiser
    reading: float = 0.0  # seconds for one image, where it reads others than the training does


def estimate(params: Params) -> Iterator[str]:
    """Yield a line for each stage, then one for all."""
    stages = []
    for stage in ahead(params):
        stages.append(stage)
        yield told(stage)
    work = sum((stage.work for stage in stages), Work())
    everything = Stage(f"together {len(stages)} stages", work, sum(one.disk for one in stages))
    yield told(everything) + f"; on disk {COPIES} times that where the file system cannot share copies"


def told(stage: Stage) -> str:
    """Return the line of a stage."""
    work = stage.work
    parts = [f"about {readable(work.seconds)}"]
    parts += [stage.told] if stage.told else []
    parts += [f"{work.flops / 1e12:.3g} TFLOP"] if work.flops else []
    parts += [f"{stage.disk / GIGA:.2g} GB"] if stage.disk > GIGA / 1000 else []
    return f"{stage.name}: {', '.join(parts)}"


def ahead(params: Params) -> Iterator[Stage]:
    """Yield the stages in their order."""
    subject = subject_of(params)
    start, reading = seconds_to_start(), seconds_to_read(params, subject)
    workers = max(1, params.data.workers)
    for stage in stages_of(params, subject):
        work = stage.work
        own = stage.reading or reading
        seconds = max(work.seconds, work.images * own / workers)
        yield replace(stage, work=Work(start + seconds, work.flops, work.images if own else 0.0))


def stages_of(params: Params, subject: Subject, timed: bool = True) -> Iterator[Stage]:
    """Yield the stages in their order, as if nothing had to be started or read.

    timed: whether their seconds on this machine are asked for; what they compute and read is told in any case.
    """
    seeds = len(params.seeds)
    sizes = sizes_of(meta_network(subject.shape), subject.shape.channels, subject.shape.image_size)
    weights, rates = sizes.weights * FLOAT, list[float]()

    def trained(name: str, one: Training, model: str | None = None) -> Stage:
        if one.step.flops and timed:
            rates.append(one.step.flops / one.step.seconds)
        what = f"{seeds} x {one.steps:,} steps of {one.step.seconds:.2g} s"
        return Stage(name, one.work * seeds, seeds * weights, what, model, seeds * one.steps)

    if timed:
        _reference("original", subject, params, timed)  # not kept: the first steps of a process are slow
    for reference in params.references:
        if not _given(params, reference):
            yield trained(f"train@{reference}", _reference(reference, subject, params, timed))
    if any(method.start == "ec_modules" for method in params.methods.values()):
        recipe = params.pretrain_ec
        one = try_training("pretrain_ec", subject, recipe, pretrain_ec_modules, True, timed)
        yield trained("pretrain_ec", one)
    for name, method in params.methods.items():
        with_modules = method.start == "ec_modules"
        one = try_training(name, subject, method_config(name), method_program(name), with_modules, timed)
        yield trained(f"unlearn@{name}", one, name)
    if timed:
        measuring = _measuring(subject, params, max(rates, default=math.inf))
    else:
        measuring = by_operations(subject, params, math.inf)
    shared = min(params.evaluate.shared_samples, subject.counts.training + subject.counts.judging)
    size = shared * sizes.features * FLOAT
    for name in rows_of(params):
        yield Stage(f"evaluate@{name}", measuring.work * seeds, seeds * size, model=name)
    yield from _transfers(params, measuring, subject)
    yield Stage("compare and report", Work(COMPARING))


def _measuring(subject: Subject, params: Params, rate: float) -> Measuring:
    """Try to measure, where what does not grow with the images takes no long time; rate: operations a second."""
    passes = (subject.counts.training + subject.counts.judging) * subject.flops
    if (reckon(subject, params).flops - passes) / rate > LONG:
        return by_operations(subject, params, rate)
    return try_measuring(subject, params)


def subject_of(params: Params) -> Subject:
    """Return network, images and device, as the images outside of git are; raises InputError where there are none."""
    data = params.data
    try:
        source = load_source(data)
    except InputError:
        if data.name not in PUBLISHED:
            raise
        return _of_published(params, PUBLISHED[data.name])
    request = read_request(params.forget, source)
    parts = split_samples(source, data, bool(params.original.checkpoint), request.samples)
    labels = parts["train"].samples.labels
    known = int((~np.isin(labels, request.before)).sum())
    chosen = len(request.samples) or int(np.isin(labels, request.classes).sum())
    test, validation = (len(parts[name].samples.labels) for name in ("test", "validation"))
    counts = Counts(chosen, known - chosen, test)
    return _subject(params, counts, validation, len(source.classes), len(request.classes), source.train.files or None)


def _of_published(params: Params, known: PublishedSet) -> Subject:
    """Return the same for a set that is not there yet, of classes of one size."""
    forget, given = params.forget, bool(params.original.checkpoint)
    validation = round(params.data.validation_fraction * known.training)
    kept = known.training - (0 if given else validation)
    if forget.scenario == "file" and forget.file is not None:
        chosen = sum(bool(line.strip()) for line in lines_of(Path(forget.file), "forget.file"))
    else:
        chosen = forget.count if forget.scenario == "random" else len(forget.classes)
    share = forget.share if forget.scenario == "samples" else chosen / known.classes
    gone = round(kept * share)
    counts, forgotten = Counts(gone, kept - gone, known.test), 0 if forget.scenario == "samples" else chosen
    files: list[Path] | None = None if known.downloaded else []  # those that are downloaded are held in memory
    return _subject(params, counts, validation, known.classes, forgotten, files)


def _subject(
    params: Params, counts: Counts, validation: int, classes: int, forgotten: int, files: Sequence[Path] | None
) -> Subject:
    data, model = params.data, params.model
    channels = CHANNELS.get(data.name, 3)
    shape = Architecture(model.name, dict(model.kwargs), model.small_stem, classes, channels, data.image_size)
    return Subject(shape, forward_flops(shape), counts, forgotten, launch(params.precision), validation, files)


def seconds_to_start() -> float:
    """Return what a stage takes before it does anything: a process, its imports, and DVC."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - started + DVC


def _given(params: Params, name: str) -> bool:
    return name != "short_run" and bool(getattr(params, name).checkpoint)


def _reference(name: str, subject: Subject, params: Params, timed: bool) -> Training:
    own, counts = RECIPES[name](params), subject.counts
    whole = counts if PARTS[name] == "all" else Counts(0, counts.retain, counts.judging)
    return try_training(
        name, replace(subject, counts=whole), own, lambda run, cfg: train_classifier(run, cfg, "all"), False, timed
    )


def _transfers(params: Params, measuring: Measuring, subject: Subject) -> Iterator[Stage]:
    most = params.evaluate.max_samples
    for one in params.downstream:
        try:
            known = load_downstream(one)
            images, what, reading = min(len(known.ids), most), "", 0.0
            if known.pixels is None:
                reading = seconds_a_file(Below(known.root, known.ids), params)
        except InputError:  # not there yet
            images, what, reading = most, f"at most {most:,} images", 0.0
        passes = Work(measuring.image, subject.flops, 1) * (images * len(params.seeds))
        for name in rows_of(params):
            yield Stage(f"transfer@{name}-{one.name}", passes, told=what, model=name, reading=reading)
