import re
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from unlearning.errors import InputError
from unlearning.params_file import load_params, load_values
from unlearning.studies.study import (
    STUDIES,
    Experiment,
    Study,
    Value,
    experiment_name,
    hydra,
    known_studies,
    load_study,
    overrides_of,
    slug,
)

ROOT = Path(__file__).parents[2]
SMALL = Study(about="?", row="ec", experiments=[Experiment(name="EC"), Experiment(name="other", change={"ec.lr": 0.1})])


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / STUDIES).glob("*.yaml")))
def test_every_study_changes_only_keys_and_rows_that_there_are(name: str) -> None:
    study, values = load_study(name), load_values()
    for experiment in study.experiments:
        assert study.row_of(experiment) in values["methods"]
        for key in study.changes(experiment):
            block = values
            for part in key.split("."):
                assert part in block, key
                block = block[part]


@pytest.mark.parametrize(
    "value", [0.5, 3, True, False, None, "a 'quoted' path\\", [0.2, 1.0], ["layer4.0.act1"], [], "validation"], ids=repr
)
def test_values_come_through_hydras_grammar_as_they_are(value: Value) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"a.b={hydra(value)}"])
    read = override.value()
    assert (read.text if hasattr(read, "text") else read) == value


@pytest.mark.usefixtures("at_root")
def test_an_experiment_has_one_row_and_its_numbers_are_the_headline() -> None:
    params = load_params()
    overrides = overrides_of(SMALL, SMALL.experiments[1], params, "ec_modules")
    assert {f"~methods.{name}" for name in params.methods if name != "ec"} == {o for o in overrides if o[0] == "~"}
    assert overrides[-3:] == ["headline=ec", "figures.models=[ec]", "ec.lr=0.1"]


@pytest.mark.usefixtures("at_root")
def test_a_row_that_was_taken_out_is_put_back() -> None:
    params = load_params()
    fewer = params.model_copy(update={"methods": {"cu": params.methods["cu"]}})
    overrides = overrides_of(SMALL, SMALL.experiments[0], fewer, "ec_modules")
    assert overrides[:2] == ["+methods.ec={start:ec_modules}", "~methods.cu"]


def test_another_setting_is_another_experiment() -> None:
    one = SMALL.experiments[0]
    names = {
        experiment_name("s", one, values, overrides)
        for values in ({"a": 1}, {"a": 2})
        for overrides in (["b=1"], ["b=2"])
    }
    assert len(names) == 4
    assert all(re.fullmatch(r"s-ec-[0-9a-f]{8}", name) for name in names)
    assert experiment_name("s", one, {"a": 1}, []) == experiment_name("s", one, {"a": 1}, [])


@pytest.mark.parametrize(("name", "expected"), [("CU +EC", "cu-ec"), ("w/o. CE", "w-o-ce"), ("1.5 1.5", "1-5-1-5")])
def test_a_slug_is_part_of_a_git_ref(name: str, expected: str) -> None:
    assert slug(name) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("about: x\nrow: ec\nexperiments: []\n", r"experiments: .*at least 1"),
        ("about: x\nrow: ec\nexperiments:\n- {name: a}\n- {name: A}\n", r"experiments: two experiments are called a"),
        ("about: x\nrow: ec\nexperiments:\n- {name: retrained}\n", r"experiments\.0\.name: .*no reference's name"),
        ("about: x\nrow: ec\nexperiments:\n- {name: a, chnge: {}}\n", r"experiments\.0\.chnge"),
        ("about: x\n", r"experiments"),
    ],
)
def test_a_mistake_in_a_study_is_named(text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    STUDIES.mkdir()
    (STUDIES / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"studies/mine\.yaml: {said}"):
        load_study("mine")


@pytest.mark.usefixtures("at_root")
def test_an_unknown_study_is_answered_with_the_known_ones() -> None:
    assert {"ablation", "plug_in", "renew", "sensitivity"} <= set(known_studies())
    with pytest.raises(InputError, match=r"no ablatoin\.yaml.*ablation.*there are ablation, "):
        load_study("ablatoin")


def test_an_experiment_without_a_row_is_named() -> None:
    study = Study(about="?", experiments=[Experiment(name="a")])
    with pytest.raises(InputError, match="experiment 'a': no row"):
        study.row_of(study.experiments[0])
