import pytest
import torch
from torch.nn import functional as F

from tests.conftest import config_of
from tests.methods.conftest import visits
from unlearning.methods import finetune


def test_loss_is_the_cross_entropy_of_the_retain_images(make_run) -> None:
    run, twin = make_run(), make_run(folder="twin")
    config = config_of("finetune")
    loss = next(finetune.unlearn(run, config))
    retain = next(twin.schedule.visit("retain", config.batch_size, config.augment, 1))
    probabilities = F.softmax(twin.model.train()(retain.images), dim=1)
    own = [row[label] for row, label in zip(probabilities, retain.labels, strict=True)]
    torch.testing.assert_close(loss, -torch.stack(own).log().mean())


@pytest.mark.parametrize(("batch_size", "steps"), [(8, 8), (10, 6)])
def test_an_epoch_is_a_pass_over_the_retain_set_but_for_a_remainder(make_run, batch_size: int, steps: int) -> None:
    run = make_run()
    seen = visits(run, finetune.unlearn(run, config_of("finetune", epochs=2, batch_size=batch_size)))
    retained = set(run.manifest.select("train", "retain").tolist())
    orders = []
    for epoch in (1, 2):
        batches = [positions for number, part, positions in seen if (number, part) == (epoch, "retain")]
        assert [len(positions) for positions in batches] == [batch_size] * steps
        orders.append([position for positions in batches for position in positions])
        assert len(set(orders[-1])) == batch_size * steps
        assert set(orders[-1]) <= retained
    assert len(seen) == 2 * steps
    assert orders[0] != orders[1]


def test_learns_the_retain_classes_from_nothing(make_run) -> None:
    run = make_run()
    rows = run.drive(finetune.unlearn(run, config_of("finetune", epochs=15))).rows
    assert rows[-1]["validation_retain_acc"] > 80
    assert rows[-1]["validation_forget_acc"] == 0
