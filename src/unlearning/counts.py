"""How many images there are to train on, and how many optimiser steps a pass over them makes."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Counts:
    """Images of the training split to forget and to retain, and of the splits that judge."""

    forget: int
    retain: int
    judging: int = 0  # validation and test

    @property
    def training(self) -> int:
        return self.forget + self.retain

    def steps(self, part: Literal["all", "forget", "retain"], batch_size: int) -> int:
        """Return the number of batches in a pass, as `BatchSchedule.steps` has it: full ones, or one of all."""
        size = {"all": self.training, "forget": self.forget, "retain": self.retain}[part]
        return max(1, size // batch_size)
