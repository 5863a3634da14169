"""What a training stage leaves behind: checkpoint, curves and cost, in the places dvc.yaml names."""

import os
from dataclasses import dataclass
from pathlib import Path

from unlearning.engine.curves import write_curves
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.files import write_json
from unlearning.models.checkpoint import Checkpoint, save_checkpoint

COST = Path("metrics/cost")


@dataclass(frozen=True)
class Outputs:
    """The files of the model `name`; made first, so that a folder that cannot be written to costs no training."""

    name: str

    def __post_init__(self) -> None:
        for folder in {path.parent for path in (self.checkpoint, self.curves, self.cost)}:
            _require_writable(folder)

    @property
    def checkpoint(self) -> Path:
        return Path("models") / f"{self.name}.safetensors"

    @property
    def curves(self) -> Path:
        return Path("plots/curves") / f"{self.name}.csv"

    @property
    def cost(self) -> Path:
        return COST / f"{self.name}.json"

    def write(self, checkpoint: Checkpoint, run: Run | None) -> None:
        """Write all three; without a run (a model that was given) the curves are empty and the cost unknown."""
        save_checkpoint(self.checkpoint, checkpoint)
        write_curves(self.curves, run.progress.rows if run else [])
        write_json(self.cost, run.cost() if run else {})


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror}); check what is in its place") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"no permission to write into {folder}; check who owns it")
