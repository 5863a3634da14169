"""The losses and logged values of the current epoch, and the alarm when a loss is not finite."""

from typing import Any

import torch
from torch import Tensor

from unlearning.engine.curves import Row
from unlearning.engine.launch import Launch
from unlearning.errors import Diverged

LOOK_EVERY = 20  # steps: each look waits for the device; on the CPU there is nothing to wait for


class LossWatch:
    """Collects the values of an epoch; `look` fetches the losses since the last look from the device."""

    def __init__(self, name: str, launch: Launch) -> None:
        self.name, self.launch = name, launch
        self.every = 1 if launch.device.type == "cpu" else LOOK_EVERY
        self.last_finite = float("nan")
        self._new: list[Tensor] = []  # on the device, not looked at
        self._seen: list[float] = []
        self._logs: dict[str, list[Tensor]] = {}

    def log(self, **values: Tensor) -> None:
        """Note further values of this step."""
        for name, value in values.items():
            self._logs.setdefault(name, []).append(value.detach())

    def add(self, loss: Tensor) -> bool:
        """Note the loss of a step; returns whether it is time to look."""
        self._new.append(loss.detach())
        return len(self._new) >= self.every

    def look(self, epoch: int, step: int) -> None:
        """Fetch the new losses, the last of them that of `step`; raises Diverged at the first that is not finite."""
        if not self._new:
            return
        losses = self.launch.average(torch.stack(self._new).float()).tolist()
        for steps_ago, loss in zip(reversed(range(len(losses))), losses, strict=True):
            if not abs(loss) < float("inf"):  # also when it is not a number
                raise Diverged(
                    f"{self.name}: the loss became {loss} at epoch {epoch}, step {step - steps_ago} "
                    f"(last finite loss {self.last_finite:.4g}); lower its lr, or set clip_norm"
                )
            self.last_finite = loss
        self._seen += losses
        self._new = []

    @property
    def state(self) -> dict[str, Any]:
        """What `go_on_from` needs; to be asked after a look."""
        logs = {name: torch.stack(values).cpu() for name, values in self._logs.items()}
        return {"seen": list(self._seen), "logs": logs, "last_finite": self.last_finite}

    def go_on_from(self, seen: list[float], logs: dict[str, Tensor], last_finite: float) -> None:
        """Take over the epoch of a watch that was saved."""
        self._seen, self._new, self.last_finite = list(seen), [], last_finite
        self._logs = {name: list(values.to(self.launch.device)) for name, values in logs.items()}

    def shown(self) -> dict[str, str]:
        """Return the newest values as text, for the progress bar."""
        newest = {name: float(values[-1]) for name, values in self._logs.items() if values}
        return {name: f"{value:.3f}" for name, value in {"loss": self.last_finite, **newest}.items()}

    def finish_epoch(self) -> Row:
        """Return the means over the epoch, and begin another."""
        row = {"loss": sum(self._seen) / len(self._seen)}
        row |= {name: float(torch.stack(values).float().mean()) for name, values in self._logs.items()}
        self._seen, self._logs = [], {}
        return row
