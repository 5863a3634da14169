"""Three real processes that share the images of an evaluation, against one: this file is also what each of them runs.

Neither the images (50) nor their batches (7) can be divided by three, and there are passes of fewer batches than
processes: nothing is padded, left out or counted twice.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import CLASSES, SHAPE, SIZE
from tests.engine.test_distributed import ONE, processes
from tests.evaluation.test_stage import STAGE, evaluate, saved, write_params  # noqa: F401 - a fixture by its name
from unlearning.data.batches import ImageSplit, save_pixels
from unlearning.data.manifest import Manifest, Split, load_manifest, save_manifest
from unlearning.engine.launch import Launch, launch
from unlearning.engine.validation import accuracy, eval_mode, validate
from unlearning.evaluation.forward_pass import Pass, forward_pass
from unlearning.models.backbone import build

COUNT, THREE = 50, 3
BATCHES = [8, 20, 40, 64]  # images: seven batches, three, two and one
JOINED = {0: 5, 1: 0, 2: 3}  # rows of each process


def passes(where: Launch) -> list[Pass]:
    """Return passes that keep everything, a sample, and raw maps."""
    torch.manual_seed(0)
    model, split = build(SHAPE), ImageSplit(load_manifest(), "test", where.device)
    few = np.array([0, 3, 4, 30, 49])
    maps = {"layers": ["layer2"], "map_layers": ["layer3"], "map_positions": few}
    asked = [
        {"batch_size": size, "keep": keep, "pool_maps": pooled, **maps}
        for size in BATCHES
        for keep, pooled in ((None, True), (few, False))
    ]
    return [forward_pass(model, split, where, what="the test", **one) for one in asked]


def accuracies(where: Launch) -> list[float]:
    """Return accuracies of all images, of 49 and of two, and the validation row."""
    torch.manual_seed(0)
    model, manifest = build(SHAPE), load_manifest()
    split = ImageSplit(manifest, "test", where.device)
    with eval_mode(model):
        found = [accuracy(model, split, np.arange(count), where) for count in (COUNT, COUNT - 1, 2, 0)]
    return found + list(validate(model, ImageSplit(manifest, "validation", where.device), manifest, where).values())


def rows_of(rank: int) -> dict[str, Tensor]:
    """Return what a process has: the one in the middle has nothing, not even the names."""
    if not JOINED[rank]:
        return {}
    begin = sum(JOINED[before] for before in range(rank))
    rows = torch.arange(begin, begin + JOINED[rank])
    return {"numbers": rows, "half": (rows[:, None] * torch.ones(4)).bfloat16(), "wide": rows[:, None, None].double()}


def in_one_of_three_processes() -> None:
    where = launch("fp32")
    joined = [where.joined(rows_of(where.rank)), where.total(10 ** (2 * where.rank))]
    dealt = [where.dealt(list(range(count))) for count in range(8)]
    torch.save((passes(where), accuracies(where), joined, dealt), f"found-{where.rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """Return the folder that holds a split and what three processes found."""
    folder = tmp_path_factory.mktemp("evaluation")
    random = np.random.default_rng(0)
    splits, names = {}, [f"class{label}" for label in range(CLASSES)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, count in (("train", 12), ("validation", 31), ("test", COUNT)):
            labels = random.integers(0, CLASSES, count)
            save_pixels(name, torch.from_numpy(random.integers(0, 256, (count, 1, SIZE, SIZE), dtype=np.uint8)))
            splits[name] = Split([f"{name}{i}" for i in range(count)], labels)
        save_manifest(Manifest("test", names, SIZE, 1, [0.5], [0.3], None, "content", splits, forget_classes=[1, 4]))
    done = processes(THREE, [__file__], folder, warm)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(params=range(THREE))
def found(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple:
    """Return what one of the processes found; the working directory is theirs."""
    monkeypatch.chdir(folder)
    return torch.load(f"found-{request.param}.pt", weights_only=False)


def test_each_process_holds_what_one_alone_keeps_to_the_bit(found: tuple) -> None:
    for one, alone in zip(found[0], passes(ONE), strict=True):
        assert torch.equal(one.predictions, alone.predictions)
        assert torch.equal(one.positions, alone.positions)
        assert torch.equal(one.logits, alone.logits)
        for kept, expected in ((one.features, alone.features), (one.maps, alone.maps)):
            assert kept.keys() == expected.keys()
            assert all(torch.equal(kept[layer], expected[layer]) for layer in expected)


def test_accuracies_are_those_of_one_process(found: tuple) -> None:
    alone = accuracies(ONE)
    assert found[1] == alone
    assert alone[3] == 0
    assert len({round(value, 6) for value in alone}) > 3  # not all are 0


def test_rows_of_unequal_numbers_are_joined_in_order(found: tuple) -> None:
    joined, total = found[2]
    assert joined["numbers"].tolist() == list(range(8))
    assert joined["half"].dtype == torch.bfloat16
    assert joined["half"][:, 3].tolist() == list(range(8))
    assert joined["wide"].shape == (8, 1, 1)
    assert total == 10101


def test_each_batch_is_dealt_once_in_order_and_as_equally_as_can_be(folder: Path) -> None:
    dealt = [torch.load(folder / f"found-{rank}.pt", weights_only=False)[3] for rank in range(THREE)]
    for count, shares in enumerate(zip(*dealt, strict=True)):
        assert [number for share in shares for number in share] == list(range(count))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert shares[0] or not count


def test_more_than_travels_at_once_is_joined_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a block be of two rows of this process's, as all of two processes that have the same."""
    monkeypatch.setattr("unlearning.engine.launch.JOINED_BYTES", 2 * 3 * 4)
    monkeypatch.setattr(torch.distributed, "all_gather", lambda parts, sent: [part.copy_(sent) for part in parts])
    two = Launch(torch.device("cpu"), rank=0, world=2, dtype=torch.float32)
    own = torch.arange(15.0).view(5, 3)
    assert torch.equal(two._joined(own, [5, 5]), torch.cat([own, own]))


@pytest.mark.usefixtures("saved")
def test_the_stage_writes_the_same_bytes_from_three_processes(
    world: Manifest,  # noqa: ARG001 - the working directory
    warm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_params(seeds=(0, 1))
    evaluate(monkeypatch)
    files = [Path("metrics/raw/ec.json"), *sorted(Path("metrics/features/ec").iterdir())]
    assert len(files) == 3
    alone = {file: file.read_bytes() for file in files}
    for file in files:
        file.unlink()
    for kept in Path(".scratch/kept").iterdir():
        kept.rename(Path(".scratch") / kept.name)
    done = processes(THREE, [str(STAGE), "ec"], Path(), warm)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("evaluate ec: ") == 1
    assert json.loads(Path("metrics/runs/evaluate/ec.json").read_text())["processes"] == THREE
    assert {file: file.read_bytes() for file in files} == alone


if __name__ == "__main__":
    in_one_of_three_processes()
