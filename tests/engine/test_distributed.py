"""Two real processes on the CPU against one: this file is also the script that torchrun starts in each of them."""

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conftest import RECIPE, config_of, weights_of
from unlearning import stopping
from unlearning.data.batches import save_pixels
from unlearning.data.manifest import Manifest, Split, load_manifest, save_manifest
from unlearning.engine import resume as resume_module
from unlearning.engine.launch import Launch, convert_sync_batchnorm, launch
from unlearning.engine.repetitions import KEPT, Needs, repeat
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.errors import InputError, Stopped
from unlearning.methods import method_program
from unlearning.methods.scar import keep_loss
from unlearning.models.architecture import Architecture
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.params import PretrainEC, Train, known_methods
from unlearning.stage import run_stage
from unlearning.training.classifier import train_classifier
from unlearning.training.ec_modules import pretrain_ec_modules

CLASSES, PER_CLASS, SIZE = 6, 8, 8
ONE = Launch(torch.device("cpu"), rank=0, world=1, dtype=torch.float32)
# No batch statistics: on the CPU each process has its own.
TINY = {"img_size": SIZE, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2}
SHAPE = Architecture("vit_tiny_patch16_224", TINY, None, CLASSES, 1, SIZE)
# Plain SGD: Adam hides a wrong scale of the gradient, and enlarges rounding where the gradient is 0.
SGD = RECIPE | {"augment": RECIPE["augment"].model_copy(update={"flip": 0.5, "padding": 1})}
TRAIN = Train(**SGD, label_smoothing=0.1)
PRETRAIN = PretrainEC(**SGD, tau=0.2)
UNLEARN = {key: SGD[key] for key in ("optimizer", "momentum", "augment")}
FEW = {"forget_batch_size": 8, "second_batch_size": 8, "retain_per_forget": 2, "keep_per_forget": 2}


def config(method: str, **changes: object) -> Any:
    known = importlib.import_module(f"unlearning.methods.{method}").Config.model_fields
    few = {key: value for key, value in FEW.items() if key in known}
    return config_of(method, **{**UNLEARN, **few, **changes})


def unlearn(method: str, **changes: object) -> Callable[[Run], Iterator[Tensor]]:
    return lambda run: method_program(method)(run, config(method, **changes))


def two_phases(run: Run) -> Iterator[Tensor]:
    yield from train_classifier(run, TRAIN, "retain")
    yield from unlearn("cu")(run)


def scar_of_positive_features(run: Run) -> Iterator[Tensor]:
    run.model.fc_norm = nn.Softplus()  # not ReLU: near 0 the root enlarges rounding
    yield from unlearn("scar")(run)


PROGRAMS: dict[str, Callable[[Run], Iterator[Tensor]]] = {
    "train": lambda run: train_classifier(run, TRAIN, "all"),
    "pretrain_ec": lambda run: pretrain_ec_modules(run, PRETRAIN),
    **{method: unlearn(method) for method in known_methods()},
    "scar": scar_of_positive_features,
    "cu_two_passes": unlearn("cu", joint_forward=False),
    "rl_any_label": unlearn("rl", label_space="all", exclude_true_label=False),
    "cola_ec_without_heads": unlearn("cola_ec", layer_ce=False),
    "two_phases": two_phases,
}


IN_PIECES = ("pretrain_ec", "ec", "cu_two_passes")  # in two processes as well: all programs are too many
KEPT_IMAGES: list[list[int]] = [[0, 1, 2, 3], [1, 2], [0, 1], [2, 3], [3], []]  # images; the first two are process 0's


def scars_keep_loss(where: Launch, kept: list[int]) -> tuple[Tensor, Tensor]:
    """Return SCAR's keep loss of four images, and its gradient for this process's logits.

    The original gives all of them but `kept` to a forget class.
    """
    student, original = torch.randn(2, 4, CLASSES, generator=torch.Generator().manual_seed(0))
    original[:, 1] = 20.0
    original[kept, 1] = -1.0
    original[0, 2] = -30.0  # the smallest logit of all, of an image that is or is not kept
    run = make_run("keep_loss", where)
    own = run.share(student).requires_grad_()
    loss = keep_loss(run, own, run.share(original), torch.tensor([1, 4]), 1.0)
    loss.backward()
    return loss.detach(), own.grad


