from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.estimating.conftest import COUNTS
from unlearning.estimating.ahead import Stage, ahead, subject_of
from unlearning.estimating.elsewhere import KEPT, LEAST_STEP, Machine, _short, table, together
from unlearning.estimating.measuring import attacked, by_operations, critics_flops
from unlearning.estimating.reading import made_photo, seconds_to_read
from unlearning.estimating.trainings import Subject, Work
from unlearning.params import Params

REPOSITORY = Path(__file__).parents[2]
ONE = Machine(rate=1e12, devices=1, readers=4, reading=0.01)
EIGHT = replace(ONE, devices=8)


@pytest.mark.parametrize(
    ("work", "steps", "expected"),
    [
        (Work(flops=5e12), 1, 5.0),  # it computes
        (Work(flops=1.0), 100, 100 * LEAST_STEP),  # it launches
        (Work(flops=1.0, images=4000), 1, 10.0),  # it reads, in four processes
    ],
)
def test_a_stage_takes_as_long_as_the_slowest_of_what_it_does(work: Work, steps: int, expected: float) -> None:
    stage = Stage("train@original", work, steps=steps)
    assert ONE.alone(stage) == pytest.approx(expected)
    assert ONE.shared(stage) == pytest.approx(expected)


def test_eight_devices_share_what_is_computed_with_a_loss_and_what_is_read_without() -> None:
    assert EIGHT.shared(Stage("a", Work(flops=8e12))) == pytest.approx(1 / KEPT**3)
    assert EIGHT.shared(Stage("a", Work(flops=1.0, images=8 * 4000))) == pytest.approx(10)
    assert EIGHT.shared(Stage("a", Work(flops=1.0), steps=100)) == pytest.approx(100 * LEAST_STEP)
    assert EIGHT.alone(Stage("a", Work(flops=8e12))) == pytest.approx(8)


def test_models_are_dealt_to_devices_whole_and_the_longest_first() -> None:
    common = [Stage("train@original", Work(flops=2e12))]
    models = [[Stage("unlearn", Work(flops=size * 1e12))] for size in (1, 2, 3, 4)]
    assert together(ONE, common, models) == pytest.approx(2 + 10)
    two = replace(ONE, devices=2)
    assert together(two, common, models) == pytest.approx(2 / 2 / KEPT + 5)
    assert together(EIGHT, [], models) == pytest.approx(4)


def test_the_table_has_each_stage_and_model_once_and_all_together(params: Params) -> None:
    assumed, _, *lines = table(params, 60.0, [1, 8])
    assert assumed.startswith("1 seed; resnet18 at 8 px, 0.")
    assert assumed.endswith(" GFLOP an image; 60 TFLOP/s a device")
    rows = [line.split(" | ") for line in lines]
    assert {len(row) for row in rows[:1] + rows[2:]} == {6}
    names = [row[0] for row in rows[2:]]
    assert names == [
        "| `train@original`", "| `train@retrained`", "| `finetune`: unlearn, evaluate", "| `original`: evaluate",
        "| `retrained`: evaluate", "| together",
    ]  # fmt: skip
    petaflops = [float(row[1]) for row in rows[2:]]
    assert petaflops[-1] == pytest.approx(sum(petaflops[:-1]), rel=0.02)


def test_large_numbers_have_no_exponent_and_three_digits() -> None:
    assert [_short(number) for number in (0.0123456, 3.14159, 999.4, 1000, 2763.2, 11861)] == [
        "0.0123", "3.14", "999", "1,000", "2,760", "11,900",
    ]  # fmt: skip


