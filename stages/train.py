"""train <original|retrained|short_run>: train on all classes or on the retained ones, or take the user's own model."""

import sys
from pathlib import Path

import torch

from unlearning.data.manifest import MANIFEST, load_manifest, load_samples
from unlearning.engine.launch import Launch, launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.repetitions import Needs, repeat
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.errors import run_stage
from unlearning.models.backbone import architecture, build
from unlearning.models.checkpoint import Checkpoint, new_header
from unlearning.models.first_look import doubts, look, measured_normalisation, report
from unlearning.models.given import Given, GivenFile, load_given
from unlearning.params import Params, Reference
from unlearning.params_file import load_params
from unlearning.seeds import derive_seed
from unlearning.training.classifier import PARTS, RECIPES, train_classifier

MANIFESTS = {  # the original does not depend on what is forgotten
    "original": load_samples,
    "retrained": load_manifest,
    "short_run": load_manifest,
}


def main() -> None:
    name, params = sys.argv[1], load_params()
    given = {"original": params.original, "retrained": params.retrained}.get(name)
    if given is not None and given.checkpoint is not None:
        take(name, given, params)
    else:
        train(name, params)


def take(name: str, given: Reference, params: Params) -> None:
    manifest, outputs, where, stage = MANIFESTS[name](), Outputs(name), launch(params.precision), f"train@{name}"
    shape = architecture(params.model, manifest)
    files = {seed: GivenFile.of(given, number, name) for number, seed in enumerate(params.seeds)}
    seen: set[Path] = set()

    def needs(seed: int) -> Needs:
        file = files[seed]
        identity = {"model": params.model.model_dump(), "sha256": file.sha256, "checkpoint_key": file.checkpoint_key}
        return Needs(identity, [MANIFEST, file.path])

    def work(seed: int, folder: Path, resume: ResumeState) -> None:  # noqa: ARG001 - nothing to go on from
        file = files[seed]
        taken = load_given(file, shape, manifest)
        if not where.main:
            return
        if file.path not in seen:
            introduce(taken, file, params, where)
            seen.add(file.path)
        header = new_header(shape, manifest, stage, {}, taken.source)
        outputs.write(folder, Checkpoint(header, taken.model, None), run=None)

    folders = repeat(stage, params.seeds, where, needs, work)
    if where.main:
        outputs.collect(folders)


def introduce(taken: Given, file: GivenFile, params: Params, where: Launch) -> None:
    """Print what was made of the file and how well the model knows the classes, with what is doubtful about it."""
    manifest = load_manifest()  # for what is printed alone: the original does not depend on what is to be forgotten
    answers = look(taken.model, manifest, where, params.data.workers)
    print(*taken.notes, report(answers, manifest, f"{file.block}, {file.path}"), sep="\n")
    warnings = doubts(answers, manifest, knows_forget=MANIFESTS[file.block] is load_samples)
    if not taken.normalised:
        warnings += measured_normalisation(params, manifest)
    for warning in warnings:
        print(f"warning: {file.block}.checkpoint: {file.path}: {warning}", file=sys.stderr)


def train(name: str, params: Params) -> None:
    manifest, outputs, where, stage = MANIFESTS[name](), Outputs(name), launch(params.precision), f"train@{name}"
    shape, recipe = architecture(params.model, manifest), RECIPES[name](params)
    identity = params.model_dump(include={"precision", "model"})
    identity |= {"train": recipe.model_dump(), "forget": manifest.forget_classes}

    def work(seed: int, folder: Path, resume: ResumeState) -> None:
        torch.manual_seed(derive_seed(seed, "initial weights", name))
        model = build(shape, params.model.pretrained)
        run = Run(stage, where, manifest, model, seed, resume, workers=params.data.workers)
        run.drive(train_classifier(run, recipe, PARTS[name]))
        if where.main:
            header = new_header(shape, manifest, stage, recipe.model_dump())
            outputs.write(folder, Checkpoint(header, model, None), run)

    weights = [Path(params.model.pretrained)] if isinstance(params.model.pretrained, str) else []
    folders = repeat(stage, params.seeds, where, lambda _: Needs(identity, [MANIFEST, *weights]), work)
    if where.main:
        outputs.collect(folders)


if __name__ == "__main__":
    run_stage(main)
