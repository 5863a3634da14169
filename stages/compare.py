"""compare: everything that needs two models or more, then the table and the figures."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file

from unlearning.comparison import Evidence, compare_model
from unlearning.errors import InputError, run_stage
from unlearning.figures.cka_layers import draw_cka_layers
from unlearning.figures.table import markdown_table
from unlearning.files import write_atomically, write_json
from unlearning.params import REFERENCES, load_params


def main() -> None:
    params = load_params()
    names = [*REFERENCES, *params.methods]
    evidence = {name: read_evidence(name) for name in names}
    results = {name: compare_model(name, evidence, params.idi) for name in names}
    for name, result in results.items():
        write_json(Path(f"metrics/models/{name}.json"), result.metrics)
        write_json(Path(f"metrics/details/{name}.json"), result.details)
    shutil.copyfile(f"metrics/models/{params.headline}.json", "metrics/headline.json")
    table = markdown_table({name: result.metrics for name, result in results.items()})
    write_atomically(Path("metrics/table.md"), lambda path: path.write_text(table, encoding="utf-8"))
    curves = {name: result.details["cka_layers"] for name, result in results.items()}
    write_atomically(Path("plots/cka_layers.png"), lambda path: draw_cka_layers(curves, path))
    print(table)


def read_evidence(name: str) -> Evidence:
    try:
        raw = json.loads(Path(f"metrics/raw/{name}.json").read_text(encoding="utf-8"))
        cost = json.loads(Path(f"metrics/cost/{name}.json").read_text(encoding="utf-8"))
        return Evidence(raw, load_file(f"metrics/features/{name}.safetensors"), cost)
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} not found; run `dvc repro`, which evaluates {name} first") from None


if __name__ == "__main__":
    run_stage(main)
