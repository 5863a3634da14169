"""How long it takes to measure a model: all of it on little noise and on more, the rest along the line between."""

from dataclasses import dataclass

from unlearning.counts import Counts
from unlearning.estimating.noise import noise
from unlearning.estimating.trainings import Subject
from unlearning.evaluation.measuring import PARTS, measure
from unlearning.evaluation.measuring import Subject as Measured
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.models.backbone import build
from unlearning.params import Params

FEW, MORE = 4, 12  # times as many images as there are classes, at least
CRITICS = "IDI's critics"  # part of the stopwatch; they have a number of images of their own
OPERATIONS = 4e11  # of the forward passes that are tried, about


@dataclass(frozen=True)
class Measuring:
    """Measuring one model of one seed."""

    seconds: float
    image: float  # seconds of one image's forward pass
    flops: float  # of the forward passes alone


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
    image = longer["forward passes"] / more
    return Measuring(sum(seconds.values()), image, everything * subject.flops)


def _parts(subject: Subject, params: Params, share: float) -> tuple[int, dict[str, float]]:
    """Return how many images were measured on, and the seconds of each part."""
    own = subject.counts
    few = Counts(*(max(2 * PARTS, round(share * count)) for count in (own.forget, own.retain, own.judging)))
    shape = subject.shape
    with noise(few, shape.classes, shape.channels, shape.image_size, subject.forgotten) as manifest:
        model, watch = build(shape), Stopwatch(subject.where, PARTS)
        with watch.round("trying how long measuring takes"):
            measure(Measured("noise", 0, model, model), manifest, params, subject.where, watch)
    return few.training + few.judging, watch.seconds
