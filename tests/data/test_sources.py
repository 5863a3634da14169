from collections.abc import Callable

import pytest

from unlearning.errors import InputError
from unlearning.params import Data
from unlearning.sources import load_source


def test_the_name_chooses_the_source(make_data: Callable[..., Data]) -> None:
    assert len(load_source(make_data(name="digits")).train.ids) == 1797


def test_an_unknown_name_is_refused_with_the_nearest_and_all_there_are(make_data: Callable[..., Data]) -> None:
    with pytest.raises(InputError) as caught:
        load_source(make_data(name="cifar_10"))
    message = str(caught.value)
    assert "data.name: 'cifar_10' is none of cifar10, cifar100, digits, image_folder" in message
    assert message.endswith("(did you mean 'cifar10'?)")
