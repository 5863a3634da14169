"""shadow <number>: train one shadow model on half of the training images and keep what it says of every image."""

import sys
from pathlib import Path

from unlearning.budgets import refuse_excess
from unlearning.data.batches import ImageSplit
from unlearning.data.manifest import MANIFEST, load_samples
from unlearning.engine.launch import launch
from unlearning.engine.repetitions import Needs, task_name
from unlearning.engine.resume import SCRATCH, ResumeState
from unlearning.engine.run import Run
from unlearning.models.backbone import architecture, build
from unlearning.params_file import load_params
from unlearning.run_record import Recorder
from unlearning.sealed_tensors import write_tensors
from unlearning.seeds import derive_seed
from unlearning.stage import run_stage
from unlearning.training.classifier import train_classifier
from unlearning.training.shadow import OUT, half_of, scaled_logits

import torch


def main() -> None:
    number, params, manifest = int(sys.argv[1]), load_params(), load_samples()
    name, seed, where = f"shadow@{number}", params.lira.seed, launch(params.precision)
    record = Recorder(name)
    refuse_excess("train", params.train, params, manifest)
    half = half_of(manifest, number, seed)
    torch.manual_seed(derive_seed(seed, "initial weights", name))
    model = build(architecture(params.model, manifest), params.model.pretrained)
    identity = params.model_dump(include={"precision", "max_images_per_device", "model", "train"}) | {"lira.seed": seed}
    weights = [Path(params.model.pretrained)] if isinstance(params.model.pretrained, str) else []
    resume = ResumeState(SCRATCH / task_name("shadow", number, Needs(identity, [MANIFEST, *weights])))
    run = Run(
        name, where, half, model, seed, resume, workers=params.data.workers,
        checkpoint_minutes=params.checkpoint_minutes, max_images=params.max_images_per_device,
    )  # fmt: skip
    run.drive(train_classifier(run, params.train, "retain"))
    if not where.main:
        return
    train, test = (ImageSplit(manifest, split, where.device, params.data.workers) for split in ("train", "test"))
    says = {
        "train": scaled_logits(run.model, train, params.train.batch_size, where),
        "train_out": torch.from_numpy(half.splits["train"].labels == OUT),
        "test": scaled_logits(run.model, test, params.train.batch_size, where),
    }
    path = Path(f"metrics/shadows/{number}.safetensors")
    write_tensors(path, says, {"number": number, "seed": seed, "split": manifest.hash})
    record.write(identity, [seed], manifest.hash, [MANIFEST, *weights], [path], where)
    resume.clear()


if __name__ == "__main__":
    run_stage(main)
