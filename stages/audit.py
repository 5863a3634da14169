"""audit <name>: take a model made elsewhere as a row of the table, to be measured and attacked as every other."""

import sys

from unlearning.data.manifest import load_manifest
from unlearning.params_file import load_params
from unlearning.stage import run_stage
from unlearning.taking import Role, take


def main() -> None:
    name, params = sys.argv[1], load_params()
    role = Role(name, f"audit@{name}", f"audit.{name}", load_manifest(), knows_forget=False)
    take(role, params.audit[name], params)


if __name__ == "__main__":
    run_stage(main)
