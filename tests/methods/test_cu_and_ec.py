import pytest
import torch
from torch.nn import functional as F

from tests.conftest import UNLEARN_RECIPE, weights_of
from unlearning.errors import InputError
from unlearning.methods import cu, ec
from unlearning.methods.families.points import every_point
from unlearning.models.ec_modules import ec_modules
from unlearning.models.supervision import SupervisedNetwork

CU = {"tau": 0.07, "omega": 2, "lambda_cu": 1.0, "lambda_ce": 1.0, "joint_forward": True}
EC = CU | {"layer_weights": [0.2, 0.4, 0.8, 1.0], "modules": True, "layer_ce": True, "extra_points": []}


def cu_config(**changes: object) -> cu.Config:
    return cu.Config(**{**UNLEARN_RECIPE, **CU, **changes})


def ec_config(**changes: object) -> ec.Config:
    return ec.Config(**{**UNLEARN_RECIPE, **EC, **changes})


def with_modules(make_run, **options):
    run = make_run(**options)
    torch.manual_seed(1)
    run.modules = ec_modules(run.model)
    return run


def test_cu_loss_is_the_papers_on_the_penultimate_feature(make_run) -> None:
    run, twin = make_run(), make_run(folder="twin")
    twin.optimise(twin.model, cu_config())
    expected_model = twin.model
    loss = next(cu.unlearn(run, cu_config()))
    forget, retain = next(twin.pairs(cu_config(), 2))
    images = torch.cat([forget.images, retain.images])
    features = expected_model.forward_head(expected_model.forward_features(images), pre_logits=True)
    logits = expected_model.get_classifier()(features)[len(forget.labels) :]
    z = F.normalize(features, dim=1)
    pairs = -(z[: len(forget.labels)] @ z[len(forget.labels) :].T / 0.07).mean()
    torch.testing.assert_close(loss, pairs + F.cross_entropy(logits, retain.labels), rtol=1e-4, atol=1e-4)


def test_ec_with_only_the_final_point_weighted_trains_the_backbone_like_cu(make_run) -> None:
    plain, deep = make_run(name="same"), with_modules(make_run, name="same", folder="deep")
    plain.drive(cu.unlearn(plain, cu_config()))
    deep.drive(ec.unlearn(deep, ec_config(layer_weights=[0.0, 0.0, 0.0, 1.0], modules=False, layer_ce=False)))
    expected, actual = weights_of(plain.model), weights_of(deep.model)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_ec_trains_backbone_classifier_modules_and_heads(make_run) -> None:
    run = with_modules(make_run)
    network = every_point(run, ec_config()).network
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    run_network = {}

    def program():
        for loss in ec.unlearn(run, ec_config()):
            run_network["network"] = run.network
            yield loss

    run.drive(program())
    after = dict(run_network["network"].named_parameters())
    unmoved = [name for name, value in before.items() if "heads" not in name and torch.equal(after[name], value)]
    assert unmoved == []
    heads = [name for name, parameter in after.items() if "heads" in name and parameter.grad is not None]
    assert len(heads) == 2 * 3


@pytest.mark.parametrize(
    ("changes", "modules", "heads", "points"),
    [
        ({}, 3, 3, 4),
        ({"modules": False}, 0, 3, 4),
        ({"layer_ce": False}, 3, 0, 4),
        ({"extra_points": ["layer4.0.conv1"], "layer_weights": [0.2, 0.4, 0.8, 0.9, 1.0]}, 3, 4, 5),
    ],
)
def test_switches(make_run, changes: dict, modules: int, heads: int, points: int) -> None:
    run = with_modules(make_run)
    config = ec_config(**changes)
    network: SupervisedNetwork = every_point(run, config).network
    assert (len(network.attached), len(network.heads), len(network.names)) == (modules, heads, points)
    run.drive(ec.unlearn(run, config))


@pytest.mark.parametrize("joint", [True, False])
def test_joint_forward_shares_batch_statistics(make_run, joint: bool) -> None:
    run = with_modules(make_run)
    next(ec.unlearn(run, ec_config(joint_forward=joint)))
    assert run.model.bn1.num_batches_tracked == (1 if joint else 2)


def test_a_wrong_number_of_weights_names_the_points(make_run) -> None:
    run = with_modules(make_run, name="ec")
    with pytest.raises(InputError, match=r"ec\.layer_weights: 2 weights for 4 .*layer1, layer2, layer3, final"):
        next(ec.unlearn(run, ec_config(layer_weights=[1.0, 1.0])))


def test_an_unknown_extra_point_is_named(make_run) -> None:
    run = with_modules(make_run, name="ec")
    with pytest.raises(InputError, match=r"ec\.extra_points: the model has no layer 'layer4\.7'"):
        next(ec.unlearn(run, ec_config(extra_points=["layer4.7"])))


@pytest.mark.parametrize("method", ["cu", "ec"])
def test_forgets_and_keeps(trained_run, method: str) -> None:
    run = trained_run()
    program = {"cu": cu.unlearn, "ec": ec.unlearn}[method]
    config = {"cu": cu_config, "ec": ec_config}[method](epochs=5, lr=0.02)
    rows = run.drive(program(run, config)).rows
    assert rows[-1]["validation_forget_acc"] == 0
    assert rows[-1]["validation_retain_acc"] > 60
