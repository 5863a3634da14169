"""train <original|retrained|short_run>: train on all classes or on the retained ones, or take the user's own model."""

import sys
from pathlib import Path

from unlearning.budgets import refuse_excess
from unlearning.data.manifest import MANIFEST, load_manifest, load_samples
from unlearning.engine.launch import launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.repetitions import Needs, repeat
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.models.backbone import architecture, build
from unlearning.models.checkpoint import Checkpoint, new_header
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.run_record import Recorder
from unlearning.seeds import derive_seed
from unlearning.stage import run_stage
from unlearning.taking import Role, take
from unlearning.training.classifier import PARTS, RECIPES, train_classifier

import torch

MANIFESTS = {  # the original does not depend on what is forgotten
    "original": load_samples,
    "retrained": load_manifest,
    "short_run": load_manifest,
}


def main() -> None:
    name, params = sys.argv[1], load_params()
    given = {"original": params.original, "retrained": params.retrained}.get(name)
    if given is not None and given.checkpoint is not None:
        manifest = MANIFESTS[name]()
        take(Role(name, f"train@{name}", name, manifest, knows_forget=name == "original"), given, params)
    else:
        train(name, params)


def train(name: str, params: Params) -> None:
    manifest, outputs, where, stage = MANIFESTS[name](), Outputs(name), launch(params.precision), f"train@{name}"
    record = Recorder(stage)
    shape, recipe = architecture(params.model, manifest), RECIPES[name](params)
    refuse_excess("train", recipe, params, manifest)
    identity = params.model_dump(include={"precision", "max_images_per_device", "model"})
    identity |= {"train": recipe.model_dump(), "forget": manifest.request}

    def work(seed: int, folder: Path, resume: ResumeState) -> None:
        torch.manual_seed(derive_seed(seed, "initial weights", name))
        model = build(shape, params.model.pretrained)
        workers, minutes = params.data.workers, params.checkpoint_minutes
        run = Run(
            stage, where, manifest, model, seed, resume, workers=workers, checkpoint_minutes=minutes,
            max_images=params.max_images_per_device,
        )  # fmt: skip
        run.drive(train_classifier(run, recipe, PARTS[name]))
        if where.main:
            header = new_header(shape, manifest, stage, recipe.model_dump(), seed=seed)
            outputs.write(folder, Checkpoint(header, model, None), run)

    weights = [Path(params.model.pretrained)] if isinstance(params.model.pretrained, str) else []
    folders = repeat(stage, params.seeds, where, lambda _: Needs(identity, [MANIFEST, *weights]), work)
    if where.main:
        outputs.collect(folders)
        record.write(identity, params.seeds, manifest.hash, [MANIFEST, *weights], outputs.paths, where)


if __name__ == "__main__":
    run_stage(main)
