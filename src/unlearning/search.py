"""Choose a method's learning rate and number of epochs on the validation split: `make search METHOD=cu`.

Several names, or `all`, are searched one after the other. Every method gets the same budget and ranges (block `search`
of params.yaml), every trial a run from the method's start checkpoint in each seed and precision. Criterion, averaged
over these: the validation retain accuracy, less `forget_weight` times the forget accuracy. The test split and the
retrained model are never looked at. Trials lie in an SQLite file per method, so an interrupted search goes on where it
was, and several can run at once.
"""

import copy
import csv
import sys
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
import torch

from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import Manifest, load_manifest
from unlearning.engine.launch import launch
from unlearning.engine.resume import ResumeState, identity_key
from unlearning.engine.run import Run
from unlearning.engine.validation import accuracy, validate
from unlearning.errors import Diverged, InputError, run_stage
from unlearning.files import write_atomically
from unlearning.methods import method_config, method_program
from unlearning.models.checkpoint import Checkpoint, load_checkpoint
from unlearning.params import Params, Recipe
from unlearning.params_file import load_params
from unlearning.seeds import derive_seed

DATABASES = Path(".scratch/search")
EVERY = "all"
RESULTS = Path("metrics/search")
DIVERGED = -10_000.0  # score of a trial whose loss stopped being finite: below every other


@dataclass(frozen=True)
class Outcome:
    """What one run, or a trial of several, reached; percent."""

    forget_acc: float  # mean of training and validation split
    retain_acc: float  # of the validation split

    def score(self, forget_weight: float) -> float:
        """Return the criterion."""
        return self.retain_acc - forget_weight * self.forget_acc


def main() -> None:
    params, manifest = load_params(), load_manifest()
    names = list(params.methods) if sys.argv[1:] == [EVERY] else sys.argv[1:]
    if not names:
        raise InputError(f"which method? make search METHOD=cu, or METHOD={EVERY}")
    configs = {name: method_config(name) for name in names}
    for name in names:
        if name not in params.methods:
            raise InputError(f"methods: {name!r} is no row of params.yaml; add it with what it starts from")
    if not len(manifest.select("validation", "forget")):
        raise InputError("the validation split holds no forget image; set data.validation_fraction above 0")
    for name, config in configs.items():
        print(search(name, config, params, manifest))


def search(name: str, config: Recipe, params: Params, manifest: Manifest) -> str:
    """Run the trials that are missing; returns the best values as lines for params.yaml."""
    start = Path("models") / f"{params.methods[name].start}.safetensors"
    study = open_study(name, params, config, start)
    checkpoint, space = load_checkpoint(start, manifest), params.search

    def objective(trial: optuna.Trial) -> float:
        lr = float(f"{trial.suggest_float('lr', space.lr_min, space.lr_max, log=True):.2g}")
        epochs = trial.suggest_int("epochs", 1, space.epochs_max)
        trial.set_user_attr("lr", lr)
        tried = config.model_copy(update={"lr": lr, "epochs": epochs})
        try:
            outcome = run_trial(name, params, manifest, checkpoint, tried)
        except Diverged:
            return DIVERGED
        trial.set_user_attr("forget_acc", outcome.forget_acc)
        trial.set_user_attr("retain_acc", outcome.retain_acc)
        return outcome.score(space.forget_weight)

    finished = len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))
    study.optimize(objective, n_trials=max(0, space.trials - finished), show_progress_bar=True)
    return write_results(name, study)


def open_study(name: str, params: Params, config: Recipe, start: Path) -> optuna.Study:
    """Return the study of exactly this method, settings, start and code, with the trials it already has."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    DATABASES.mkdir(parents=True, exist_ok=True)
    settings = params.model_dump(include={"seed", "search"}) | config.model_dump(exclude={"lr", "epochs"})
    key = identity_key(settings, [start, Path("data/forget.json")])
    storage = optuna.storages.RDBStorage(f"sqlite:///{DATABASES / name}.db")
    study = optuna.create_study(storage=storage, study_name=f"{name}-{key}", direction="maximize", load_if_exists=True)
    study.sampler = optuna.samplers.TPESampler(seed=derive_seed(params.seed, name, len(study.trials)) % 2**32)
    if not study.trials:
        space = params.search  # the values in use come first: the search never ends below them
        lr = min(max(config.lr, space.lr_min), space.lr_max)
        study.enqueue_trial({"lr": lr, "epochs": min(config.epochs, space.epochs_max)})
    return study


def run_trial(name: str, params: Params, manifest: Manifest, start: Checkpoint, config: Recipe) -> Outcome:
    """Run the method in each seed and precision; returns the means."""
    runs = [
        run_once(name, params.seed + seed, precision, manifest, start, config)
        for seed in range(params.search.seeds)
        for precision in params.search.precisions
    ]
    return Outcome(mean(run.forget_acc for run in runs), mean(run.retain_acc for run in runs))


def run_once(name: str, seed: int, precision: str, manifest: Manifest, start: Checkpoint, config: Recipe) -> Outcome:
    """Run the method once, as stages/unlearn.py does but without files, and look at what it reached."""
    where, fresh = launch(precision), copy.deepcopy(start)
    torch.manual_seed(derive_seed(seed, "initial weights", name))
    with tempfile.TemporaryDirectory() as scratch:
        resume = ResumeState(Path(scratch))
        run = Run(name, where, manifest, fresh.model, seed, resume, fresh.modules, show_progress=False)
        run.drive(method_program(name)(run, config))
    with where.autocast():
        reached = validate(run.model, ImageSplit(manifest, "validation", where.device), manifest)
        trained = accuracy(run.model, ImageSplit(manifest, "train", where.device), manifest.select("train", "forget"))
    return Outcome(mean([trained, reached["validation_forget_acc"]]), reached["validation_retain_acc"])


def write_results(name: str, study: optuna.Study) -> str:
    """Write metrics/search/<method>.csv and .yaml; returns the text of the latter: lines for params.yaml."""
    trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    columns = ["trial", "lr", "epochs", "forget_acc", "retain_acc", "score"]

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(_row(trial) for trial in trials)

    write_atomically(RESULTS / f"{name}.csv", write)
    best = study.best_trial
    text = f"{name}:\n  epochs: {best.params['epochs']}\n  lr: {Decimal(str(best.user_attrs['lr'])):f}\n"
    write_atomically(RESULTS / f"{name}.yaml", lambda path: path.write_text(text, encoding="utf-8"))
    return text


def _row(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    row: dict[str, Any] = {"trial": trial.number, "epochs": trial.params["epochs"], "score": f"{trial.value:.4f}"}
    return row | {key: f"{value:.6g}" for key, value in trial.user_attrs.items()}


if __name__ == "__main__":
    run_stage(main)
