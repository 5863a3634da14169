"""evaluate <model>: everything that one model alone tells: accuracies, probes, attacks, features, information."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import FORGET, MANIFEST, Manifest, load_manifest
from unlearning.data.samples import balanced_sample, kept_sample
from unlearning.engine.launch import Launch, launch
from unlearning.engine.repetitions import Needs, place_all, repeat
from unlearning.engine.resume import ResumeState
from unlearning.engine.validation import validate
from unlearning.errors import run_stage
from unlearning.evaluation.attacks import prototype_curves, target
from unlearning.evaluation.batchnorm import after_recalibration
from unlearning.evaluation.forward_pass import forward_pass
from unlearning.evaluation.information import ESTIMATORS, measure_layers, too_few
from unlearning.evaluation.loss_barrier import predictors, retained_batches
from unlearning.evaluation.numbers import (
    accuracies,
    diagnostics,
    linear_probes,
    membership,
    shared_of,
    with_masks,
)
from unlearning.evaluation.relearning import relearning_curves
from unlearning.evaluation.retain_only import after_retain_only
from unlearning.evaluation.shared import PENULTIMATE, save_shared
from unlearning.evaluation.stopwatch import Stopwatch
from unlearning.files import write_json
from unlearning.metrics.alone.mutual_information import label_entropy
from unlearning.models.checkpoint import checkpoint_path, load_checkpoint
from unlearning.models.taps import check_layers, evaluation_layers
from unlearning.params import Params
from unlearning.params_file import load_params

import numpy as np
import torch

PARTS = 6  # of what is measured of a model, one after the other
FEATURES, RAW = "features.safetensors", "raw.json"  # what one seed leaves in its folder


def main() -> None:
    name, params, manifest = sys.argv[1], load_params(), load_manifest()
    where = launch(params.precision)
    identity = params.model_dump(
        include={
            "precision",
            "evaluate",
            "linear_probe",
            "attacks",
            "prototype",
            "relearn",
            "retain_only",
            "batchnorm",
            "predictors",
            "mutual_information",
        }
    )
    watch = Stopwatch(where, PARTS)

    def work(seed: int, folder: Path, _: ResumeState) -> None:
        with watch.round(f"{name}, seed {seed}"):
            measure(name, seed, folder, params, manifest, where, watch)

    def needs(seed: int) -> Needs:
        return Needs(identity, [MANIFEST, FORGET, *(checkpoint_path(model, seed) for model in ("original", name))])

    folders = repeat(f"evaluate@{name}", params.seeds, where, needs, work)
    place_all(folders, FEATURES, Path("metrics/features") / name)
    raw = {seed: json.loads((folder / RAW).read_text(encoding="utf-8")) for seed, folder in folders.items()}
    write_json(Path(f"metrics/raw/{name}.json"), raw)
    print(f"evaluate {name}: {watch.report()}")


def measure(
    name: str, seed: int, folder: Path, params: Params, manifest: Manifest, where: Launch, watch: Stopwatch
) -> None:
    cfg, critics = params.evaluate, params.mutual_information
    model = load_checkpoint(checkpoint_path(name, seed), manifest).model
    layers = check_layers(model, cfg.layers or evaluation_layers(model), "evaluate.layers")
    measured = layers[-3:] if critics.layers is None else critics.layers
    if manifest.forget_samples:  # they leave their classes, and so the information, behind
        measured = []
    measured = check_layers(model, measured, "mutual_information.layers")

    what = f"{name}, seed {seed}, on the"
    train, test = (ImageSplit(manifest, split, where.device, params.data.workers) for split in ("train", "test"))
    attackers = manifest.holding_back("test")  # what judges an attack, the attacker has not
    known = attackers.select("train")
    kept_train = known[kept_sample(len(known), cfg.max_samples, cfg.seed)]
    kept_test = kept_sample(len(test.labels), cfg.max_samples, cfg.seed)
    forget, retain = manifest.select("train", "forget"), manifest.select("train", "retain")
    sample = balanced_sample(forget, retain, critics.max_samples, critics.seed)
    with watch.part("forward passes"):
        on_train = forward_pass(
            model, train, where, cfg.batch_size, f"{what} training split", kept_train, layers, measured, sample,
            pool_maps=not ESTIMATORS[critics.estimator].on_maps,
        )  # fmt: skip
        on_test = forward_pass(model, test, where, cfg.batch_size, f"{what} test split", kept_test, layers)
        with where.autocast():
            held_out = validate(model, ImageSplit(manifest, "validation", where.device, params.data.workers), manifest)
    with watch.part("metrics"):
        passes = with_masks(on_train, on_test, manifest)
        raw = accuracies(passes, manifest) | diagnostics(passes) | {"validation": held_out}
        raw["linear_probe"] = linear_probes(passes, len(manifest.classes), params.linear_probe, cfg.seed, where.device)
        raw["membership"] = membership(passes, cfg.seed)
    with watch.part("attacks"):
        victim = target(model, attackers, passes, train, test, params.attacks, where)
        raw["prototype"] = prototype_curves(victim, params.attacks, params.prototype)
        raw["retain_only"] = asdict(after_retain_only(victim, params.attacks, params.retain_only))
        raw["batchnorm"] = asdict(after_recalibration(victim, params.attacks, params.batchnorm))
    with watch.part("relearning"):
        raw["relearn"] = relearning_curves(
            victim, params.attacks, params.relearn, params.prototype, params.linear_probe
        )
    with watch.part("predictors"):
        original = load_checkpoint(checkpoint_path("original", seed), manifest).model
        retained = retained_batches(manifest, train, params.predictors, cfg.batch_size)
        raw["predictors"] = predictors(model, original, retained, where, params.predictors.points)
    with watch.part("IDI's critics"):
        is_forget = torch.from_numpy(np.isin(sample, forget)).long()
        raw["mutual_information"] = measure_layers(model, on_train.maps, is_forget, critics, where.device)
        raw["label_entropy"] = label_entropy(is_forget)
        raw["too_few"] = [reason for reason in [too_few(is_forget)] if reason and measured]

    save_shared(shared_of(passes, cfg.shared_samples, cfg.seed), folder / FEATURES)
    write_json(folder / RAW, {"layers": [*layers, PENULTIMATE], **raw})


if __name__ == "__main__":
    run_stage(main)
