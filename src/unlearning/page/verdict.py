"""The verdict on a model, in words that follow fixed rules: docs/metrics.md, "The verdict", says them in prose."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from unlearning.figures.floor import SHOWN, distances_of_seeds
from unlearning.over_seeds import FORGETS, KEEPS, Summary, utility_of
from unlearning.page.judging import KEPT, confirmed, minus
from unlearning.page.measures import Beside, Depth, Reading, measures_of, read
from unlearning.params import ANOTHER, CONTROLS

SPARED = 1.0  # points of utility: a loss up to it is none; one above KEEPS is large
LEAST_IMAGES = 30  # test images of the erased classes: with fewer, one image is more than three points

Question = Literal["outputs", "features", "attack", "floor", "utility"]
QUESTIONS: tuple[Question, ...] = ("outputs", "features", "attack", "floor", "utility")
Level = Literal["good", "part", "bad", "unknown"]


@dataclass(frozen=True)
class Answer:
    """What is said to one question."""

    word: str
    level: Level
    reason: str  # one or two sentences, with the numbers that decide
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Verdict:
    word: str  # the answers in one
    level: Level
    answers: Mapping[Question, Answer]


@dataclass(frozen=True)
class Words:
    """What the answers to one question are called, by level."""

    good: str
    bad: str
    part: str = ""  # empty: there is nothing in between

    def of(self, level: Level, reason: str, readings: tuple[Reading, ...] = ()) -> Answer:
        """Return the answer of a level."""
        return Answer(UNTOLD if level == "unknown" else getattr(self, level), level, reason, readings)


UNTOLD = "cannot be told"
OUTPUTS = Words("forgotten", "not forgotten", "partly forgotten")
DEEP: dict[Depth, Words] = {
    "features": Words("gone", "as in the original", "partly left"),
    "attack": Words("stays away", "comes back", "partly comes back"),
}
FLOOR = Words("within", "beyond")
UTILITY = Words("kept", "large loss", "small loss")
NO_RETRAINED = (
    "This word needs a retrained model, and none was trained: nobody can tell how much of what is left a model that "
    "never saw the classes would have too."
)
COLLAPSED = "They have nearly collapsed, so CKA says nothing; retraining does not do that, and it can be seen."
UNTOUCHED = "The features are the original's: CKA to the original is {cka:.1f} of 100, whatever retraining would give."
UNTOUCHED_CKA = 99.5  # percent: features of the erased classes' images as they were


def verdicts(models: Mapping[str, Summary], test_images: int) -> dict[str, Verdict]:
    """Return the verdict on every model, in the order of the rows; test_images: of the erased classes."""
    beside = beside_of(models)
    return {name: verdict_of(name, models, beside, test_images) for name in models}


def beside_of(models: Mapping[str, Summary]) -> Beside:
    """Return what every model is read beside: a short run where there is no retrained model, else nothing."""
    untaught = models.get("retrained") or models.get("short_run")
    controls = tuple(models[name] for name in CONTROLS if name in models)
    return Beside(models["original"], untaught, models.get(ANOTHER), "retrained" not in models, controls)


def verdict_of(name: str, models: Mapping[str, Summary], beside: Beside, test_images: int) -> Verdict:
    """Return the verdict on one model."""
    one = models[name]
    answers: dict[Question, Answer] = {
        "outputs": outputs(one, beside.original),
        "features": depth("features", one, beside, test_images),
        "attack": depth("attack", one, beside, test_images),
        "floor": floor(one, models),
        "utility": utility(one, beside.original, utility_of(models)),
    }
    return Verdict(*in_one(answers), answers)


def in_one(answers: Mapping[Question, Answer]) -> tuple[str, Level]:
    """Return the answers in one word, the first that fits, and its level. Utility is told apart from it."""
    said = answers["outputs"].level
    deep = {answers["features"].level, answers["attack"].level}
    cases: tuple[tuple[bool, str, Level], ...] = (
        (said == "unknown", "cannot be told", "unknown"),
        (said == "bad", "not forgotten", "bad"),
        (said == "part", "only partly forgotten", "bad"),
        ("bad" in deep, "forgotten in the outputs only", "bad"),
        ("part" in deep, "forgotten in the outputs, partly in depth", "part"),
        ("unknown" in deep, "forgotten in the outputs; how deep cannot be told", "unknown"),
        (answers["floor"].level == "good", "forgotten as by retraining", "good"),
    )
    return next(((word, level) for fits, word, level in cases if fits), ("forgotten in depth", "good"))


def outputs(one: Summary, original: Summary) -> Answer:
    """Say whether the model still answers with the erased classes, by FA and TFA."""
    known = {key: label for key, label in ASKED.items() if key in one.metrics and key in original.metrics}
    if not known:
        return OUTPUTS.of("unknown", "There is no image of an erased class to ask with.")
    of_seeds = [max(seed["metrics"][key] for key in known) for seed in one.details["seeds"].values()]
    silent = sum(value <= FORGETS for value in of_seeds)
    shares = [one.metrics[key] / original.metrics[key] for key in known if original.metrics[key]]
    reason = "Still given their class: " + ", ".join(
        f"{one.metrics[key]:.1f} % of {label} (original: {original.metrics[key]:.1f} %)" for key, label in known.items()
    )
    reason += "." if "test_forget_acc" in known else "; no unseen image was there to ask with."
    if silent == len(of_seeds):
        return OUTPUTS.of("good", reason)
    if shares and max(shares) >= KEPT:
        return OUTPUTS.of("bad", reason)
    return OUTPUTS.of("part", f"{reason} At most {FORGETS:.0f} % in {silent} of {_repetitions(len(of_seeds))}.")


ASKED = {"forget_acc": "training images", "test_forget_acc": "unseen test images"}


def depth(where: Depth, one: Summary, beside: Beside, test_images: int) -> Answer:
    """Say whether more is left, or comes back, than in a model that never saw the classes."""
    found = [read(measure, one, beside) for measure in measures_of(one) if measure.depth == where]
    readings = tuple(reading for reading in found if reading)
    words = DEEP[where]
    if test_images < LEAST_IMAGES:
        return words.of("unknown", f"Only {test_images} test images of the erased classes: too few to tell.", readings)
    cka = next((mean(one.values.own) for one in readings if one.measure.key == "cka"), 0.0)
    if beside.stands_in and cka >= UNTOUCHED_CKA:
        return words.of("bad", UNTOUCHED.format(cka=cka), readings)
    if beside.untaught is None:
        return words.of("unknown", NO_RETRAINED, readings)
    level = _level(readings, beside.able)
    reason = _reason(readings, beside.able, level, beside.stands_in)
    if where == "features" and one.mean["collapsed"]:
        reason = f"{reason} {COLLAPSED}"
    return words.of(level, reason, readings)


def _level(readings: Iterable[Reading], able: Set[str]) -> Level:
    """The worst that any measure says; only those that can clear a model count for it."""
    said = {one.says for one in readings}
    clearing = {one.says for one in readings if one.measure.key in able}
    cases: tuple[tuple[bool, Level], ...] = (
        ("as before" in said, "bad"),
        ("left" in said, "part"),
        ("unclear" in said or "gone" not in clearing, "unknown"),
    )
    return next((level for fits, level in cases if fits), "good")


DECIDING = {"bad": "as before", "part": "left", "unknown": "unclear", "good": "gone"}
LEADS = {
    "bad": "As much as in the original, by",
    "part": "More than in {untaught}, by",
    "unknown": "Above {untaught}, but not for certain, by",
    "good": "No more than in {untaught}, by",
}
NONE_SEES = "No measure that could clear a model tells the original from {untaught} here."


def _reason(readings: tuple[Reading, ...], able: Set[str], level: Level, stands_in: bool) -> str:
    untaught = "a short run without the classes" if stands_in else "the retrained model"
    decide = [one for one in readings if one.says == DECIDING[level] and (level != "good" or one.measure.key in able)]
    if not decide:
        return NONE_SEES.format(untaught=untaught)
    shown = sorted(decide, key=lambda one: -(one.share or 0.0))[:MOST_SHOWN]
    more = f" and {len(decide) - len(shown)} more" if len(decide) > len(shown) else ""
    return f"{LEADS[level].format(untaught=untaught)} {'; '.join(map(_shown, shown))}{more}."


MOST_SHOWN = 2  # of the readings that decide, those with most left; the others stand in the evidence


def _shown(one: Reading) -> str:
    decimals, values = one.measure.decimals, one.values
    untaught = f", untaught {mean(values.untaught):.{decimals}f}" if values.untaught else ""
    beside = f"original {mean(values.original):.{decimals}f}{untaught}"
    return f"{one.measure.label} {mean(values.own):.{decimals}f} ({beside})"


def floor(one: Summary, models: Mapping[str, Summary]) -> Answer:
    """Say whether the model is as near to the retrained one as another retraining is, in every distance."""
    if "retrained" not in models:
        return FLOOR.of("unknown", NO_RETRAINED)
    if ANOTHER not in models:
        return FLOOR.of("unknown", "One seed: there is no second retrained model to tell how far apart two are.")
    units, own = distances_of_seeds(models[ANOTHER]), distances_of_seeds(one)
    pairs = {key: (mean(values), mean(units[key])) for key, values in own.items() if key in units}
    beyond = {key: pair for key, pair in pairs.items() if pair[0] > pair[1]}
    certain = [key for key in beyond if confirmed(minus(own[key], units[key]), 0.0)]
    farthest = "; ".join(
        f"{SHOWN[key].heading} {distance:.2g} (two retrainings: {unit:.2g})"
        for key, (distance, unit) in sorted(beyond.items(), key=lambda item: -_over(*item[1]))[:MOST_SHOWN]
    )
    if certain:
        return FLOOR.of("bad", f"Farther from the retrained model than another retraining is, by {farthest}.")
    if beyond:
        return FLOOR.of("unknown", f"Farther than another retraining, but not in every repetition, by {farthest}.")
    return FLOOR.of("good", f"As near to the retrained model as another retraining is, in all {len(pairs)} distances.")


def _over(distance: float, unit: float) -> float:
    return distance / unit if unit else float("inf")


def utility(one: Summary, original: Summary, key: str) -> Answer:
    """Say what the model lost of the original's accuracy on the classes to keep; key: TRA, or RA."""
    if key not in one.metrics or key not in original.metrics:
        return UTILITY.of("unknown", "There is no image to keep that the model has not seen.")
    pairs = zip(original.details["seeds"].values(), one.details["seeds"].values(), strict=True)
    lost = [before["metrics"][key] - after["metrics"][key] for before, after in pairs]
    kept = "images to keep" if one.by_samples else "the classes to keep"
    reason = (
        f"Accuracy on {kept} {one.metrics[key]:.1f} % (original: {original.metrics[key]:.1f} %): "
        f"{mean(lost):.1f} points lost{_range(lost)}."
    )
    cases: tuple[tuple[bool, Level], ...] = (
        (min(lost) <= SPARED and max(lost) > KEEPS, "unknown"),
        (mean(lost) <= SPARED, "good"),
        (mean(lost) <= KEEPS, "part"),
    )
    return UTILITY.of(next((level for fits, level in cases if fits), "bad"), reason)


def _range(lost: list[float]) -> str:
    return f", {min(lost):.1f} to {max(lost):.1f} over the repetitions" if len(lost) > 1 else ""


def _repetitions(count: int) -> str:
    return f"{count} repetition{'s' * (count != 1)}"
