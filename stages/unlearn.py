"""unlearn <method>: make the model forget the chosen classes by one method."""

import sys
from pathlib import Path

from unlearning.budgets import refuse_excess
from unlearning.data.manifest import FORGET, MANIFEST, load_manifest
from unlearning.engine.launch import launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.repetitions import Needs, repeat
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.methods import method_config, method_program, refuse_classes_alone
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, load_model, new_header
from unlearning.params_file import load_params
from unlearning.run_record import Recorder
from unlearning.seeds import derive_seed
from unlearning.stage import run_stage

import torch


def main() -> None:
    name, params, manifest = sys.argv[1], load_params(), load_manifest()
    record = Recorder(f"unlearn@{name}")
    if manifest.forget_samples:
        refuse_classes_alone([name])
    config, program, outputs = method_config(name), method_program(name), Outputs(name)
    refuse_excess(name, config, params, manifest)
    where, start_model, stage = launch(params.precision), params.methods[name].start, f"unlearn@{name}"
    outside = Path(f"data/inputs/models/{name}.json")  # tells images of a surrogate folder from others
    identity = {
        "precision": params.precision,
        "max_images_per_device": params.max_images_per_device,
        name: config.model_dump(),
        "forget": manifest.request,
        "pretrained": params.model.pretrained,
    }

    def work(seed: int, folder: Path, resume: ResumeState) -> None:
        start = load_model(start_model, seed, manifest)
        torch.manual_seed(derive_seed(seed, "initial weights", name))
        fresh = start.builder(params.model.pretrained)
        run = Run(
            name, where, manifest, start.model, seed, resume, start.modules, params.data.workers, fresh=fresh,
            checkpoint_minutes=params.checkpoint_minutes, max_images=params.max_images_per_device,
        )  # fmt: skip
        run.drive(program(run, config))
        if where.main:
            header = new_header(start.header.architecture, manifest, stage, config.model_dump(), seed=seed, start=start)
            outputs.write(folder, Checkpoint(header, start.model, modules=None), run)

    def needs(seed: int) -> Needs:
        return Needs(identity, [checkpoint_path(start_model, seed), outside])

    folders = repeat(stage, params.seeds, where, needs, work)
    if where.main:
        outputs.collect(folders)
        starts = [checkpoint_path(start_model, seed) for seed in params.seeds]
        inputs = [MANIFEST, FORGET, outside, *starts]
        record.write(identity, params.seeds, manifest.hash, inputs, outputs.paths, where)


if __name__ == "__main__":
    run_stage(main)
