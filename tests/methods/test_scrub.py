import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import config_of, weights_of
from tests.methods.conftest import visits
from unlearning.data.manifest import Split
from unlearning.engine.run import Run
from unlearning.engine.validation import accuracy
from unlearning.errors import InputError
from unlearning.methods import scrub

FORGOTTEN_EARLY = {"epochs": 4, "m_steps": 3, "lr": 0.012}  # by a trained model: the last epochs are equally good
HALF_FORGOTTEN = {"epochs": 5, "m_steps": 2, "lr": 0.005}


def config(**changes: object) -> scrub.Config:
    options = {"forget_batch_size": 16, "alpha": 1.0, "gamma": 1.0, "schedule": "constant"}
    return config_of("scrub", **{**options, **changes})


def softmax(logits: list[float], temperature: float) -> list[float]:
    exponentials = [math.exp(value / temperature) for value in logits]
    return [value / sum(exponentials) for value in exponentials]


def plain_kd(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """T^2 KL(teacher || student), image by image and class by class."""
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = softmax(t, temperature), softmax(s, temperature)
        total += sum(own * math.log(own / others) for own, others in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


def plain_ce(logits: Tensor, labels: Tensor) -> float:
    rows = zip(logits.tolist(), labels.tolist(), strict=True)
    return -sum(math.log(softmax(row, 1.0)[label]) for row, label in rows) / len(labels)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_first_step_leaves_the_teacher_in_eval_mode(make_run, temperature: float) -> None:
    run, twin = make_run(), make_run(folder="twin")
    cfg = config(temperature=temperature)
    loss = next(scrub.unlearn(run, cfg))
    forget = next(twin.schedule.stream("forget", 16, cfg.augment, 0, 1))
    student = copy.deepcopy(twin.model).train()(forget.images)
    teacher = twin.model.eval()(forget.images)
    assert loss.item() == pytest.approx(-plain_kd(student, teacher, temperature), rel=1e-3, abs=1e-6)
    assert loss.item() < -0.01


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_every_loss_is_as_published_and_the_teacher_stays_the_original(make_run, temperature: float) -> None:
    run = make_run()
    cfg = config(m_steps=1, epochs=2, alpha=0.3, gamma=0.7, temperature=temperature)
    original = copy.deepcopy(run.model).eval()
    batches = []
    count = run.count
    run.count = lambda batch, part: (batches.append((part, batch)), count(batch, part))
    checked = []

    def program() -> Iterator[Tensor]:
        for loss in scrub.unlearn(run, cfg):
            part, batch = batches[-1]
            with torch.no_grad():
                student, teacher = copy.deepcopy(run.model).train()(batch.images), original(batch.images)
            kd = plain_kd(student, teacher, temperature)
            expected = {"forget": -kd, "retain": 0.7 * plain_ce(student, batch.labels) + 0.3 * kd}[part]
            checked.append((loss.item(), pytest.approx(expected, rel=1e-3, abs=1e-5)))
            yield loss

    run.drive(program())
    assert len(checked) == len(batches) == 2 + 2 * 8
    assert all(loss == expected for loss, expected in checked)


def in_epochs(run: Run, cfg: scrub.Config) -> list[list[tuple[str, list[int]]]]:
    """Drive the run; return part and positions of each step of each epoch."""
    seen = visits(run, scrub.unlearn(run, cfg))
    assert len(seen) == run.progress.step
    return [[(part, positions) for number, part, positions in seen if number == e + 1] for e in range(cfg.epochs)]


def flat(epoch: list[tuple[str, list[int]]], part: str) -> list[int]:
    return [position for name, positions in epoch if name == part for position in positions]


@pytest.mark.parametrize(("m_steps", "with_max_pass"), [(1, 1), (2, 2), (5, 3)])
def test_official_epochs_are_a_max_pass_for_a_while_and_always_a_min_pass(make_run, m_steps, with_max_pass) -> None:
    run = make_run()
    epochs = in_epochs(run, config(epochs=3, m_steps=m_steps))
    for number, epoch in enumerate(epochs, start=1):
        max_pass = ["forget"] * 2 if number <= with_max_pass else []
        assert [part for part, _ in epoch] == max_pass + ["retain"] * 8
        assert sorted(flat(epoch, "retain")) == run.manifest.select("train", "retain").tolist()
        if max_pass:
            assert sorted(flat(epoch, "forget")) == run.manifest.select("train", "forget").tolist()


def test_each_pass_has_its_own_order(make_run) -> None:
    epochs = in_epochs(make_run(), config(epochs=2, m_steps=2))
    for part in ("forget", "retain"):
        first, second = (flat(epoch, part) for epoch in epochs)
        assert first != second
        assert first != sorted(first)


@pytest.mark.parametrize("size", [4, 16])
def test_forget_batches_have_a_size_of_their_own(make_run, size: int) -> None:
    [epoch] = in_epochs(make_run(), config(epochs=1, forget_batch_size=size))
    assert {(part, len(positions)) for part, positions in epoch} == {("forget", size), ("retain", 8)}
    assert len(flat(epoch, "forget")) == 32


def test_ec_paper_takes_the_first_steps_of_a_pass_of_each_kind_anew_in_each_epoch(make_run) -> None:
    run = make_run()
    epochs = in_epochs(run, config(variant="ec_paper", epochs=2, m_steps=5, forget_batch_size=4))
    assert [[part for part, _ in epoch] for epoch in epochs] == [["forget"] * 5 + ["retain"] * 5] * 2
    for part, size in (("forget", 20), ("retain", 40)):
        first, second = (flat(epoch, part) for epoch in epochs)
        assert len(set(first)) == len(set(second)) == size
        assert len(set(first) & set(second)) > 0  # the rest of the first pass is left out, not what comes next


def test_a_pass_of_ec_paper_ends_with_its_set(make_run) -> None:
    run = make_run()
    epochs = in_epochs(run, config(variant="ec_paper", epochs=2, m_steps=200))
    assert [[part for part, _ in epoch] for epoch in epochs] == [["forget"] * 2 + ["retain"] * 8] * 2
    for epoch in epochs:
        for part in ("forget", "retain"):
            assert sorted(flat(epoch, part)) == run.manifest.select("train", part).tolist()


def test_only_the_longer_pass_of_ec_paper_is_cut(make_run) -> None:
    [epoch] = in_epochs(make_run(), config(variant="ec_paper", epochs=1, m_steps=5))
    assert [part for part, _ in epoch] == ["forget"] * 2 + ["retain"] * 5


@pytest.mark.parametrize(
    "changes",
    [{"m_steps": 4, "epochs": 5}, {"variant": "ec_paper", "m_steps": 2, "epochs": 6, "forget_batch_size": 8}],
)
def test_forgets_and_keeps(make_run, changes: dict, trained) -> None:
    run = make_run()
    run.model.load_state_dict(trained)
    rows = run.drive(scrub.unlearn(run, config(lr=0.01, temperature=1.0, **changes))).rows
    assert run.forget_acc() < 20
    assert rows[-1]["validation_retain_acc"] > 60


def ends_of_epochs(run: Run, cfg: scrub.Config) -> list[dict[str, Tensor]]:
    """Drive the run; return the weights at the end of each epoch."""
    ends = []
    whole = run.epochs

    def epochs(steps: list[int]) -> Iterator[int]:
        for epoch in whole(steps):
            yield epoch
            ends.append(weights_of(run.model))

    run.epochs = epochs
    run.drive(scrub.unlearn(run, cfg))
    return ends


def forget_error(run: Run, split: str) -> float:
    images = {"train": run.whole_split, "validation": run.validation}[split]
    return 100 - accuracy(run.model.eval(), images, run.manifest.select(split, "forget"), run.launch)


@pytest.mark.parametrize("changes", [FORGOTTEN_EARLY, HALF_FORGOTTEN])
def test_rewind_ends_at_the_epoch_with_the_error_of_unseen_images(make_run, changes: dict, trained) -> None:
    weights = trained
    run, twin = make_run(folder="rewound"), make_run(folder="twin")
    for each in (run, twin):
        each.model.load_state_dict(weights)
    ends = ends_of_epochs(twin, config(**changes, temperature=4.0))
    assert all(torch.equal(twin.model.state_dict()[name], value) for name, value in ends[-1].items())
    wanted, distances = forget_error(twin, "validation"), []
    for end in ends:
        twin.model.load_state_dict(end)
        distances.append(abs(forget_error(twin, "train") - wanted))
    chosen = int(np.argmin(distances))
    assert max(distances) > min(distances)
    run.drive(scrub.unlearn(run, config(**changes, temperature=4.0, rewind=True)))
    assert all(torch.equal(run.model.state_dict()[name], value) for name, value in ends[chosen].items())


@pytest.mark.parametrize(("validation_acc", "chosen"), [(100.0, 1), (66.0, 2), (50.0, 3), (33.0, 3), (0.0, 4)])
def test_rewind_takes_the_nearest_error(make_run, validation_acc: float, chosen: int) -> None:
    run = make_run()
    for epoch, error in enumerate([0.0, 30.0, 60.0, 90.0], start=1):
        weights = {name: torch.full_like(value, epoch) for name, value in run.model.state_dict().items()}
        run.progress.memory[f"epoch {epoch}"] = {"error": error, "weights": weights}
    run.progress.rows = [{"validation_forget_acc": 10.0}, {"validation_forget_acc": validation_acc}]
    scrub.rewind(run)
    assert all((value == chosen).all() for value in weights_of(run.model).values())


def test_rewind_without_validation_images_is_refused(make_run, world) -> None:
    world.splits["validation"] = Split([], np.zeros(0, dtype=np.int64))
    run = make_run(name="scrub")
    with pytest.raises(InputError, match=r"scrub\.rewind: .* data\.validation_fraction"):
        run.drive(scrub.unlearn(run, config(epochs=1, rewind=True)))


def test_rewind_survives_a_kill(make_run, monkeypatch: pytest.MonkeyPatch, trained) -> None:
    monkeypatch.setattr("unlearning.engine.resume.SAVE_SHARE", float("inf"))
    weights = trained
    cfg = config(**FORGOTTEN_EARLY, temperature=4.0, rewind=True)

    def run_in(folder: str) -> Run:
        run = make_run(folder=folder)
        run.model.load_state_dict(weights)
        return run

    def killed(run: Run, step: int) -> Iterator[Tensor]:
        for loss in scrub.unlearn(run, cfg):
            if run.progress.step == step:
                raise KeyboardInterrupt
            yield loss

    whole, broken = run_in("whole"), run_in("killed")
    last = whole.drive(scrub.unlearn(whole, cfg)).step
    with pytest.raises(KeyboardInterrupt):
        broken.drive(killed(broken, last - 1))
    resumed = run_in("killed")
    assert len(visits(resumed, scrub.unlearn(resumed, cfg))) < last / 2
    assert all(torch.equal(resumed.model.state_dict()[name], value) for name, value in weights_of(whole.model).items())
