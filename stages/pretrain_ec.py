"""pretrain_ec: train the Conv blocks of the EC modules by SupCon on all of D, the original model frozen."""

from pathlib import Path

from unlearning.budgets import refuse_excess
from unlearning.data.manifest import load_samples
from unlearning.engine.launch import launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.repetitions import Needs, repeat
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, load_checkpoint, new_header
from unlearning.models.ec_modules import ec_modules
from unlearning.params_file import load_params
from unlearning.seeds import derive_seed
from unlearning.stage import run_stage
from unlearning.training.ec_modules import pretrain_ec_modules

import torch


def main() -> None:
    params, manifest, outputs = load_params(), load_samples(), Outputs("ec_modules")
    where, cfg = launch(params.precision), params.pretrain_ec
    refuse_excess("pretrain_ec", cfg, params, manifest)

    def needs(seed: int) -> Needs:
        return Needs(params.model_dump(include={"precision", "pretrain_ec"}), [checkpoint_path("original", seed)])

    def work(seed: int, folder: Path, resume: ResumeState) -> None:
        start = load_checkpoint(checkpoint_path("original", seed), manifest)
        torch.manual_seed(derive_seed(seed, "initial weights", "ec_modules"))
        modules = ec_modules(start.model)
        run = Run(
            "pretrain_ec", where, manifest, start.model, seed, resume, modules, params.data.workers,
            checkpoint_minutes=params.checkpoint_minutes,
        )  # fmt: skip
        run.drive(pretrain_ec_modules(run, cfg))
        if where.main:
            header = new_header(start.header.architecture, manifest, run.name, cfg.model_dump())
            outputs.write(folder, Checkpoint(header, start.model, modules), run)

    folders = repeat("pretrain_ec", params.seeds, where, needs, work)
    if where.main:
        outputs.collect(folders)


if __name__ == "__main__":
    run_stage(main)
