"""unlearn <method>: make the model forget the chosen classes by one method."""

import sys
from pathlib import Path

import torch

from unlearning.data.manifest import load_manifest
from unlearning.engine.launch import launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.resume import resume_state
from unlearning.engine.run import Run
from unlearning.errors import run_stage
from unlearning.methods import method_config, method_program
from unlearning.models.checkpoint import Checkpoint, load_checkpoint, new_header
from unlearning.params_file import load_params
from unlearning.seeds import derive_seed


def main() -> None:
    name, params, manifest = sys.argv[1], load_params(), load_manifest()
    config, outputs = method_config(name), Outputs(name)
    path = Path("models") / f"{params.methods[name].start}.safetensors"
    start, where = load_checkpoint(path, manifest), launch(params.precision)
    torch.manual_seed(derive_seed(params.seed, "initial weights", name))
    identity = params.model_dump(include={"seed", "precision"}) | {name: config.model_dump()}
    identity |= {"forget": manifest.forget_classes}
    resume = resume_state(f"unlearn@{name}", identity, [path])
    run = Run(name, where, manifest, start.model, params.seed, resume, start.modules, params.data.workers)
    run.drive(method_program(name)(run, config))
    if where.main:
        header = new_header(start.header.architecture, manifest, f"unlearn@{name}", config.model_dump())
        outputs.write(Checkpoint(header, start.model, modules=None), run)
        resume.clear()


if __name__ == "__main__":
    run_stage(main)
