"""Whether classes that earlier requests erased stay erased: the rule, docs/metrics.md, "Classes erased before"."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import mean

from unlearning.comparison.earlier import Earlier
from unlearning.figures.earlier import earlier_columns, earlier_numbers
from unlearning.over_seeds import FORGETS, Summary
from unlearning.page.judging import Values, confirmed, minus
from unlearning.page.measures import Beside, Measure, measures_of, values_of
from unlearning.page.tables import Table, table_of
from unlearning.page.verdict import LEAST_IMAGES, UNTOLD, Answer, beside_of

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
    answers = {name: answer(one, beside, earlier.test_images) for name, one in earlier.models.items()}
    rows = {name: earlier_numbers(one) for name, one in earlier.models.items()}
    table = table_of("earlier", "What is left of the classes erased before", rows, earlier_columns(earlier))
    return Again(earlier.classes, earlier.test_images, answers, table)


def answer(one: Summary, beside: Beside, test_images: int) -> Answer:
    """Say whether the classes come back in a model, in its answers or under attack."""
    word, outputs = _in_answers(one, beside.original)
    if word:
        return Answer(word, "bad", outputs)
    if test_images < LEAST_IMAGES:
        return _untold(f"{outputs} Only {test_images} test images of them: too few to tell what attacks give back.")
    found = _under_attack(one, beside)
    return replace(found, reason=f"{outputs} {found.reason}")


def _in_answers(one: Summary, original: Summary) -> tuple[str, str]:
    """Return the word of a model that still gives images these classes, "" for one that does not, and the numbers."""
    known = [key for key in ACCURACIES if key in one.metrics and key in original.metrics]
    values = {key: (one.metrics[key], original.metrics[key]) for key in known}
    said = [f"{own:.1f} % of their {ACCURACIES[key]} (as given: {given:.1f} %)" for key, (own, given) in values.items()]
    outputs = f"Still given their class: {', '.join(said) or 'not measured'}."
    answered = [(own, given) for own, given in values.values() if own > FORGETS]
    if any(given <= FORGETS or own > given + FORGETS for own, given in answered):
        return BACK, outputs
    return (NEVER_GONE, f"{outputs} The given model had not lost them.") if answered else ("", outputs)


def _under_attack(one: Summary, beside: Beside) -> Answer:
    rises = {measure: rise for measure in _asked(one) if (rise := _rise(measure, one, beside)) is not None}
    if not any(measure.clears for measure in rises):
        return _untold("There was no image for an attack on the features to begin from.")
    over = {measure: rise for measure, rise in rises.items() if rise.above}
    if not over:
        return Answer(STAY, "good", f"No attack gives back more than in {_baseline(beside)}. {_nearest(rises)}")
    if not any(rise.certain for rise in over.values()):
        return _untold(f"Not in every repetition: {_shown(over, beside)}")
    convicts = beside.untaught is not None and not beside.stands_in
    return Answer(BACK, "bad", _shown(over, beside)) if convicts else _untold(_shown(over, beside))


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
    noise = Values(own, original, untaught, another).noise(measure.least(len(own)))
    rise = minus(own, baseline)
    return Rise(mean(own), mean(baseline), mean(rise) > noise, confirmed(rise, noise))


def _shown(over: Mapping[Measure, Rise], beside: Beside) -> str:
    most = sorted(over.items(), key=lambda item: item[1].baseline - item[1].own)[:MOST_SHOWN]
    texts = [f"{measure.label} {rise.own:.1f} ({rise.baseline:.1f})" for measure, rise in most]
    return f"More than in {_baseline(beside)}: {'; '.join(texts)}."


def _nearest(rises: Mapping[Measure, Rise]) -> str:
    measure, rise = max(rises.items(), key=lambda item: item[1].own - item[1].baseline)
    return f"Nearest to it: {measure.label} {rise.own:.1f} ({rise.baseline:.1f})."


def _baseline(beside: Beside) -> str:
    if beside.untaught is None:
        return "the model as it was given, which alone says little: no model that never saw the classes was trained"
    return "the model as it was given, and in one that never saw the classes"
