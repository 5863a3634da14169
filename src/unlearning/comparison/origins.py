"""Where the model of each row comes from: its file, the original's, the split, and the run that made it."""

from collections.abc import Iterable
from dataclasses import dataclass

from unlearning.comparison.measured import read_measured
from unlearning.data.manifest import Manifest
from unlearning.models.header import CHECKPOINTS
from unlearning.params import REFERENCES
from unlearning.run_record import RunRecord, read_run


@dataclass(frozen=True)
class Link:
    """One model of one seed."""

    model: str
    seed: int
    checkpoint: str  # SHA-256 of its file
    original: str  # SHA-256 of the original's
    split: str
    run: RunRecord | None  # that made the file; None where none is recorded


def links(models: Iterable[str], seeds: list[int], manifest: Manifest) -> list[Link]:
    """Return the chain of each model and seed; raises InputError like `measured.read_measured`."""
    found = []
    for name in models:
        runs = [run for run in map(read_run, _stages(name)) if run is not None]
        for seed in seeds:
            chain = read_measured(name, seed, manifest)[0].chain
            path = str(CHECKPOINTS / name / f"{seed}.safetensors")
            made_it = next((run for run in runs if run.outputs.get(path) == chain.checkpoint), None)
            found.append(Link(name, seed, chain.checkpoint, chain.original, chain.split, made_it))
    return found


def _stages(name: str) -> list[str]:
    return [f"train@{name}"] if name in REFERENCES else [f"unlearn@{name}", f"audit@{name}"]
