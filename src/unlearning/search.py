"""Choose a method's hyper-parameters without the test split: `make search METHOD=cu`.

Several names, or `all` (controls left out), are searched one after the other. Every method gets the same budget and
ranges (block `search` of params.yaml) for its learning rate and epochs, and its file may name further parameters:
`SEARCH = {"lambda_cu": (0.5, 4.0)}`, floats on a logarithmic scale, or whole numbers. The values in use come first,
then steps from the best so far, then what a sampler makes of those (search_space.py). Run s of a setting starts from
the checkpoint of seed s. Settings are judged by `search.criterion` (selection.py); where several are within the noise
of the seeds, the cheapest is taken. Trials lie in an SQLite file per method, so an interrupted search goes on where it
was, and several can run at once (trials.py).
"""

import copy
import csv
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
import torch
from torch import nn

from unlearning.data.manifest import Manifest, load_manifest
from unlearning.engine.launch import Launch, launch
from unlearning.engine.resume import ResumeState, identity_key
from unlearning.engine.run import Run
from unlearning.errors import Diverged, InputError
from unlearning.files import write_atomically
from unlearning.inputs import Fingerprint, outside_of, prints_before, prints_now
from unlearning.methods import method_config, method_program
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, load_checkpoint
from unlearning.other_results import refuse_another_split
from unlearning.params import CONTROLS, Params, Recipe
from unlearning.params_file import load_params
from unlearning.search_space import Ranges, Values, in_use, ranges, suggest
from unlearning.seeds import derive_seed
from unlearning.selection import (
    COUNT_IDI,
    CRITERIA,
    NEED_RETRAINED,
    USE_RETRAINED,
    Judge,
    Reached,
    Scale,
    average,
    cheapest_of_the_best,
)
from unlearning.trials import DIVERGED, best_first, database_of, enqueue_next, finished, open_study, trials_kept_in

EVERY = "all"
RESULTS = Path("metrics/search")


@dataclass(frozen=True)
class Repetition:
    """Where the runs of one seed start, and what they are judged by."""

    seed: int
    start: Checkpoint
    fresh: Callable[[], nn.Module]  # builds the model as it was before any training
    where: Launch
    judge: Judge
    scale: Scale
    max_images: int | None  # computed at once


def search_all(names: list[str]) -> Iterator[str]:
    """Search one method after the other; yield the chosen values of each as lines for params.yaml.

    names: rows of `methods`, or `all`. Raises InputError before any trial for what none could be run with.
    """
    params, manifest = load_params(), load_manifest()
    if names == [EVERY]:
        names = [name for name in params.methods if name not in CONTROLS]
    configs = {name: method_config(name) for name in names}
    for name in names:
        if name not in params.methods:
            raise InputError(f"methods: {name!r} is no row of params.yaml; add it with what it starts from")
    if params.search.criterion in NEED_RETRAINED and "retrained" not in params.references:
        raise InputError(f"search.criterion: {params.search.criterion} needs a retrained model among `references`")
    if manifest.forget_samples:
        raise InputError(
            "forget.scenario: samples: settings are searched on held-out images of the classes to forget, and samples "
            "have none; search with a choice of classes, and copy the values"
        )
    if not len(manifest.select("validation", "forget")):
        raise InputError("the validation split holds no forget image; set data.validation_fraction above 0")
    refuse_another_split()
    for name, config in configs.items():
        with trials_kept_in(database_of(name)):
            chosen = search(name, config, params, manifest.holding_back("validation"))
        yield chosen


def search(name: str, config: Recipe, params: Params, manifest: Manifest) -> str:
    """Run the trials that are missing; returns the chosen values as lines for params.yaml."""
    space, bounds = params.search, ranges(name, config, params.search)
    study = open_study(name, key_of(name, params, config, bounds))
    repetitions = [
        repetition_of(name, seed, precision, params, manifest)
        for seed in seeds_tried(params)
        for precision in space.precisions
    ]

    def objective(trial: optuna.Trial) -> float:
        values = suggest(trial, bounds)
        scores, outcomes, samples = run_setting(name, config, values, repetitions, params, best_first(study))
        for key, value in {"values": values, "scores": scores, "samples": samples}.items():
            trial.set_user_attr(key, value)
        trial.set_user_attr("reached", asdict(average(outcomes)) if outcomes else {})
        return mean(scores)

    def ask_beside_the_best(*_: object) -> None:
        enqueue_next(study, in_use(config, bounds), bounds)

    ask_beside_the_best()
    study.optimize(
        objective, max(0, space.trials - len(finished(study))), callbacks=[ask_beside_the_best], show_progress_bar=True
    )
    return write_results(name, study)


def seeds_tried(params: Params) -> list[int]:
    """Return the seeds in which a setting is tried."""
    return params.seeds[: params.search.repetitions]


def repetition_of(name: str, seed: int, precision: str, params: Params, manifest: Manifest) -> Repetition:
    """Load what the runs of a seed start from and are set beside."""
    where, space = launch(precision), params.search
    start = load_checkpoint(checkpoint_path(params.methods[name].start, seed), manifest)
    judge, beside = Judge.of(start.model, manifest, where, space.max_samples), start.model
    if uses_retrained(params):
        beside = load_checkpoint(checkpoint_path("retrained", seed), manifest).model
    scale = Scale(judge.reached(beside), space.forget_weight)
    if counts_idi(params):
        judge = judge.informed(start.model, beside, params)
    fresh = start.builder(params.model.pretrained)
    return Repetition(seed, start, fresh, where, judge, scale, params.max_images_per_device)


