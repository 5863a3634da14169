"""The verdict where samples were to be forgotten and their classes kept: rules in docs/metrics.md, "The verdict"."""

from collections.abc import Iterable, Mapping
from statistics import mean

from unlearning.over_seeds import Summary, utility_of
from unlearning.page.judging import confirmed, minus
from unlearning.page.measures import ASKING_THE_HEAD, Beside, Measure, Reading, read, value_at
from unlearning.page.verdict import LEAST_IMAGES, Answer, Level, Question, Verdict, Words, beside_of, floor, utility

ANSWERS = Measure("forget_acc", "accuracy on the erased images (FA)", "attack", True, value_at("metrics", "forget_acc"))
MEMBERSHIP = tuple(measure for measure in ASKING_THE_HEAD if measure.key in ("mia_auc", "lira", "rmia"))
OUTPUTS = Words("as if never seen", "remembered", "partly remembered")
ATTACK = Words("not found", "found", "partly found")
MADE_TO_ERR = "made to err"
NO_RETRAINED = (
    "This word needs a retrained model, and none was trained: how well a model knows images that it never saw is not "
    "known."
)


def sample_verdicts(models: Mapping[str, Summary], erased: int) -> dict[str, Verdict]:
    """Return the verdict on every model, in the order of the rows; erased: the number of erased images."""
    beside = beside_of(models)
    return {name: _verdict_of(one, models, beside, erased) for name, one in models.items()}


def _verdict_of(one: Summary, models: Mapping[str, Summary], beside: Beside, erased: int) -> Verdict:
    answers: dict[Question, Answer] = {
        "outputs": outputs(one, beside, erased),
        "attack": membership(one, beside, erased),
        "floor": floor(one, models),
        "utility": utility(one, beside.original, utility_of(models)),
    }
    return Verdict(*in_one(answers), answers)


def in_one(answers: Mapping[Question, Answer]) -> tuple[str, Level]:
    """Return the answers in one word, the first that fits, and its level. Utility is told apart from it."""
    said, found = answers["outputs"], answers["attack"].level
    cases: tuple[tuple[bool, str, Level], ...] = (
        (said.level == "unknown", "cannot be told", "unknown"),
        (said.level == "bad", "not forgotten", "bad"),
        (said.word == MADE_TO_ERR, "made to err, which marks the images", "part"),
        (said.level == "part", "only partly forgotten", "bad"),
        (found == "bad", "forgotten, but found by membership inference", "bad"),
        (found == "part", "forgotten, partly found by membership inference", "part"),
        (found == "unknown", "forgotten in its answers; whether it can be found cannot be told", "unknown"),
        (answers["floor"].level == "good", "forgotten as by retraining", "good"),
    )
    return next(((word, level) for fits, word, level in cases if fits), ("forgotten", "good"))


def outputs(one: Summary, beside: Beside, erased: int) -> Answer:
    """Say whether the model answers on the erased images as one that never saw them: neither better nor worse."""
    found = read(ANSWERS, one, beside)
    if found is None or erased < LEAST_IMAGES:
        return OUTPUTS.of("unknown", f"Only {erased} images were erased: too few to tell.")
    if found.values.untaught is None:
        return OUTPUTS.of("unknown", NO_RETRAINED, (found,))
    values = found.values
    reason = (
        f"It gives {mean(values.own):.1f} % of the erased images their label; the original {mean(values.original):.1f} "
        f"%, a model that never saw them {mean(values.untaught or []):.1f} %."
    )
    below = minus(values.untaught or [], values.own)
    if confirmed(below, values.noise(ANSWERS.least(len(values.own)))):
        return Answer(MADE_TO_ERR, "part", f"{reason} Errors beyond that are no forgetting.", (found,))
    return OUTPUTS.of(LEVELS[found.says], reason, (found,))


LEVELS: dict[str, Level] = {
    "gone": "good",
    "left": "part",
    "as before": "bad",
    "unclear": "unknown",
    "blind": "unknown",
    "no floor": "unknown",
}


def membership(one: Summary, beside: Beside, erased: int) -> Answer:
    """Say whether membership inference tells the erased images from unseen ones better than in a retrained model."""
    readings = tuple(found for measure in MEMBERSHIP if (found := read(measure, one, beside)))
    if not readings or erased < LEAST_IMAGES:
        return ATTACK.of("unknown", "There are too few images to attack with.", readings)
    if beside.untaught is None:
        return ATTACK.of("unknown", NO_RETRAINED, readings)
    level = _worst(readings)
    areas = "; ".join(f"{one.measure.label} {mean(one.values.own):.1f}" for one in readings)
    reason = f"50 is a coin: {areas} (original {mean(readings[0].values.original):.1f})."
    if all(one.says == "blind" for one in readings):
        reason += " The attack finds the images in the original hardly better than in a model that never saw them."
    return ATTACK.of(level, reason, readings)


def _worst(readings: Iterable[Reading]) -> Level:
    """The worst that any attack says; one that is blind here speaks for nothing."""
    said = {LEVELS[one.says] for one in readings}
    order: tuple[Level, ...] = ("bad", "part", "unknown", "good")
    return next(level for level in order if level in said)
