"""pretrain_ec: train the Conv blocks of the EC modules by SupCon on all of D, the original model frozen."""

from pathlib import Path

import torch

from unlearning.data.manifest import load_samples
from unlearning.engine.launch import launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.resume import resume_state
from unlearning.engine.run import Run
from unlearning.errors import run_stage
from unlearning.models.checkpoint import Checkpoint, load_checkpoint, new_header
from unlearning.models.ec_modules import ec_modules
from unlearning.params_file import load_params
from unlearning.seeds import derive_seed
from unlearning.training.ec_modules import pretrain_ec_modules

ORIGINAL = Path("models/original.safetensors")


def main() -> None:
    params, manifest, outputs = load_params(), load_samples(), Outputs("ec_modules")
    start, where = load_checkpoint(ORIGINAL, manifest), launch(params.precision)
    torch.manual_seed(derive_seed(params.seed, "initial weights", "ec_modules"))
    modules = ec_modules(start.model)
    resume = resume_state("pretrain_ec", params.model_dump(include={"seed", "precision", "pretrain_ec"}), [ORIGINAL])
    run = Run("pretrain_ec", where, manifest, start.model, params.seed, resume, modules, params.data.workers)
    run.drive(pretrain_ec_modules(run, params.pretrain_ec))
    if where.main:
        header = new_header(start.header.architecture, manifest, run.name, params.pretrain_ec.model_dump())
        outputs.write(Checkpoint(header, start.model, modules), run)
        resume.clear()


if __name__ == "__main__":
    run_stage(main)
