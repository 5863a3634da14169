"""Training steps, whole: loader, augmentation, forward and backward pass, optimiser."""

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import world
from benchmarks.side_by_side import DEVICE, Goal, Line, compare
from unlearning.engine.run import Run
from unlearning.estimating.flops import count_flops
from unlearning.methods import method_config, method_program
from unlearning.params_file import load_params
from unlearning.training.classifier import train_classifier
from unlearning.training.ec_modules import pretrain_ec_modules

STEPS, BATCH = 60, 128
LARGE_STEPS, LARGE_BATCH = 2, 16  # of ResNet-50, each side
FEWER = 3  # rounds of what takes seconds a step


def measure() -> Iterator[Line]:
    yield whole_step()
    yield ec_step()
    yield pretraining()


def whole_step() -> Line:
    """The loop of every training, beside the bare arithmetic on tensors in place."""
    with world.workspace(STEPS * BATCH) as manifest:
        where, cfg = world.place(), world.recipe().model_copy(update={"epochs": 1, "batch_size": BATCH})
        images, labels = world.photos(BATCH)
        models = [world.network(), world.network()]
        goal = Goal(1.05 if DEVICE.type == "cuda" else 1.1)

        def ours() -> None:
            run = world.run_of("bench", manifest, models[0], where)
            run.drive(train_classifier(run, cfg, "all"))

        optimizer = torch.optim.SGD(models[1].parameters(), lr=cfg.lr, momentum=cfg.momentum, weight_decay=5e-4)

        def bare() -> None:
            models[1].train()
            for _ in range(STEPS):
                optimizer.zero_grad()
                with where.autocast():
                    logits = models[1](images)
                F.cross_entropy(logits.float(), labels).backward()
                optimizer.step()

        name = f"loader, augmentation and step, {STEPS} x {BATCH} images"
        return compare(name, "the bare step on tensors in place", ours, bare, goal)


def ec_step() -> Line:
    """EC on ResNet-50, beside the cross-entropy of the bare backbone on as many images; both by the same loop."""
    with world.workspace(10 * LARGE_STEPS * LARGE_BATCH + 100) as manifest:
        where = world.place()
        forget = (manifest.splits["train"].labels < 10).sum()
        cfg = method_config("ec").model_copy(update={"batch_size": min(LARGE_BATCH, int(forget)), "epochs": 1})
        plain = world.recipe().model_copy(update={"batch_size": 2 * cfg.batch_size, "epochs": 1})

        def ec() -> tuple[Run, Iterator[Tensor]]:
            run = world.run_of("ec", manifest, world.network(world.LARGE), where, with_modules=True)
            return run, method_program("ec")(run, cfg)

        def bare() -> tuple[Run, Iterator[Tensor]]:
            run = world.run_of("bench", manifest, world.network(world.LARGE), where)
            return run, train_classifier(run, plain, "all")

        ours, theirs = stepper(*ec()), stepper(*bare())
        counted = count_flops(stepper(*ec())) / count_flops(stepper(*bare()))
        return compare(
            f"EC step, ResNet-50 at {world.SIZE} px, 2 x {cfg.batch_size} images", "cross-entropy of the bare backbone",
            ours, theirs, Goal(1.25), FEWER, f"by the FLOP count {counted:.2f}",
        )  # fmt: skip


def pretraining() -> Line:
    """Pre-training of the EC modules, beside the same with the frozen backbone kept in the graph."""
    with world.workspace(10 * LARGE_STEPS * LARGE_BATCH) as manifest:
        where = world.place()
        cfg = load_params().pretrain_ec.model_copy(update={"batch_size": LARGE_BATCH, "epochs": 1})

        def program(under_autograd: bool) -> Callable[[], None]:
            model = world.network(world.LARGE)
            run = world.run_of("bench", manifest, model, where, with_modules=True)
            steps = pretrain_ec_modules(run, cfg)
            if under_autograd:
                return stepper(run, kept_in_graph(steps, model))
            return stepper(run, steps)

        return compare(
            f"SupCon pre-training of the modules, ResNet-50, {LARGE_BATCH} images twice",
            "the same, the frozen backbone under autograd", program(False), program(True),
            Goal(2, at_most=False), FEWER,
        )  # fmt: skip


def kept_in_graph(steps: Iterator[Tensor], model: nn.Module) -> Iterator[Tensor]:
    """Let the backbone's weights ask for gradients, as where it is frozen by being left out of the optimiser."""
    for loss in steps:
        yield loss
        model.zero_grad(set_to_none=True)
        model.requires_grad_(True)


def stepper(run: Run, program: Iterator[Tensor]) -> Callable[[], None]:
    """Return what goes on with a program for some steps."""

    def go_on() -> None:
        before = run.progress.step
        run.rehearse(islice(program, LARGE_STEPS), LARGE_STEPS)
        assert run.progress.step == before + LARGE_STEPS, "the epoch is too short for so many rounds"

    return go_on
