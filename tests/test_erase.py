import re
from pathlib import Path

import pytest

from tests.conftest import SHAPE, config_of, values_of_params
from unlearning import erase, estimate
from unlearning.commands import main
from unlearning.data.manifest import Manifest
from unlearning.models.backbone import build
from unlearning.models.checkpoint import Checkpoint, checkpoint_path, new_header, save_checkpoint
from unlearning.params import Params, Start
from unlearning.params_file import load_params
from unlearning.scenario import write_values

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def params_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the repository's parameters into an empty folder and go there."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_bytes((REPOSITORY / "params.yaml").read_bytes())
    return path


def test_erasing_is_one_method_of_one_seed_without_retraining_and_all_else_stays(
    params_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_params(params_file)
    main(["erase", "cu"])
    after = load_params(params_file)
    assert (list(after.references), list(after.methods)) == (["original"], ["cu"])
    assert (after.seeds, after.headline, after.figures.models) == (before.seeds[:1], "cu", ["cu"])
    own = {"seeds", "references", "methods", "headline", "figures"}
    assert after.model_dump(exclude=own) == before.model_dump(exclude=own)
    assert "references: ['original', 'retrained'] -> " in capsys.readouterr().out.replace('"', "'")
    main(["erase", "cu"])
    assert capsys.readouterr().out == "params.yaml holds these values already\n"


def test_after_one_method_each_other_can_follow_from_where_it_starts(params_file: Path) -> None:
    rows = load_params(params_file).methods
    write_values(erase.values_of("ec", load_params(params_file)), "erase ec", params_file)
    after = load_params(params_file)
    assert list(after.methods) == ["ec"]
    assert {name: erase.start_of(name, after) for name in rows} == {name: row.start for name, row in rows.items()}
    write_values(erase.values_of("cola_ec", after), "erase cola_ec", params_file)
    assert load_params(params_file).methods == {"cola_ec": rows["cola_ec"]}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: method"),
        (["cu", "ec"], "unrecognized arguments: ec"),
        (["duc"], r"erase: 'duc' is none of the methods .* \(did you mean 'duck'\?\)"),
    ],
)
def test_a_wrong_call_is_refused_and_changes_nothing(
    params_file: Path, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = params_file.read_bytes()
    with pytest.raises(SystemExit):
        main(["erase", *argv])
    assert re.search(message, capsys.readouterr().err)
    assert params_file.read_bytes() == before


def test_the_estimate_knows_the_steps_of_each_stage_ahead_and_writes_nothing(
    world: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = small_params({"rl": Start(start="original"), "ec": Start(start="ec_modules")})
    save_checkpoint(
        checkpoint_path("original", 0), Checkpoint(new_header(SHAPE, world, "train@original", {}), build(SHAPE), None)
    )
    configs = {"rl": config_of("rl"), "ec": config_of("ec", omega=2)}
    monkeypatch.setattr(estimate, "method_config", configs.__getitem__)
    before = sorted(Path().rglob("*"))
    found = estimate.rehearsals(params, world)
    assert list(found) == ["pretrain_ec", "rl", "ec"]
    forget, everything = (len(world.select("train", part)) // 8 for part in ("forget", "all"))
    assert found["pretrain_ec"].steps == params.pretrain_ec.epochs * everything
    assert found["ec"].steps == configs["ec"].epochs * forget * configs["ec"].omega
    assert found["rl"].steps > found["rl"].step > 0
    assert all(one.seconds == one.before + one.steps * one.step for one in found.values())
    assert sorted(Path().rglob("*")) == before


def small_params(methods: dict[str, Start]) -> Params:
    values = values_of_params()
    shared = {key: value for key, value in values.items() if key in Params.model_fields}
    params = Params.model_validate(shared | {"seeds": [0], "precision": "fp32"})
    pretraining = params.pretrain_ec.model_copy(update={"batch_size": 8, "epochs": 2})
    return params.model_copy(update={"methods": methods, "pretrain_ec": pretraining})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.0, "59 s"), (61.0, "2 min"), (5300.0, "89 min"), (5400.0, "1.5 h"), (90_000.0, "25.0 h")],
)
def test_times_are_readable(seconds: float, text: str) -> None:
    assert estimate.readable(seconds) == text
