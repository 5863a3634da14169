"""inputs: write down by what a change of the files outside git and DVC is known, a small file for each reader of them.

DVC runs this stage every time, and then only what reads a file that has changed. It runs first, so it is also where
results of another split are taken away.
"""

import os
from pathlib import Path

from unlearning.files import write_json
from unlearning.inputs import changed_keys, outside_of, prints_before, prints_now, surrogates_of
from unlearning.other_results import remove_results_of_another_split
from unlearning.params_file import load_params, load_values
from unlearning.stage import run_stage

BESIDE_ITS_FILE = "inputs"  # how DVC names this stage where it was called in data/; elsewhere with the path of dvc.yaml


def main() -> None:
    params = load_params()
    before = prints_before()
    now = prints_now(outside_of(params, surrogates_of(params, load_values())), before, params.inputs)
    for path in before.keys() - now.keys():
        path.unlink()
    for path in now:
        if before.get(path) != now[path]:  # DVC hashes again what was written
            write_json(path, now[path])
    for place in changed_keys(before, now):
        print(f"{place}: changed; what reads it runs again")
    tell(remove_results_of_another_split())
    if os.environ.get("DVC_STAGE") == BESIDE_ITS_FILE:
        print("this is the only stage of data/dvc.yaml; for the others call DVC in the root of the repository")


def tell(removed: list[Path]) -> None:
    """Print that results are gone, and how they come back."""
    if removed:
        folders = " and ".join(sorted({path.parts[0] for path in removed}))
        print(
            f"the results in {folders} were of another split than params.yaml and its files give now: removed. Back by "
            "the old values and `git checkout dvc.lock metrics plots`, or `dvc repro`"
        )


if __name__ == "__main__":
    run_stage(main)
