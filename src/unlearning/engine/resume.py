"""State of an unfinished run, in a scratch folder that DVC does not know.

Not a DVC output: `persist: true` would resume from a finished run under new parameters without a word. The folder's
name holds `identity_key`, a hash of all the run depends on: changed parameters, inputs or code never meet an old state.
The file ends with the hash of its content: what was damaged is not gone on from.
"""

import hashlib
import io
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from unlearning.errors import InputError
from unlearning.files import sha256_of, write_atomically

SCRATCH = Path(".scratch")
SAVE_SHARE = 0.02  # of the run's time, at most, goes into saving
FIRST = 0.005  # seconds that the first save is taken to last
SEAL = b"\nsha256 of the above: "  # stands in front of the hash, at the end of the file
DIGITS = 64  # of a hash


class ResumeState:
    """Save, load and clear the state of one run; only tensors and plain values, read back without executing code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "state.pt"
        self._began = self._saved = time.monotonic()
        self._took, self._spent = FIRST, 0.0  # seconds: of the last save, of all
        self._warned = False

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state atomically; raises what `write_atomically` raises."""
        write_atomically(self.path, lambda temporary: _write(state, temporary), bytes_of(state))

    def due(self, minutes: float = 0.0) -> bool:
        """Return whether the last save is so many minutes ago, and one more takes no more than its share of time."""
        now = time.monotonic()
        affordable = self._spent + self._took <= SAVE_SHARE * (now - self._began)
        return affordable and now - self._saved >= 60 * minutes

    def try_to_save(self, state: Callable[[], dict[str, Any]]) -> bool:
        """Save, and return whether that worked: where there is no room, the run goes on without, and says so once."""
        started = time.monotonic()
        try:
            self.save(state())
        except (InputError, PermissionError) as error:
            if not self._warned:
                tqdm.write(f"warning: the state of the run is not saved, which goes on: {error}", file=sys.stderr)
            self._warned = True
            return False
        finally:
            self._saved = time.monotonic()
            self._took = self._saved - started
            self._spent += self._took
        return True

    def save_sometimes(self, state: Callable[[], dict[str, Any]]) -> bool:
        """Save, if saving takes no more than its share of the run's time; returns whether it has saved."""
        return self.due() and self.try_to_save(state)

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, or None; a state that cannot be read is as good as none."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.warn(f"it cannot be read ({error.strerror})")
            return None
        whole = len(content) - DIGITS - len(SEAL)
        seal = SEAL + hashlib.sha256(content[: max(0, whole)]).hexdigest().encode()
        if whole <= 0 or content[whole:] != seal:
            self.warn("it is damaged")
            return None
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content[:whole]), map_location="cpu", weights_only=True)
        except Exception as error:  # a broken zip raises many types, and the run is merely started again
            self.warn(f"it cannot be read ({type(error).__name__})")
            return None
        return state

    def warn(self, reason: str) -> None:
        """Say that the saved state is of no use."""
        print(f"warning: {self.path}: {reason}; starting from the beginning", file=sys.stderr)

    def clear(self) -> None:
        """Forget the run: it is finished and saved."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _Hashed(io.RawIOBase):
    """A file that is written from its beginning to its end, and hashed on the way; says no to no write."""

    def __init__(self, path: Path) -> None:
        self.file, self.digest = path.open("wb"), hashlib.sha256()
        self.failed: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            self.file.write(content)
        except OSError as error:  # torch makes of it a RuntimeError that tells nothing
            self.failed = self.failed or error
            raise
        self.digest.update(content)
        return len(content)

    def close(self) -> None:
        self.file.close()


def _write(state: dict[str, Any], path: Path) -> None:
    file = _Hashed(path)
    try:
        torch.save(state, file)  # type: ignore[arg-type]  # it asks for no more than `write`
        file.write(SEAL + file.digest.hexdigest().encode())
    except RuntimeError:
        if file.failed is None:
            raise
        raise file.failed from None
    finally:
        file.close()


def bytes_of(state: Any) -> int:
    """Return the bytes of all tensors of a state, nested as they may be."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return sum(map(bytes_of, parts))


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
