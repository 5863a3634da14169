from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from unlearning.errors import InputError
from unlearning.evaluation.shared import LAYER, Shared, load_shared, save_shared

LAYERS = ["layer4", "layer1", "layer3.0", "penultimate"]  # in an order that is not the alphabet's


@pytest.fixture
def shared() -> Shared:
    """Return features and logits of few samples; some are views of larger arrays, not contiguous in memory."""
    random = torch.Generator().manual_seed(0)

    def floats(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=dtype)

    return Shared(
        layers={layer: floats(3, 4 + number) for number, layer in enumerate(LAYERS)},
        forget_logits=floats(6, 3).T,
        forget_labels=torch.tensor([1, 1, 4]),
        test=floats(5, 14)[:, ::2],
        test_labels=torch.tensor([0, 1, 2, 3, 4]),
        test_positions=torch.arange(0, 50, 3)[:5],
        train=floats(4, 7),
        train_logits=floats(4, 6),
        train_labels=torch.tensor([0, 0, 5, 1]),
        train_forget_positions=torch.tensor([2, 9]),
        train_forget_scaled=floats(2, dtype=torch.float64) / 3,
        unseen_positions=torch.tensor([1, 4, 8]),
        unseen_scaled=floats(3, dtype=torch.float64) / 3,
    )


@pytest.fixture
def path(tmp_path: Path, shared: Shared) -> Path:
    path = tmp_path / "metrics" / "features" / "ec.safetensors"
    save_shared(shared, path)
    return path


def test_what_is_read_is_what_was_written_bit_by_bit(shared: Shared, path: Path) -> None:
    read = load_shared(path, LAYERS)
    for name, value in vars(shared).items():
        pairs = [(read.layers[layer], value[layer]) for layer in LAYERS] if name == "layers" else None
        for found, expected in pairs or [(getattr(read, name), value)]:
            assert found.dtype == expected.dtype
            assert torch.equal(found, expected)


@pytest.mark.parametrize("layers", [LAYERS, LAYERS[::-1], sorted(LAYERS)])
def test_the_layers_come_in_the_asked_order(shared: Shared, path: Path, layers: list[str]) -> None:
    read = load_shared(path, layers).layers
    assert list(read) == layers
    assert all(torch.equal(read[layer], shared.layers[layer]) for layer in layers)


def test_the_same_values_give_the_same_bytes_and_no_other_file(shared: Shared, path: Path) -> None:
    before = path.read_bytes()
    save_shared(shared, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def refusal(path: Path, layers: list[str] = LAYERS) -> str:
    with pytest.raises(InputError) as caught:
        load_shared(path, layers)
    return str(caught.value)


def named_with_what_to_run(message: str, path: Path) -> bool:
    return message.startswith(f"cannot read {path} (") and message.endswith(
        "); run `dvc repro`, which evaluates the model first"
    )


def test_a_missing_file_is_named_with_what_to_run(tmp_path: Path) -> None:
    path = tmp_path / "ec.safetensors"
    assert named_with_what_to_run(refusal(path), path)


@pytest.mark.parametrize(
    "broken", [lambda _: b"", lambda _: b"this is no safetensors file", lambda data: data[: len(data) // 2]]
)
def test_a_broken_file_is_named_with_what_to_run(path: Path, broken: Callable[[bytes], bytes]) -> None:
    path.write_bytes(broken(path.read_bytes()))
    assert named_with_what_to_run(refusal(path), path)


@pytest.mark.parametrize("layers", [[*LAYERS, "layer2"], LAYERS[1:]])
def test_a_file_of_other_layers_is_named_with_what_to_run(path: Path, layers: list[str]) -> None:
    assert named_with_what_to_run(refusal(path, layers), path)


@pytest.mark.parametrize("dropped", ["train_logits", f"{LAYER}penultimate"])
def test_a_file_that_lacks_something_is_named_with_what_to_run(path: Path, dropped: str) -> None:
    save_file({name: value for name, value in load_file(path).items() if name != dropped}, path)
    message = refusal(path)
    assert named_with_what_to_run(message, path)
    assert dropped in message
