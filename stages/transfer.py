"""transfer <model> --name <set> ...: k-NN accuracy of the model's frozen features on one set of `downstream:`."""

import argparse
from pathlib import Path

from unlearning.data.manifest import load_manifest
from unlearning.engine.launch import launch
from unlearning.errors import InputError
from unlearning.files import write_json
from unlearning.models.checkpoint import checkpoint_path, load_checkpoint
from unlearning.params_file import load_params
from unlearning.stage import run_stage
from unlearning.transfer import transfer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--name", required=True)
    given, _ = parser.parse_known_args()  # dvc.yaml gives the whole entry, so that a changed one is another command
    params, manifest = load_params(), load_manifest()
    entry = next((entry for entry in params.downstream if entry.name == given.name), None)
    if entry is None:
        raise InputError(f"downstream: params.yaml has no set named {given.name!r}")
    where, numbers = launch(params.precision), {}
    for seed in params.seeds:
        model = load_checkpoint(checkpoint_path(given.model, seed), manifest).model
        name = f"{given.model}, seed {seed}"
        numbers[seed] = {"knn_acc": transfer(name, model, entry, manifest, params, where)}
    write_json(Path(f"metrics/transfer/{entry.name}/{given.model}.json"), numbers)


if __name__ == "__main__":
    run_stage(main)
