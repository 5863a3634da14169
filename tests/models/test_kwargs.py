"""Which keyword arguments of timm are taken: what comes from elsewhere may shape a network, and open nothing."""

import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm

from tests.architectures import CASES, Case
from unlearning.errors import InputError
from unlearning.models.backbone import Architecture, build
from unlearning.models.kwargs import SHAPES, faults_of


class Trap:
    """A pickle that makes a folder as soon as it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])
def test_what_timm_would_open_is_refused_before_it_is_opened(tmp_path: Path, name: str) -> None:
    trap, file = tmp_path / "sprung", tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(Trap(trap)))
    value = {"file": str(file)} if "cfg" in name else str(file)
    with pytest.raises(InputError, match=rf"^model\.kwargs\.{name}: it cannot be set here"):
        build(Architecture("resnet18", {name: value}, None, 2, 3, 32))
    assert not trap.exists()


def test_no_argument_of_timms_own_function_is_taken() -> None:
    """Those of `create_model` choose where weights come from; those of a network's class shape it."""
    own = {name for name, one in inspect.signature(timm.create_model).parameters.items() if one.kind != one.VAR_KEYWORD}
    assert not own & SHAPES
    assert {"checkpoint_path", "cache_dir"} <= own


@pytest.mark.parametrize("word", ["path", "url", "file", "dir", "hub", "cfg", "checkpoint", "pretrained"])
def test_no_argument_that_is_taken_names_a_place(word: str) -> None:
    assert [name for name in SHAPES if word in name.split("_")] == (["drop_path_rate"] if word == "path" else [])


@pytest.mark.parametrize("value", ["/etc/passwd", "../a", "http://a", "hf-hub:a", "a\\b", "a\0", {"a": 1}, [[1]]])
def test_no_value_names_a_place(value: Any) -> None:
    assert list(faults_of({"act_layer": value}))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"channels": [10**9]},
        {"channels": [float("inf")]},
        {"channels": [float("nan")]},
        {"layers": [400, 101]},
        {"depth": 501},
        {"channels": [1] * 65},
        {"x" * 1000: 1},
    ],
)
def test_what_no_network_is_as_large_as_is_refused_in_a_short_line(kwargs: dict[str, Any]) -> None:
    faults = list(faults_of(kwargs))
    assert faults
    assert all(len(fault) < 180 for fault in faults)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_arguments_of_known_networks_are_taken(case: Case) -> None:
    assert list(faults_of(case.architecture.kwargs)) == []
