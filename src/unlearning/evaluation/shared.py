"""What `compare` and `report` need of each model's features, in one file a model and seed: metrics/features/."""

from dataclasses import dataclass, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from unlearning.errors import InputError
from unlearning.files import write_atomically

PENULTIMATE = "penultimate"  # the classifier's input, as the last of the layers
LAYER = "forget_layers."  # prefix of the names of the layers in the file


@dataclass(frozen=True)
class Shared:
    """Logits and features of the same samples for every model: float32 (n, d), penultimate but for `layers`."""

    layers: dict[str, Tensor]  # pooled, "penultimate" among them, of the test forget set, or of the forgotten samples
    forget_logits: Tensor  # of the same images
    forget_labels: Tensor
    test: Tensor  # of a sample of the test split
    test_labels: Tensor
    test_positions: Tensor  # of these samples within the split
    train: Tensor  # of a sample of the training split
    train_logits: Tensor
    train_labels: Tensor
    train_forget_positions: Tensor  # within the training split, for LiRA
    train_forget_scaled: Tensor  # log(p_y / (1 - p_y)), float64
    unseen_positions: (
        Tensor  # within the test split, for LiRA: images no model saw, of the same kind as those to forget
    )
    unseen_scaled: Tensor


@dataclass(frozen=True)
class Sample:
    """Of the above what pictures are of: the sample of the test split."""

    test: Tensor
    test_labels: Tensor
    test_positions: Tensor


def save_shared(shared: Shared, path: Path) -> None:
    """Write the file atomically."""
    tensors = {name: value for name, value in vars(shared).items() if name != "layers"}
    tensors |= {f"{LAYER}{layer}": value for layer, value in shared.layers.items()}
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    size = sum(tensor.nbytes for tensor in contiguous.values())
    write_atomically(path, lambda temporary: save_file(contiguous, temporary), size)


def load_shared(path: Path, layers: list[str]) -> Shared:
    """Read the file, the layers in the given order; raises InputError when it is missing or of another form."""
    try:
        tensors = load_file(path)
        by_layer = {layer: tensors.pop(f"{LAYER}{layer}") for layer in layers}
        return Shared(by_layer, **tensors)
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None


def load_sample(path: Path) -> Sample:
    """Read the sample of the test split alone, a small part of the file; raises InputError like `load_shared`."""
    try:
        with safe_open(path, framework="pt") as file:
            return Sample(*(file.get_tensor(one.name) for one in fields(Sample)))
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot read {path} ({error}); run `dvc repro`, which evaluates the model first")