def test_attacks_are_their_steps_and_what_they_are_judged_by(subject: Subject, params: Params) -> None:
    relearn = params.relearn.model_copy(update={"draws": 3, "steps": 5, "batch_size": 16, "lrs": [0.1, 0.2]})
    retain_only = params.retain_only.model_copy(update={"steps": 7, "batch_size": 8})
    batchnorm = params.batchnorm.model_copy(update={"batches": 2, "batch_size": 10})
    between = params.predictors.model_copy(update={"points": 3, "max_samples": 50})
    attacks = params.attacks.model_copy(update={"shots": [1, 5], "max_samples": 30})
    own = {
        "relearn": relearn, "retain_only": retain_only, "batchnorm": batchnorm, "predictors": between,
        "attacks": attacks,
    }  # fmt: skip
    trained = 7 * 8 + 4 * 5 * 4 + 4 * 5 * 16  # of one image a class there are 2 to forget and 2 to retain
    judged = (4 + 4 + 2) * 2 * 30 + 2 * 10
    assert attacked(subject, params.model_copy(update=own)) == (
        3 * trained + judged + 5 * 50,
        trained + judged + 50,
    )


def test_critics_on_maps_are_worth_less_the_later_their_layer(subject: Subject, params: Params) -> None:
    def flops(estimator: str, layers: list[str]) -> float:
        own = params.mutual_information.model_copy(update={"estimator": estimator, "layers": layers})
        return critics_flops(subject, params.model_copy(update={"mutual_information": own}))

    assert flops("cross_fitted", ["layer1"]) == 0
    early, late = flops("info_nce", ["layer1"]), flops("info_nce", ["layer3"])
    assert early > late > 0
    assert flops("info_nce", ["layer1", "layer3"]) == early + late
    cfg = params.mutual_information
    passes = cfg.info_nce.epochs * (3 * (1 - cfg.info_nce.held_out) + cfg.info_nce.held_out) + 1 - cfg.info_nce.held_out
    assert early < cfg.trials * 2 * COUNTS.forget * passes * subject.flops


def test_what_is_not_tried_takes_its_operations_at_the_rate_of_training(subject: Subject, params: Params) -> None:
    found = by_operations(subject, params, rate=1e6)
    assert found.work.seconds == pytest.approx(found.work.flops / 1e6)
    assert found.image == pytest.approx(subject.flops / 1e6)


def test_images_in_memory_are_not_read(params: Params) -> None:
    assert seconds_to_read(params, subject_of(params)) == 0


def test_files_are_read_as_the_training_reads_them(params: Params, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / "photos" / f"class{number % 4}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)

    def seconds(gigabytes: float) -> float:
        changes = {"name": "image_folder", "root": str(tmp_path / "photos"), "resident_gb": gigabytes, "image_size": 32}
        own = params.model_copy(update={"data": params.data.model_copy(update=changes)})
        return seconds_to_read(own, subject_of(own))

    assert seconds(1.0) == 0
    assert 0 < seconds(0.0) < 1


def test_imagenet_is_reckoned_before_it_is_there(params: Params) -> None:
    data = params.data.model_copy(update={"name": "imagenet", "root": "nowhere", "image_size": 32})
    forget = params.forget.model_copy(update={"count": 100})
    own = params.model_copy(update={"data": data.model_copy(update={"resident_gb": 0.0}), "forget": forget})
    subject = subject_of(own)
    assert (subject.shape.classes, subject.forgotten, subject.counts.judging) == (1000, 100, 50_000)
    assert subject.counts.training == pytest.approx(0.9 * 1_281_167, abs=1)
    assert subject.counts.forget == pytest.approx(0.1 * subject.counts.training, abs=1)
    assert seconds_to_read(own, subject) > 0
    Path("list.txt").write_text("3\n5\n\n7\n", encoding="utf-8")
    listed = forget.model_copy(update={"scenario": "file", "file": Path("list.txt")})
    assert subject_of(own.model_copy(update={"forget": listed})).forgotten == 3


def test_a_made_photo_is_as_large_as_those_of_imagenet(tmp_path: Path) -> None:
    assert 80_000 < made_photo(tmp_path).stat().st_size < 140_000


def test_a_stage_that_reads_waits_for_its_images(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearning.estimating.ahead.seconds_to_read", lambda *_: 0.5)
    stages = {stage.name: stage for stage in ahead(params)}
    training, recipe = stages["train@original"], params.train
    checked = recipe.epochs * subject_of(params).validation
    assert training.work.images == pytest.approx(training.steps * recipe.batch_size + checked)
    assert checked > 0
    assert training.work.seconds > training.work.images * 0.5 / max(1, params.data.workers)
