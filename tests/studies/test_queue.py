from pathlib import Path

import pytest

from unlearning.errors import InputError
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.studies.queue import dvc, plan, refuse_relative

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(ROOT)
    return load_params()


@pytest.mark.usefixtures("params")
def test_each_experiment_of_a_study_has_a_name_of_its_own_and_the_rows_start() -> None:
    planned = plan("plug_in")
    assert len({one.name for one in planned}) == len(planned) == 6
    assert all("evaluate.split='validation'" in one.overrides for one in planned)
    assert plan("plug_in") == planned


def test_images_that_a_copy_of_the_workspace_would_miss_are_refused(params: Params) -> None:
    refuse_relative(params)  # the digits are in a package
    data = params.data.model_copy(update={"name": "image_folder", "root": "data/raw/pets"})
    own = params.model_copy(update={"data": data})
    with pytest.raises(InputError, match=r"data\.root: data/raw/pets is relative.*make it absolute, /"):
        refuse_relative(own)
    refuse_relative(own.model_copy(update={"data": data.model_copy(update={"root": "/pets"})}))


def test_what_dvc_refuses_is_said_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="`dvc exp list --names-only` failed: .*not inside of a DVC repository"):
        dvc("exp", "list", "--names-only")
