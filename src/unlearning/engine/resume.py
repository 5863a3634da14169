"""State of an unfinished run, in a scratch folder that DVC does not know.

Not a DVC output: `persist: true` would resume from a finished run under new parameters without a word. The folder's
name holds `identity_key`, a hash of all the run depends on: changed parameters, inputs or code never meet an old state.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unlearning.files import sha256_of, write_atomically

SCRATCH = Path(".scratch")
SAVE_SHARE = 0.05  # of the run's time, at most, goes into saving


class ResumeState:
    """Save, load and clear the state of one run; only tensors and plain values, read back without executing code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "state.pt"
        self._last = (time.monotonic(), 0.0)  # when a save ended, and how long it took

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state atomically."""
        write_atomically(self.path, lambda temporary: torch.save(state, temporary))

    def save_sometimes(self, state: Callable[[], dict[str, Any]]) -> bool:
        """Save, unless the last time is so short ago that saving would take more than its share of the run's time.

        Returns whether it has saved.
        """
        when, took = self._last
        started = time.monotonic()
        if started - when < took / SAVE_SHARE:
            return False
        self.save(state())
        self._last = (time.monotonic(), time.monotonic() - started)
        return True

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, or None; a state that cannot be read is as good as none."""
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # a broken zip raises many types, and the run is merely started again
            print(f"warning: {self.path} cannot be read ({error}); starting from the beginning", file=sys.stderr)
            return None
        return state

    def clear(self) -> None:
        """Forget the run: it is finished and saved."""
        shutil.rmtree(self.folder, ignore_errors=True)


def identity_key(params: dict[str, Any], inputs: list[Path]) -> str:
    """Return a short hash of parameters, input files, the code that is loaded, and the version of torch."""
    identity = {
        "params": params,
        "inputs": {str(path): sha256_of(path) for path in inputs if path.is_file()},
        "code": {name: sha256_of(path) for name, path in _own_modules()},
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _own_modules() -> list[tuple[str, Path]]:
    own = (__name__.partition(".")[0], "__main__")  # the stage's script is __main__
    modules = [(name, getattr(module, "__file__", None)) for name, module in sys.modules.items()]
    return sorted((name, Path(file)) for name, file in modules if file and name.partition(".")[0] in own)
