"""Whether classes that earlier requests erased stay erased: the rule, docs/metrics.md, "Classes erased before"."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from unlearning.comparison.earlier import Earlier
from unlearning.figures.earlier import earlier_columns, earlier_numbers
from unlearning.over_seeds import FORGETS, Summary
from unlearning.page.judging import confirmed, minus
from unlearning.page.measures import Beside, Measure, measures_of, values_of
from unlearning.page.tables import Table, table_of
from unlearning.page.verdict import LEAST_IMAGES, UNTOLD, Answer, Level, beside_of

STAY, BACK, NEVER_GONE = "stay erased", "come back", "not erased"
ACCURACIES = {"forget_acc": "training images", "test_forget_acc": "unseen test images"}
LEFT_OUT = ("cka", "idi", "mia_auc", "lira", "rmia")  # no accuracy on these classes: they say how, not whether
MOST_SHOWN = 2


@dataclass(frozen=True)
class Again:
    """What the page says of the classes erased before."""

    classes: list[str]
    test_images: int
    answers: dict[str, Answer]
    table: Table | None  # None where no image of the classes is left


def again(earlier: Earlier) -> Again:
    """Return the answers on all models, in the order of the rows."""
    if not earlier.models:
        return Again(earlier.classes, 0, {}, None)
    beside = beside_of(earlier.models)
    answers = {name: answer(name, one, beside, earlier.test_images) for name, one in earlier.models.items()}
    rows = {name: earlier_numbers(one) for name, one in earlier.models.items()}
    table = table_of("earlier", "What is left of the classes erased before", rows, earlier_columns(earlier))
    return Again(earlier.classes, earlier.test_images, answers, table)


def answer(name: str, one: Summary, beside: Beside, test_images: int) -> Answer:
    """Say whether the classes come back in a model, in its answers or under attack."""
    named = {key: one.metrics[key] for key in ACCURACIES if key in one.metrics}
    said = ", ".join(f"{value:.1f} % of their {ACCURACIES[key]}" for key, value in named.items())
    outputs = f"Still given their class: {said or 'not measured'}."
    if any(value > FORGETS for value in named.values()):
        return Answer(NEVER_GONE if name == "original" else BACK, "bad", outputs)
    if test_images < LEAST_IMAGES:
        return _untold(f"{outputs} Only {test_images} test images of them: too few to tell what attacks give back.")
    higher = {measure: rise for measure in _asked(one) if (rise := _rise(measure, one, beside)) is not None}
    over = {measure: rise for measure, rise in higher.items() if rise.above}
    if any(rise.certain for rise in over.values()):
        level: Level = "bad" if beside.untaught and not beside.stands_in else "unknown"
        word = BACK if level == "bad" else UNTOLD
        return Answer(word, level, f"{outputs} {_shown(over, beside)}")
    if over:
        return _untold(f"{outputs} Not in every repetition: {_shown(over, beside)}")
    return Answer(STAY, "good", f"{outputs} No attack gives back more than in {_baseline(beside)}.")


def _untold(reason: str) -> Answer:
    return Answer(UNTOLD, "unknown", reason)


@dataclass(frozen=True)
class Rise:
    """How far one measure stands above both the given model and one that never saw the classes."""

    own: float
    baseline: float
    above: bool  # by more than the noise, in the mean
    certain: bool  # and the repetitions agree


def _asked(one: Summary) -> list[Measure]:
    return [measure for measure in measures_of(one) if measure.key not in LEFT_OUT]


def _rise(measure: Measure, one: Summary, beside: Beside) -> Rise | None:
    own, original = values_of(measure, one), values_of(measure, beside.original)
    if own is None or original is None:
        return None
    untaught = (values_of(measure, beside.untaught) if beside.untaught else None) or original
    baseline = list(map(max, original, untaught))
    another = values_of(measure, beside.another) if beside.another else None
    least = measure.least(len(own))
    noise = max(least, mean(map(abs, minus(another, untaught)))) if another else least
    rise = minus(own, baseline)
    return Rise(mean(own), mean(baseline), mean(rise) > noise, confirmed(rise, noise))


def _shown(over: Mapping[Measure, Rise], beside: Beside) -> str:
    most = sorted(over.items(), key=lambda item: item[1].baseline - item[1].own)[:MOST_SHOWN]
    texts = [f"{measure.label} {rise.own:.1f} ({rise.baseline:.1f})" for measure, rise in most]
    return f"More than in {_baseline(beside)}: {'; '.join(texts)}."


def _baseline(beside: Beside) -> str:
    if beside.untaught is None:
        return "the model as it was given, which alone says little: no model that never saw the classes was trained"
    return "the model as it was given, and in one that never saw the classes"
