"""How long the trainings ahead will take, from a few of their steps: `unlearning estimate`.

Needs data/split and the original model: `dvc repro train@original` makes them, or takes yours. For each method of
params.yaml the first steps are run on a copy and thrown away.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearning.data.manifest import Manifest, load_manifest
from unlearning.engine.launch import launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Rehearsal, Run
from unlearning.forecast import readable
from unlearning.methods import method_config, method_program
from unlearning.models.checkpoint import checkpoint_path, load_checkpoint
from unlearning.models.ec_modules import ec_modules
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.training.ec_modules import pretrain_ec_modules

STEPS = 5  # of which the first, which warms up, does not count


def estimate() -> Iterator[str]:
    """Yield a line for each training of params.yaml that is ahead, then one for all."""
    params, manifest = load_params(), load_manifest()
    total = 0.0
    for name, one in rehearsals(params, manifest).items():
        total += one.seconds * len(params.seeds)
        times = f" x {len(params.seeds)} seeds" if len(params.seeds) > 1 else ""
        yield f"{name}: {one.steps} steps of {one.step:.2g} s, about {readable(one.seconds)}{times}"
    yield f"together at least {readable(total)}, and the evaluations; see the progress bars"


def rehearsals(params: Params, manifest: Manifest) -> dict[str, Rehearsal]:
    """Return what each method takes, and pre-training the EC modules where a method starts from them."""
    found = {}
    if any(method.start == "ec_modules" for method in params.methods.values()):
        with run_on_a_copy("pretrain_ec", params, manifest, with_modules=True) as run:
            found["pretrain_ec"] = run.rehearse(pretrain_ec_modules(run, params.pretrain_ec), STEPS)
    for name, method in params.methods.items():
        with run_on_a_copy(name, params, manifest, with_modules=method.start == "ec_modules") as run:
            found[name] = run.rehearse(method_program(name)(run, method_config(name)), STEPS)
    return found


@contextmanager
def run_on_a_copy(name: str, params: Params, manifest: Manifest, with_modules: bool) -> Iterator[Run]:
    """Give a run that starts from the first seed's original model, with fresh EC modules, and writes nothing."""
    start, where = load_checkpoint(checkpoint_path("original", params.seeds[0]), manifest), launch(params.precision)
    modules = ec_modules(start.model) if with_modules else None
    with tempfile.TemporaryDirectory() as scratch:
        resume, fresh = ResumeState(Path(scratch)), start.builder(params.model.pretrained)
        yield Run(
            name, where, manifest, start.model, params.seeds[0], resume, modules, show_progress=False, fresh=fresh,
            max_images=params.max_images_per_device,
        )  # fmt: skip


if __name__ == "__main__":
    from unlearning.commands import run_command

    run_command("estimate")
