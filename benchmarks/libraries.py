"""Methods beside the same ones of a public library: SUPREME (PyPI supreme-unlearning), its own code on its own loop."""

import contextlib
import importlib
import io
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from benchmarks import world
from benchmarks.loading import Pictures
from benchmarks.side_by_side import DEVICE, Goal, Line, compare, seconds
from unlearning.data.batches import load_pixels
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import Launch
from unlearning.methods import method_config, method_program

PEER = "supreme-unlearning 0.1.5"
METHODS = "supreme.methods.unlearning_methods"
PER_CLASS, BATCH = 32, 64  # 320 images to forget, 2,880 retained: whole batches of both
EPOCHS = {"finetune": 5, "scrub": 1, "salun": 3}  # theirs, fixed in their code but for SCRUB's
WORKERS = (0, 2)
ROUNDS = 2


class Triples(Dataset[tuple[Tensor, int, int]]):
    """The same pictures as SUPREME's loops expect them."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, position: int) -> tuple[Tensor, int, int]:
        image, label = self.pictures[position]
        return image, label, label


def measure() -> Iterator[Line]:
    """Same network, images, batch size, precision and passes; the better of two numbers of workers for SUPREME."""
    modules = imported("finetune", "scrub", "random_labeling")
    if modules is None:
        return
    from lightning.fabric import Fabric

    with world.workspace(PER_CLASS * world.CLASSES) as manifest:
        where = world.place()
        precision = "bf16-mixed" if where.dtype == torch.bfloat16 else "32-true"
        fabric = Fabric(accelerator=DEVICE.type, devices=1, precision=precision)
        theirs = {name: theirs_of(fabric, manifest, modules, name) for name in EPOCHS}
        for name, epochs in EPOCHS.items():
            workers = min(WORKERS, key=lambda number, name=name: seconds(theirs[name](number)))
            remark = "theirs has no saliency mask" if name == "salun" else ""
            yield compare(
                f"{name}, {epochs} passes, {PER_CLASS * world.CLASSES:,} images",
                f"{PEER}, {workers} workers" + (", random_labeling" if name == "salun" else ""),
                ours_of(manifest, where, name, epochs), theirs[name](workers), Goal(2, at_most=False), ROUNDS, remark,
            )  # fmt: skip


def imported(*names: str) -> dict[str, ModuleType] | None:
    """Return modules of SUPREME, or None where it is not installed."""
    try:
        return {name: importlib.import_module(f"{METHODS}.{name}") for name in names}
    except ImportError:
        return None


def ours_of(manifest: Manifest, where: Launch, name: str, epochs: int) -> Callable[[], None]:
    """Return one whole run of our method."""
    sizes = {"batch_size": BATCH, "forget_batch_size": BATCH, "retain_batch_size": BATCH}
    known = {key: value for key, value in sizes.items() if hasattr(method_config(name), key)}
    cfg = method_config(name).model_copy(update={"epochs": epochs, **known})

    def run() -> None:
        one = world.run_of(name, manifest, world.network(), where)
        one.drive(method_program(name)(one, cfg))

    return run


def theirs_of(
    fabric: Any, manifest: Manifest, modules: dict[str, ModuleType], name: str
) -> Callable[[int], Callable[[], None]]:
    """Return what gives one whole run of theirs, by so many workers."""
    pictures = Triples(Pictures(load_pixels("train"), torch.from_numpy(manifest.splits["train"].labels)))

    def with_workers(workers: int) -> Callable[[], None]:
        def loader(part: Any) -> Any:
            chosen = Subset(pictures, manifest.select("train", part).tolist())
            return fabric.setup_dataloaders(DataLoader(chosen, BATCH, shuffle=True, num_workers=workers))

        retain, forget = loader("retain"), loader("forget")
        few = fabric.setup_dataloaders(DataLoader(Subset(pictures, range(BATCH)), BATCH))
        common = {"fabric": fabric, "num_gpus": 1, "wandb_logging_flag": False, "retain_train_dataloader": retain}

        def calls(model: nn.Module) -> dict[str, Callable[[], object]]:
            return {
                "finetune": lambda: modules["finetune"].finetune(model=model, retain_test_dataloader=few, **common),
                "scrub": lambda: modules["scrub"].scrub(
                    model=model, forget_train_dataloader=forget, sgda_epochs=1, optimizer_type="sgd", **common
                ),
                "salun": lambda: modules["random_labeling"].random_labeling(
                    model=model, forget_train_dataloader=forget, retain_test_dataloader=few, forget_label_id=0,
                    type_of_unlearning_strategy="fullclass", num_labels=world.CLASSES, **common,
                ),
            }  # fmt: skip

        def run() -> None:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                calls(world.network())[name]()

        return run

    return with_workers
