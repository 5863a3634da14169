"""How far a run is: what its resume state holds beside the weights."""

from dataclasses import dataclass, field
from typing import Any

from unlearning.engine.curves import Row


@dataclass
class Progress:
    """Counts and notes of a run, from its beginning, interruptions included."""

    epochs: list[int] = field(default_factory=list)  # finished in each phase so far; `optimise` begins a phase
    step: int = 0  # optimiser steps
    samples: int = 0  # images that went through a forward pass with gradient
    seconds: float = 0.0  # of training, validation and saving left out
    rows: list[Row] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)  # what a program has to remember: tensors and plain values
