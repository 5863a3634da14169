"""train <original|retrained>: train the classifier on all classes or on the retained ones, or take the user's own."""

import sys

import torch

from unlearning.data.manifest import MANIFEST, load_manifest, load_samples
from unlearning.engine.launch import launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.resume import resume_state
from unlearning.engine.run import Run
from unlearning.errors import run_stage
from unlearning.models.backbone import architecture, build
from unlearning.models.checkpoint import Checkpoint, new_header
from unlearning.models.given import load_given
from unlearning.params import Params, Reference
from unlearning.params_file import load_params
from unlearning.seeds import derive_seed
from unlearning.training.classifier import PARTS, train_classifier

MANIFESTS = {"original": load_samples, "retrained": load_manifest}  # the original does not depend on what is forgotten


def main() -> None:
    name, params = sys.argv[1], load_params()
    given = {"original": params.original, "retrained": params.retrained}[name]
    if given.checkpoint is not None:
        take(name, given, params)
    else:
        train(name, params)


def take(name: str, reference: Reference, params: Params) -> None:
    manifest, outputs = MANIFESTS[name](), Outputs(name)
    shape = architecture(params.model, manifest)
    model, digest = load_given(reference, name, shape, manifest)
    outputs.write(Checkpoint(new_header(shape, manifest, f"train@{name}", {}, digest), model, None), run=None)


def train(name: str, params: Params) -> None:
    manifest, outputs, where = MANIFESTS[name](), Outputs(name), launch(params.precision)
    shape, recipe = architecture(params.model, manifest), params.train.model_dump()
    torch.manual_seed(derive_seed(params.seed, "initial weights", name))
    model = build(shape, params.model.pretrained)
    identity = params.model_dump(include={"seed", "precision", "model", "train"})
    resume = resume_state(f"train@{name}", identity | {"forget": manifest.forget_classes}, [MANIFEST])
    run = Run(f"train@{name}", where, manifest, model, params.seed, resume, workers=params.data.workers)
    run.drive(train_classifier(run, params.train, PARTS[name]))
    if where.main:
        outputs.write(Checkpoint(new_header(shape, manifest, run.name, recipe), model, None), run)
        resume.clear()


if __name__ == "__main__":
    run_stage(main)
