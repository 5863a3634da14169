"""How long it takes to measure a model: all of it on little noise and on more, the rest along the line between.

What does not grow with the images, fine-tunings and critics, is counted too: where that would take long here, as with a
large network on a CPU, nothing is tried, and operations are all that is reckoned by.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from unlearning.counts import Counts
from unlearning.estimating.flops import count_flops
from unlearning.estimating.trainings import Subject, Work, meta_network
from unlearning.evaluation.information import ESTIMATORS, informed_layers
from unlearning.evaluation.measuring import PARTS, measure
from unlearning.evaluation.measuring import Subject as Measured
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.metrics.alone.info_nce import Critic
from unlearning.models.backbone import build
from unlearning.models.taps import tapped
from unlearning.params import FineTuning, MutualInformation, Params, Relearn

FEW, MORE = 4, 12  # times as many images as there are classes, at least
CRITICS = "IDI's critics"  # part of the stopwatch; they have a number of images of their own
RELEARNING = "relearning"  # as well a part
OPERATIONS = 4e11  # of the forward passes that are tried, about
STEP = 3  # forward passes that a training step is worth
PARTS_JUDGED = 2  # of the test split, forget and retain, by which an attack is judged


@dataclass(frozen=True)
class Measuring:
    """Measuring one model of one seed."""

    work: Work
    image: float  # seconds of one image's forward pass


def try_measuring(subject: Subject, params: Params) -> Measuring:
    """Measure a network of fresh weights twice and reckon what all images take."""
    everything = subject.counts.training + subject.counts.judging
    affordable = int(OPERATIONS / subject.flops)
    sizes = [min(everything, max(times * subject.shape.classes, affordable * times // MORE)) for times in (FEW, MORE)]
    timed = [_parts(subject, params, size / everything) for size in sizes]
    (few, less), (more, longer) = timed
    slope = {name: max(0.0, (longer[name] - less[name]) / max(more - few, 1)) for name in longer}
    seconds = {name: longer[name] + slope[name] * (everything - more) for name in longer}
    critics = params.mutual_information.max_samples
    asked = min(critics, 2 * subject.counts.forget)
    tried = min(critics, 2 * round(subject.counts.forget * more / everything))
    seconds[CRITICS] = longer[CRITICS] * asked / max(tried, 1)
    work = replace(reckon(subject, params), seconds=sum(seconds.values()))
    return Measuring(work, longer["forward passes"] / more)


def by_operations(subject: Subject, params: Params, rate: float) -> Measuring:
    """Reckon the same by operations alone; rate: of them a second."""
    work = reckon(subject, params)
    return Measuring(replace(work, seconds=work.flops / rate), subject.flops / rate)


def reckon(subject: Subject, params: Params) -> Work:
    """Return the operations of all passes through the network, and the images that are read."""
    passes = subject.counts.training + subject.counts.judging
    attacks, read = attacked(subject, params)
    critics = critics_flops(subject, params)
    return Work(flops=(passes + attacks) * subject.flops + critics, images=passes + read)


def attacked(subject: Subject, params: Params) -> tuple[int, int]:
    """Return how many images' forward passes attacks and predictors are worth, and how many images they read."""
    relearn, batchnorm, counts = params.relearn, params.batchnorm, subject.counts
    each = len(relearn.lrs) + relearn.draws - 1  # every rate on the first draw, the best of them on the others
    trained = fine_tuned(params.retain_only, counts.retain)
    for shots in params.attacks.shots:
        trained += each * fine_tuned(relearn, 2 * min(shots * subject.forgotten, counts.forget))
    judged = (each * len(params.attacks.shots) + 2) * PARTS_JUDGED * params.attacks.max_samples  # at most
    looked_at = judged + batchnorm.batches * batchnorm.batch_size
    between = min(params.predictors.max_samples, counts.retain)  # the ends of a line, and the points on it
    passes = STEP * trained + looked_at + (params.predictors.points + 2) * between
    return passes, trained + looked_at + between


def fine_tuned(cfg: FineTuning, images: int) -> int:
    """Return how many images go through the steps of one fine-tuning."""
    return cfg.steps * min(cfg.batch_size, images)


def critics_flops(subject: Subject, params: Params) -> float:
    """Return the operations of the critics that go through the network's later layers; those on features have few."""
    cfg = params.mutual_information
    if not ESTIMATORS[cfg.estimator].on_maps:
        return 0.0
    model = meta_network(subject.shape)
    images = min(cfg.max_samples, 2 * subject.counts.forget)
    passes = cfg.trials * images * _passes(cfg)
    return sum(passes * _tail_flops(model, layer, subject, cfg) for layer in informed_layers(model, params))


def _passes(cfg: MutualInformation) -> float:
    """Return how many forward passes a critic's fit is worth for each of its images."""
    recipe = cfg.info_nce
    fitted = 1 - recipe.held_out
    return recipe.epochs * (STEP * fitted + recipe.held_out) + fitted


def _tail_flops(model: nn.Module, layer: str, subject: Subject, cfg: MutualInformation) -> float:
    shape = subject.shape
    images = torch.zeros(2, shape.channels, shape.image_size, shape.image_size, device="meta")
    with torch.no_grad(), tapped(model, [layer], raw=True) as outputs:
        model(images)
        maps: Tensor = outputs[layer]
    with torch.device("meta"):
        critic = Critic(model, layer, cfg.info_nce.dimension).eval()
    with torch.no_grad():
        return count_flops(lambda: critic(maps)) / len(images)


def _parts(subject: Subject, params: Params, share: float) -> tuple[int, dict[str, float]]:
    """Return how many images were measured on, and the seconds of each part."""
    own = subject.counts
    few = Counts(*(max(2 * PARTS, round(share * count)) for count in (own.forget, own.retain, own.judging)))
    with subject.noise(few) as manifest:
        model, watch = build(subject.shape), Stopwatch(subject.where, PARTS)
        with watch.round("trying how long measuring takes"):
            found = measure(Measured("noise", 0, model, model), manifest, params, subject.where, watch)
    assert found is not None
    watch.seconds[RELEARNING] *= trained_more(found[0]["relearn"]["chosen"].values(), params.relearn)
    return few.training + few.judging, watch.seconds


def trained_more(chosen: Iterable[Mapping[str, Any]], cfg: Relearn) -> float:
    """Return how many times as many fine-tunings there are where training is chosen: on noise it often helps nothing.

    chosen: of each number of images what the attacker did, "lr" None where nothing was trained after the first draw.
    """
    others = cfg.draws - 1
    made = [len(cfg.lrs) + (0 if choice["lr"] is None else others) for choice in chosen]
    return len(made) * (len(cfg.lrs) + others) / sum(made) if made else 1.0
