"""transfer <model> --name <set> ...: k-NN accuracy of the model's frozen features on one set of `downstream:`."""

import argparse
from pathlib import Path

from unlearning.data.manifest import FORGET, MANIFEST, load_manifest
from unlearning.engine.launch import launch
from unlearning.files import write_json
from unlearning.models.checkpoint import checkpoint_path, load_model
from unlearning.params_file import load_params
from unlearning.records.transferred import transfer_record
from unlearning.run_record import Recorder
from unlearning.sources.downstream import set_named
from unlearning.stage import run_stage
from unlearning.transfer import transfer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--name", required=True)
    given, _ = parser.parse_known_args()  # dvc.yaml gives the whole entry, so that a changed one is another command
    params, manifest = load_params(), load_manifest()
    entry = set_named(given.name, params.downstream)
    record = Recorder(f"transfer@{entry.name}/{given.model}")
    where, numbers = launch(params.precision), {}
    for seed in params.seeds:
        own = load_model(given.model, seed, manifest)
        chain = {"model": given.model, "seed": seed, "split": manifest.hash, "checkpoint": own.sha256}
        accuracy = transfer(f"{given.model}, seed {seed}", own.model, entry, manifest, params, where)
        if accuracy is None:  # another process counts
            continue
        numbers[seed] = transfer_record(chain, entry.name, accuracy)
    if not where.main:
        return
    path = Path(f"metrics/transfer/{entry.name}/{given.model}.json")
    write_json(path, numbers)
    models = [checkpoint_path(given.model, seed) for seed in params.seeds]
    chosen = params.model_dump(include={"precision", "knn"}) | {"set": entry.model_dump()}
    record.write(chosen, params.seeds, manifest.hash, [MANIFEST, FORGET, *models], [path], where)


if __name__ == "__main__":
    run_stage(main)
