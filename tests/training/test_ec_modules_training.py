import torch

from tests.conftest import RECIPE, weights_of
from unlearning.losses.supcon import supcon
from unlearning.models.ec_modules import ec_modules
from unlearning.models.supervision import SupervisedNetwork
from unlearning.params import PretrainEC
from unlearning.training.ec_modules import pretrain_ec_modules

CONFIG = PretrainEC(**{**RECIPE, "batch_size": 32, "epochs": 6, "tau": 0.07})


def started(make_run, **options):
    run = make_run(**options)
    run.modules = ec_modules(run.model)
    return run


def test_backbone_and_its_statistics_stay_and_every_module_learns(make_run) -> None:
    run = started(make_run)
    model, modules = weights_of(run.model), weights_of(run.modules)
    rows = run.drive(pretrain_ec_modules(run, CONFIG)).rows
    assert all(torch.equal(model[name], value) for name, value in run.model.state_dict().items())
    assert all(not torch.equal(modules[name], value) for name, value in run.modules.named_parameters())
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_loss_is_supcon_on_two_views_of_each_image_summed_over_the_stages(make_run) -> None:
    run, twin = started(make_run), make_run(folder="twin")
    twin.modules = ec_modules(twin.model)
    twin.modules.load_state_dict(run.modules.state_dict())
    loss = next(pretrain_ec_modules(run, CONFIG))
    batch = next(twin.visit("all", 32, CONFIG.augment, 1, views=2))
    assert torch.equal(batch.positions[:32], batch.positions[32:])
    assert not torch.equal(batch.images[:32], batch.images[32:])
    network = SupervisedNetwork(twin.model, ["layer1", "layer2", "layer3"], twin.modules).train()
    twin.model.eval()
    expected = sum(supcon(point.embedding, batch.labels, 0.07) for point in network(batch.images)[:3])
    torch.testing.assert_close(loss, expected)
