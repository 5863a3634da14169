import pytest
import torch
from torch import Tensor

from unlearning.metrics.alone.prototype import Head, class_means, ground, imprinted

CLASSES, DIMENSION, FORGET = 5, 6, [1, 3]
RETAINED = [0, 2, 4]


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(300) % CLASSES


@pytest.fixture
def features(labels: Tensor) -> Tensor:
    """Return features with a centre for each class, a large mean common to all, and noise; never below zero."""
    torch.manual_seed(0)
    centres = 2 * torch.randn(CLASSES, DIMENSION) + 5
    return (centres[labels] + 0.3 * torch.randn(len(labels), DIMENSION)).double().relu()


@pytest.fixture
def head() -> Head:
    torch.manual_seed(1)
    return Head(torch.randn(CLASSES, DIMENSION).double(), torch.randn(CLASSES).double())


def attack(features: Tensor, labels: Tensor, head: Head, shots: int = 4, false_alarms: float = 0.05) -> Head:
    places = torch.cat([(labels == label).nonzero()[:shots, 0] for label in FORGET])
    means = class_means(features[places], labels[places], torch.tensor(FORGET))
    return imprinted(ground(head, features, labels, FORGET), means, false_alarms)


def test_the_rows_are_those_of_the_formula(features: Tensor, labels: Tensor, head: Head) -> None:
    found = attack(features, labels, head)
    centre = sum(features[labels == label].mean(dim=0) for label in RETAINED) / len(RETAINED)
    norm = sum(float((head.weight[label] ** 2).sum()) ** 0.5 for label in RETAINED) / len(RETAINED)
    for label in FORGET:
        drawn = features[labels == label][:4].mean(dim=0) - centre
        assert found.weight[label] == pytest.approx(norm * drawn / float((drawn**2).sum()) ** 0.5)
    margins = []
    for feature in features[~torch.isin(labels, torch.tensor(FORGET))]:
        own = max(float(head.weight[label] @ feature + head.bias[label]) for label in RETAINED)
        margins.append(max(float(found.weight[label] @ (feature - centre)) for label in FORGET) - own)
    threshold = torch.tensor(margins).double().sort().values.quantile(0.95)
    for label in FORGET:
        assert float(found.bias[label]) == pytest.approx(float(-found.weight[label] @ centre - threshold))


def test_the_retained_rows_stay_and_the_given_head_is_not_changed(features: Tensor, labels: Tensor, head: Head) -> None:
    before = head.weight.clone()
    found = attack(features, labels, head)
    assert torch.equal(found.weight[RETAINED], head.weight[RETAINED])
    assert torch.equal(found.bias[RETAINED], head.bias[RETAINED])
    assert torch.equal(head.weight, before)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3])
def test_the_given_share_of_retained_training_images_goes_to_forgotten_classes(
    features: Tensor, labels: Tensor, head: Head, share: float
) -> None:
    found = attack(features, labels, head, false_alarms=share)
    answers = found.logits(features[~torch.isin(labels, torch.tensor(FORGET))]).argmax(dim=1)
    alarms = torch.isin(answers, torch.tensor(FORGET)).double().mean()
    assert float(alarms) == pytest.approx(share, abs=1 / 180)


def test_what_the_head_says_of_the_forgotten_classes_changes_nothing(
    features: Tensor, labels: Tensor, head: Head
) -> None:
    weight, bias = head.weight.clone(), head.bias.clone()
    weight[FORGET], bias[FORGET] = 0.0, -100.0
    ours, zeroed = attack(features, labels, head), attack(features, labels, Head(weight, bias))
    assert torch.equal(ours.weight, zeroed.weight)
    assert torch.equal(ours.bias, zeroed.bias)


def test_rotating_shifting_and_scaling_the_features_changes_no_logit(
    features: Tensor, labels: Tensor, head: Head
) -> None:
    torch.manual_seed(2)
    rotation = torch.linalg.qr(torch.randn(DIMENSION, DIMENSION).double()).Q
    shift = torch.randn(DIMENSION).double()
    moved = 3.0 * features @ rotation + shift
    weight = head.weight @ rotation / 3.0
    same = Head(weight, head.bias - weight @ shift)
    assert torch.allclose(same.logits(moved), head.logits(features))
    expected = attack(features, labels, head).logits(features)
    assert torch.allclose(attack(moved, labels, same).logits(moved), expected)


def test_well_separated_classes_come_back_from_one_image_and_equal_features_do_not(labels: Tensor) -> None:
    separate = torch.nn.functional.one_hot(labels, CLASSES).double()
    head = Head(torch.eye(CLASSES).double(), torch.zeros(CLASSES).double())
    head.weight[FORGET] = 0.0
    forget = torch.isin(labels, torch.tensor(FORGET))
    assert head.accuracy(separate[forget], labels[forget]) == 0
    found = attack(separate, labels, head, shots=1)
    assert found.accuracy(separate[forget], labels[forget]) == 100
    collapsed = separate.clone()
    collapsed[forget] = separate[labels == 0][0]
    found = attack(collapsed, labels, head, shots=1)
    assert found.weight.isfinite().all()
    assert found.accuracy(collapsed[forget], labels[forget]) <= 50


def test_a_forget_class_at_the_centre_of_the_retained_ones_gives_finite_rows(labels: Tensor, head: Head) -> None:
    constant = torch.full((len(labels), DIMENSION), 0.1).double()
    found = attack(constant, labels, head)
    assert found.weight.isfinite().all()
    assert found.bias.isfinite().all()


def test_a_retained_class_without_images_is_left_out_of_the_centre(
    features: Tensor, labels: Tensor, head: Head
) -> None:
    some = labels != 4
    on = ground(head, features[some], labels[some], FORGET)
    expected = (features[labels == 0].mean(dim=0) + features[labels == 2].mean(dim=0)) / 2
    assert torch.allclose(on.centre, expected)
    assert on.best.shape == (120,)
