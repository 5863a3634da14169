"""pretrain_ec: train the Conv blocks of the EC modules by SupCon on all of D, the original model frozen."""

from pathlib import Path

from unlearning.budgets import refuse_excess
from unlearning.data.manifest import MANIFEST, load_samples
from unlearning.engine.launch import launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.repetitions import Needs, repeat
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, load_model, new_header
from unlearning.models.ec_modules import ec_modules
from unlearning.params_file import load_params
from unlearning.run_record import Recorder
from unlearning.seeds import derive_seed
from unlearning.stage import run_stage
from unlearning.training.ec_modules import pretrain_ec_modules

import torch


def main() -> None:
    params, manifest, outputs = load_params(), load_samples(), Outputs("ec_modules")
    record = Recorder("pretrain_ec")
    where, cfg = launch(params.precision), params.pretrain_ec
    refuse_excess("pretrain_ec", cfg, params, manifest)

    identity = params.model_dump(include={"precision", "max_images_per_device", "pretrain_ec"})

    def needs(seed: int) -> Needs:
        return Needs(identity, [checkpoint_path("original", seed)])

    def work(seed: int, folder: Path, resume: ResumeState) -> None:
        start = load_model("original", seed, manifest)
        torch.manual_seed(derive_seed(seed, "initial weights", "ec_modules"))
        modules = ec_modules(start.model)
        run = Run(
            "pretrain_ec", where, manifest, start.model, seed, resume, modules, params.data.workers,
            checkpoint_minutes=params.checkpoint_minutes, max_images=params.max_images_per_device,
        )  # fmt: skip
        run.drive(pretrain_ec_modules(run, cfg))
        if where.main:
            header = new_header(start.header.architecture, manifest, run.name, cfg.model_dump(), seed=seed, start=start)
            outputs.write(folder, Checkpoint(header, start.model, modules), run)

    folders = repeat("pretrain_ec", params.seeds, where, needs, work)
    if where.main:
        outputs.collect(folders)
        starts = [checkpoint_path("original", seed) for seed in params.seeds]
        record.write(identity, params.seeds, manifest.hash, [MANIFEST, *starts], outputs.paths, where)


if __name__ == "__main__":
    run_stage(main)