def make_run(name: str, where: Launch, max_images: int | None = None) -> Run:
    """Return the run of a program in the working directory, which holds the split; the same in every process."""
    torch.manual_seed(0)
    model = build(SHAPE)
    modules = ec_modules(model)
    for key, module in list(modules.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            modules.set_submodule(key, nn.GroupNorm(1, module.num_features))
    return Run(
        "run",
        where,
        load_manifest(),
        model,
        0,
        ResumeState(Path("scratch") / name),
        modules,
        fresh=partial(build, SHAPE),
        max_images=max_images,
    )


def repetitions(where: Launch) -> None:
    """Do a seed twice, then beside another, then again where only the main process finds what was kept."""
    done: list[tuple[str, int, bool]] = []

    def work(seed: int, folder: Path, resume: ResumeState) -> None:  # noqa: ARG001
        done.append((what, seed, folder.is_dir()))
        if where.main:
            (folder / "out.txt").write_text(f"{seed}")

    def needs(seed: int) -> Needs:  # noqa: ARG001
        return Needs({"lr": 0.1}, [])

    def together() -> None:
        torch.distributed.barrier()

    for what, seeds in (("first", [0]), ("again", [0]), ("added", [0, 1])):  # noqa: B007 - `work` reads what
        folders = repeat("unlearn@x", seeds, where, needs, work)
        together()
    if not where.main:
        os.chdir("elsewhere")  # a disk of its own, on which nothing is kept
    what = "unequal"
    repeat("unlearn@x", [0], where, needs, work)
    together()
    if not where.main:
        assert not list(Path().rglob("out.txt"))
        os.chdir("..")
    torch.save((done, {seed: folder.name for seed, folder in folders.items()}), f"repetitions-{where.rank}.pt")


def in_one_of_two_processes() -> None:
    """Drive every program to its end, and one only as far as a step into its second epoch."""
    where = launch("fp32")
    repetitions(where)
    for name, program in PROGRAMS.items():
        run = make_run(name, where)
        progress = run.drive(program(run))
        torch.save((weights_of(run.network), progress.step, progress.samples), f"{name}-{where.rank}.pt")
    for name in IN_PIECES:
        run = make_run(f"pieces-{name}", where, max_images=3)
        run.drive(PROGRAMS[name](run))
        torch.save(weights_of(run.network), f"pieces-{name}-{where.rank}.pt")
    torch.save([scars_keep_loss(where, kept) for kept in KEPT_IMAGES], f"keep_loss-{where.rank}.pt")
    resume_module.SAVE_SHARE = float("inf")
    run = make_run("interrupted", where)
    cfg = config("cu")
    steps = run.schedule.steps("forget", cfg.batch_size) * cfg.omega
    run.drive(islice(unlearn("cu")(run), steps + 1))
    stopped_and_resumed(where)


def stopped_and_resumed(where: Launch) -> None:
    """Ask one of the processes to stop in the middle of an epoch, and go on."""
    run = make_run("stopped", where)

    def asked() -> Iterator[Tensor]:
        for number, loss in enumerate(unlearn("cu")(run)):
            if (number, where.rank) == (2, 1):
                stopping._asked.number = signal.SIGTERM
            yield loss

    with pytest.raises(Stopped) as stop:
        run.drive(asked())
    stopping._asked.number = 0
    torch.distributed.barrier()
    resumed = make_run("stopped", where)
    begun = resumed._state.progress.step
    resumed.drive(unlearn("cu")(resumed))
    torch.save((weights_of(resumed.network), begun, run.progress.step, stop.value.number), f"stopped-{where.rank}.pt")


def processes(count: int, script: list[str], folder: Path, warm: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of Python in so many processes of torchrun, in a folder."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    commands = os.pathsep.join([str(warm), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PATH": commands
    }  # fmt: skip
    start = ["python", "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "--no-python"]
    command = [*start, "python", *script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def torchrun(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Path:
    """Return the folder that holds a split and what two processes made of it."""
    folder = tmp_path_factory.mktemp("distributed")
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat(np.arange(CLASSES), PER_CLASS))
    splits = {"train": Split([str(i) for i in range(len(labels))], labels)}
    splits |= {name: Split([], labels[:0]) for name in ("validation", "test")}
    names = [f"class{label}" for label in range(CLASSES)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("elsewhere").mkdir()
        save_pixels("train", torch.from_numpy(random.integers(0, 256, (len(labels), 1, SIZE, SIZE), dtype=np.uint8)))
        for name in ("validation", "test"):
            save_pixels(name, torch.zeros(0, 1, SIZE, SIZE, dtype=torch.uint8))
        save_manifest(Manifest("test", names, SIZE, 1, [0.5], [0.3], None, "content", splits, forget_classes=[1, 4]))
    done = processes(2, [__file__], folder, warm)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def two_processes(torchrun: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return that folder, which is the working directory."""
    monkeypatch.chdir(torchrun)
    return torchrun


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("name", PROGRAMS)
def test_two_processes_end_with_the_weights_of_one(name: str) -> None:
    run = make_run(f"one-{name}", ONE)
    begin = weights_of(run.modules if name == "pretrain_ec" else run.model)
    progress = run.drive(PROGRAMS[name](run))
    expected = weights_of(run.network)
    for rank in range(2):
        actual, step, samples = torch.load(f"{name}-{rank}.pt")
        assert (step, samples) == (progress.step, progress.samples)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    # ... and not because nothing was learned.
    end = (run.modules if name == "pretrain_ec" else run.model).state_dict()
    assert max((end[key] - value).abs().max() for key, value in begin.items()) > 0.01


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("name", IN_PIECES)
def test_two_processes_that_compute_in_pieces_end_with_the_same_weights(name: str) -> None:
    expected, _, _ = torch.load(f"{name}-0.pt")
    for rank in range(2):
        torch.testing.assert_close(torch.load(f"pieces-{name}-{rank}.pt"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_in_pieces_ends_with_the_weights_of_one_without(name: str) -> None:
    run = make_run(f"pieces-one-{name}", ONE, max_images=3)
    run.drive(PROGRAMS[name](run))
    expected, _, _ = torch.load(f"{name}-0.pt")
    torch.testing.assert_close(weights_of(run.network), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("case", range(len(KEPT_IMAGES)))
def test_scars_keep_loss_is_that_of_all_processes_images_whichever_keeps_one(case: int) -> None:
    loss, gradient = scars_keep_loss(ONE, KEPT_IMAGES[case])
    of_two = [torch.load(f"keep_loss-{rank}.pt")[case] for rank in range(2)]
    torch.testing.assert_close(sum(one for one, _ in of_two) / 2, loss)
    torch.testing.assert_close(torch.cat([own for _, own in of_two]) / 2, gradient)
    assert loss.isfinite()
    assert (loss > 0) == (len(KEPT_IMAGES[case]) > 0)


@pytest.mark.usefixtures("two_processes")
def test_what_two_processes_began_one_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """Their roundings differ, and half of one run with half of the other would be a third model."""
    run, whole = make_run("interrupted", ONE), make_run("one-alone", ONE)
    assert run.resume.load()["progress"]["epochs"] == [1]
    said = capsys.readouterr().err
    assert "2 processes, and this is" in said
    assert said.count("starting from the beginning") == 1
    for one in (run, whole):
        one.drive(unlearn("cu")(one))
    assert all(torch.equal(value, whole.network.state_dict()[name]) for name, value in weights_of(run.network).items())


@pytest.mark.usefixtures("two_processes")
def test_where_one_process_is_asked_to_stop_all_do_behind_the_same_step_and_go_on_to_the_same_model() -> None:
    expected, _, _ = torch.load("cu-0.pt")
    for rank in range(2):
        weights, begun, stopped, number = torch.load(f"stopped-{rank}.pt")
        assert (begun, stopped, number) == (3, 3, signal.SIGTERM)
        assert all(torch.equal(value, expected[name]) for name, value in weights.items())


@pytest.mark.usefixtures("two_processes")
def test_all_processes_work_on_the_same_seeds_and_one_writes() -> None:
    (done, names), (other, other_names) = (torch.load(f"repetitions-{rank}.pt") for rank in range(2))
    worked_on = [("first", 0), ("added", 1), ("unequal", 0)]  # what not all of them find is done again by all
    assert [one[:2] for one in done] == [one[:2] for one in other] == worked_on
    assert all(made for _, _, made in done)
    assert names == other_names
    assert {seed: (KEPT / name / "out.txt").read_text() for seed, name in names.items()} == {0: "0", 1: "1"}


def test_sharing_batch_statistics_leaves_the_function_as_it_is() -> None:
    torch.manual_seed(0)
    model = build(Architecture("efficientnet_b0", {}, None, CLASSES, 3, 64)).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        shared = convert_sync_batchnorm(model)
        assert any(isinstance(module, nn.SyncBatchNorm) for module in shared.modules())
        torch.testing.assert_close(shared(images), expected)


def dies_or_waits() -> None:
    """Train until the second process is killed, or, where it is said so, raises an error that is the user's to mend."""
    where = launch("fp32")
    run = make_run("dies", where)

    def program() -> Iterator[Tensor]:
        for number, loss in enumerate(train_classifier(run, TRAIN, "all")):
            if (number, where.rank) == (3, 1):
                if sys.argv[1] == "refuses":
                    raise InputError("cannot read the image cat/7.png; repair it")
                os.kill(os.getpid(), signal.SIGKILL)
            yield loss

    run.drive(program())


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("dies", ["error: rank 0: another process of test_distributed@dies has gone ("]),
        ("refuses", ["error: rank 1: cannot read the image cat/7.png; repair it", "error: rank 0: another process of"]),
    ],
)
def test_a_process_that_ends_stops_the_others_within_a_minute_and_its_rank_is_named(
    two_processes: Path, warm: Path, how: str, said: list[str]
) -> None:
    began = time.monotonic()
    done = processes(2, [__file__, how], two_processes, warm)
    assert time.monotonic() - began < 60
    assert done.returncode != 0
    own = re.findall("error: rank.*", done.stderr)
    assert any(line.startswith(said[0]) for line in own), done.stderr
    assert all(any(line.startswith(one) for one in said) for line in own)
    assert "stages/" not in done.stderr
    assert "engine/run.py" not in done.stderr, "no traceback of ours"


if __name__ == "__main__":
    run_stage(dies_or_waits) if sys.argv[1:] else in_one_of_two_processes()
