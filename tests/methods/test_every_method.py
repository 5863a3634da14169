"""What holds for every method file, a new one's included: it needs no entry here unless it freezes BatchNorm."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import SHAPE, config_of, weights_of, without_forget_images
from unlearning.data.batches import Batch
from unlearning.data.manifest import Manifest
from unlearning.engine.launch import launch
from unlearning.engine.resume import ResumeState
from unlearning.engine.run import Run
from unlearning.errors import InputError
from unlearning.methods import method_program
from unlearning.models.backbone import build
from unlearning.models.ec_modules import ec_modules
from unlearning.params import UnlearnRecipe, known_methods

MakeRun = Callable[..., Run]
BATCHNORM_IN_EVAL = {"unsc", "head_distill", "fresh_head"}
FORGET_ONLY = {"pl", "unsc", "delete", "ga"}
RETAIN_ONLY = {"finetune", "fresh_head", "cola", "cola_ec"}
WITHOUT_FORGET_IMAGES = RETAIN_ONLY | {"head_distill"}

pytestmark = pytest.mark.parametrize("method", known_methods())


def make(make_run: MakeRun, method: str, folder: str = "scratch", seed: int = 0) -> Run:
    run = make_run(name=method, folder=folder, seed=seed)
    run.modules = ec_modules(run.model)
    return run


def program(run: Run, **changes: object) -> Iterator[Tensor]:
    return method_program(run.name)(run, config_of(run.name, **changes))


@pytest.mark.usefixtures("make_run")
def test_says_what_it_is_and_has_a_checked_config(method: str) -> None:
    module = importlib.import_module(f"unlearning.methods.{method}")
    assert len(module.__doc__.splitlines()) > 1
    assert issubclass(module.Config, UnlearnRecipe)
    assert isinstance(config_of(method), module.Config)


def test_learns_something_and_stays_finite(make_run: MakeRun, method: str) -> None:
    run = make(make_run, method)
    before = weights_of(run.model)
    progress = run.drive(program(run))
    after = weights_of(run.model)
    assert progress.step > 0
    assert progress.samples > 0
    assert all(value.isfinite().all() for value in after.values() if value.is_floating_point())
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    assert not run.model.training


def test_is_the_same_when_run_again_and_another_with_another_seed(make_run: MakeRun, method: str) -> None:
    ends = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = make(make_run, method, folder=folder, seed=seed)
        run.drive(program(run))
        ends.append(weights_of(run.model))
    assert all(torch.equal(ends[0][name], value) for name, value in ends[1].items())
    assert not all(torch.equal(ends[0][name], value) for name, value in ends[2].items())


def test_goes_on_after_a_kill_as_if_nothing_had_been(
    make_run: MakeRun, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlearning.engine.resume.SAVE_SHARE", float("inf"))
    whole = make(make_run, method, folder="whole")
    expected = whole.drive(program(whole, epochs=3))
    broken = make(make_run, method, folder="broken")
    losses = program(broken, epochs=3)

    def killed() -> Iterator[Tensor]:
        for loss in losses:
            if broken.progress.step == expected.step * 2 // 3:
                raise KeyboardInterrupt
            yield loss

    with pytest.raises(KeyboardInterrupt):
        broken.drive(killed())
    assert broken.resume.load() is not None
    resumed = make(make_run, method, folder="broken")
    progress = resumed.drive(program(resumed, epochs=3))
    assert (progress.step, progress.samples) == (expected.step, expected.samples)
    for name, value in weights_of(whole.model).items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_no_gradient_reaches_the_teacher(make_run: MakeRun, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(make_run, method)
    before = weights_of(run.model)
    teachers: list[nn.Module] = []
    whole = run.teacher
    monkeypatch.setattr(run, "teacher", lambda: teachers.append(whole()) or teachers[-1])
    run.drive(program(run))
    for teacher in teachers:
        assert not any(module.training for module in teacher.network.modules())
        assert all(parameter.grad is None for parameter in teacher.parameters())
        assert all(torch.equal(teacher.network.state_dict()[name], value) for name, value in before.items())


def test_sees_the_parts_it_says_and_no_forget_image_as_retained(
    make_run: MakeRun, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(make_run, method)
    seen: dict[str, set[int]] = {"forget": set(), "retain": set(), "all": set()}
    whole = run.count
    monkeypatch.setattr(
        run, "count", lambda batch, part: (seen[part].update(batch.labels.tolist()), whole(batch, part))
    )
    run.drive(program(run))
    assert not seen["retain"] & set(run.manifest.forget_classes)
    assert seen["forget"] <= set(run.manifest.forget_classes)
    assert not (method in FORGET_ONLY and (seen["retain"] or seen["all"]))
    assert not (method in RETAIN_ONLY and (seen["forget"] or seen["all"]))


def test_batchnorm_is_in_the_mode_it_says(make_run: MakeRun, method: str) -> None:
    run = make(make_run, method)
    modes = set()
    for _ in program(run):
        modes.add(run.model.bn1.training)
        break
    assert modes == {method not in BATCHNORM_IN_EVAL}
    run = make(make_run, method, folder="whole")
    before = run.model.bn1.running_mean.clone()
    run.drive(program(run))
    assert torch.equal(run.model.bn1.running_mean, before) == (method in BATCHNORM_IN_EVAL)


def test_a_batch_larger_than_the_set_is_the_set(
    make_run: MakeRun, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(make_run, method)
    sizes: list[int] = []
    whole = run.count

    def count(batch: Batch, part: str) -> None:
        sizes.append(len(batch.labels.unique()))
        whole(batch, part)

    run.count = count
    run.drive(program(run, batch_size=1000, epochs=1))
    assert sizes
    assert f"{method}: batch_size 1000, but there are" in capsys.readouterr().err


@pytest.mark.usefixtures("make_run")
def test_unknown_keys_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="lambda_typo"):
        config_of(method, lambda_typo=1.0)


def test_without_an_image_to_forget_it_runs_or_says_what_it_needs(world: Manifest, method: str) -> None:
    manifest = without_forget_images(world, "train", "validation", "test")
    model = build(SHAPE)
    run = Run(method, launch("fp32"), manifest, model, 0, ResumeState(Path("scratch")), ec_modules(model))
    if method in WITHOUT_FORGET_IMAGES:
        assert run.drive(program(run)).step > 0
        assert "validation_forget_acc" not in run.progress.rows[-1]
    else:
        with pytest.raises(
            InputError, match=f"{method}: there is no train image to forget, and this method needs some"
        ):
            run.drive(program(run))