def uses_retrained(params: Params) -> bool:
    """Return whether the criterion sets runs beside the retrained model, of which there is one."""
    return params.search.criterion in USE_RETRAINED and "retrained" in params.references


def counts_idi(params: Params) -> bool:
    """Return whether IDI is part of the score."""
    return params.search.criterion in COUNT_IDI and uses_retrained(params)


def key_of(name: str, params: Params, config: Recipe, bounds: Ranges) -> str:
    """Return a hash of exactly this method, settings, starts and code: trials of another are none of this search."""
    seeds = seeds_tried(params)
    goes_on = {"trials", "repetitions"}  # more trials go on from those there are; `seeds` tells repetitions apart
    pieces = {} if params.max_images_per_device is None else {"max_images": params.max_images_per_device}
    shared = pieces | {"seeds": seeds, "search": params.search.model_dump(exclude=goes_on)}
    if counts_idi(params):
        shared |= params.model_dump(include={"mutual_information", "idi"}) | {"layers": params.evaluate.layers}
    settings = shared | {"outside": outside_prints(name, config, params)} | config.model_dump(exclude=set(bounds))
    models = [params.methods[name].start, *(["retrained"] if uses_retrained(params) else [])]
    checkpoints = [checkpoint_path(model, seed) for model in models for seed in seeds]
    return identity_key(settings, [*checkpoints, Path("data/forget.json")])


def outside_prints(name: str, config: Recipe, params: Params) -> list[Fingerprint]:
    """Return by what a change of the images is known that the method reads from outside, such as a surrogate folder.

    Looked at now, not as the stage `inputs` has last seen them. Raises InputError, naming the key, for what is gone.
    """
    folder, reader = getattr(config, "surrogate", None), f"models/{name}"
    sources = outside_of(params, {name: folder} if folder else {})[reader]
    (prints,) = prints_now({reader: sources}, prints_before(), params.inputs).values()
    return prints


def run_setting(
    name: str, config: Recipe, values: Values, repetitions: list[Repetition], params: Params, first_to_beat: float
) -> tuple[list[float], list[Reached], int]:
    """Run a setting in each repetition; returns scores, what was reached, and the images with gradient of a run.

    It is given up after its first run when that is more than `search.give_up` points below `first_to_beat`.
    """
    tried = type(config).model_validate({**config.model_dump(), **values})
    scores: list[float] = []
    outcomes: list[Reached] = []
    samples = 0
    for repetition in repetitions:
        try:
            outcome, samples = run_once(name, repetition, tried)
        except Diverged:
            return [*scores, DIVERGED], outcomes, samples
        outcomes.append(outcome)
        scores.append(CRITERIA[params.search.criterion](outcome, repetition.scale))
        if scores[0] < first_to_beat - params.search.give_up:
            break
    return scores, outcomes, samples


def run_once(name: str, repetition: Repetition, config: Recipe) -> tuple[Reached, int]:
    """Run the method once, as stages/unlearn.py does but without files; returns what it reached and its images."""
    start = copy.deepcopy(repetition.start)
    torch.manual_seed(derive_seed(repetition.seed, "initial weights", name))
    with tempfile.TemporaryDirectory() as scratch:
        resume, manifest = ResumeState(Path(scratch)), repetition.judge.manifest.without_validation()
        run = Run(
            name, repetition.where, manifest, start.model, repetition.seed, resume, start.modules, show_progress=False,
            fresh=repetition.fresh, max_images=repetition.max_images,
        )  # fmt: skip
        run.drive(method_program(name)(run, config))
    return repetition.judge.reached(run.model), run.progress.samples


def write_results(name: str, study: optuna.Study) -> str:
    """Write metrics/search/<method>.csv and .yaml; returns the text of the latter: lines for params.yaml."""
    trials = finished(study)
    chosen = trials[
        cheapest_of_the_best(
            [_whole_scores(trial) for trial in trials], [trial.user_attrs["samples"] for trial in trials]
        )
    ]
    rows = [_row(trial, trial is chosen) for trial in trials]

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(RESULTS / f"{name}.csv", write)
    lines = [f"  {key}: {_plain(value)}\n" for key, value in chosen.user_attrs["values"].items()]
    text = f"{name}:\n{''.join(lines)}"
    write_atomically(RESULTS / f"{name}.yaml", lambda path: path.write_text(text, encoding="utf-8"))
    return text


def _whole_scores(trial: optuna.trial.FrozenTrial) -> list[float]:
    """Return the scores; of a setting that diverged one alone, as if given up: a mean of such scores says nothing."""
    scores: list[float] = trial.user_attrs["scores"]
    return [DIVERGED] if DIVERGED in scores else scores


def _row(trial: optuna.trial.FrozenTrial, chosen: bool) -> dict[str, Any]:
    attributes = trial.user_attrs
    row: dict[str, Any] = {"trial": trial.number, "chosen": "yes" if chosen else ""}
    row |= {key: _plain(value) for key, value in attributes["values"].items()}
    row |= {"score": f"{trial.value:.4f}", "runs": len(attributes["scores"]), "samples": attributes["samples"]}
    return row | {key: f"{value:.6g}" for key, value in attributes["reached"].items() if value is not None}


def _plain(value: float | int) -> str:
    """Return a number without an exponent."""
    return f"{Decimal(str(value)):f}"


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("search")
