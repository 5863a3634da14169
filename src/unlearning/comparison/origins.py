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
    """One model of one seed; hashes are SHA-256 of files."""

    model: str
    seed: int
    checkpoint: str
    original: str  # the original's checkpoint
    features: str  # metrics/features/<model>/<seed>.safetensors
    split: str


def chain_of(models: Iterable[str], seeds: list[int], manifest: Manifest) -> list[Link]:
    """Return the link of each model and seed; raises InputError like `measured.read_measured`."""
    chains = {(name, seed): read_measured(name, seed, manifest)[0].chain for name in models for seed in seeds}
    return [
        Link(name, seed, one.checkpoint, one.original, one.features, one.split) for (name, seed), one in chains.items()
    ]


def runs_of(chain: Iterable[Link]) -> list[tuple[Link, RunRecord | None]]:
    """Return each link with the run that made its checkpoint; None where none is recorded."""
    return [(link, _run_of(link)) for link in chain]


def _run_of(link: Link) -> RunRecord | None:
    path = str(CHECKPOINTS / link.model / f"{link.seed}.safetensors")
    runs = (read_run(stage) for stage in _stages(link.model))
    return next((run for run in runs if run is not None and run.outputs.get(path) == link.checkpoint), None)


def _stages(name: str) -> list[str]:
    return [f"train@{name}"] if name in REFERENCES else [f"unlearn@{name}", f"audit@{name}"]
