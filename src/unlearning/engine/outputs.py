"""What a training stage leaves behind: a checkpoint a seed, curves and cost, in the places dvc.yaml names."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearning.engine.curves import write_curves
from unlearning.engine.repetitions import place_all
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.files import sha256_known, write_json
from unlearning.models.checkpoint import CHECKPOINTS, Checkpoint, checkpoint_path, save_checkpoint
from unlearning.records.cost import cost_record

COST = Path("metrics/cost")
CURVES = Path("plots/curves")
CHECKPOINT, RUN = "model.safetensors", "run.json"  # what one seed leaves in its folder


@dataclass(frozen=True)
class Outputs:
    """The files of the model `name`; made first, so that a folder that cannot be written to costs no training."""

    name: str

    def __post_init__(self) -> None:
        for folder in (CHECKPOINTS, COST, CURVES):
            _require_writable(folder)

    @property
    def paths(self) -> list[Path]:
        """What `collect` writes."""
        return [CHECKPOINTS / self.name, COST / f"{self.name}.json", CURVES / f"{self.name}.csv"]

    def write(self, folder: Path, checkpoint: Checkpoint, run: Run | None) -> None:
        """Write what one seed leaves into its folder; a model that was given has no run: no curves, no cost."""
        save_checkpoint(folder / CHECKPOINT, checkpoint)
        rows, cost = (run.progress.rows, run.cost()) if run else ([], None)
        write_json(folder / RUN, {"rows": rows, "cost": cost, "split": checkpoint.header.split})

    def collect(self, folders: dict[int, Path]) -> None:
        """Put what the seeds left, {seed: folder}, in the places dvc.yaml names."""
        place_all(folders, CHECKPOINT, CHECKPOINTS / self.name)
        runs: dict[int, Any] = {seed: json.loads((folder / RUN).read_text()) for seed, folder in folders.items()}
        write_curves(CURVES / f"{self.name}.csv", {seed: run["rows"] for seed, run in runs.items()})
        write_json(COST / f"{self.name}.json", {seed: self._record(seed, run) for seed, run in runs.items()})

    def _record(self, seed: int, run: dict[str, Any]) -> dict[str, Any]:
        checkpoint = sha256_known(checkpoint_path(self.name, seed))
        chain = {"model": self.name, "seed": seed, "split": run["split"], "checkpoint": checkpoint}
        return cost_record(chain, run["cost"])


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror}); check what is in its place") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"no permission to write into {folder}; check who owns it")
