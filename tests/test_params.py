from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from tests.conftest import DROPPED, changed, values_of_params
from unlearning import check
from unlearning.errors import InputError, run_stage
from unlearning.methods import method_config
from unlearning.methods.ec import Config as ECConfig
from unlearning.params import ANOTHER, Params, rows_of
from unlearning.params_file import load_block, load_params

REPOSITORY = Path(__file__).parents[1]
ORIGINAL = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Return a function that writes a copy of params.yaml with the values at dotted keys replaced or dropped."""

    def write(changes: dict[str, Any]) -> Path:
        values = changed(values_of_params(), changes)
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    return write


def load_both(path: Path) -> None:
    load_params(path)
    load_block(ECConfig, "ec", path)


def refusal(path: Path) -> str:
    """Return the message with which the file, or the block `ec` of it, is refused."""
    with pytest.raises(InputError) as caught:
        load_both(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def test_the_repositorys_own_file_is_valid() -> None:
    path = REPOSITORY / "params.yaml"
    params = load_params(path)
    assert len(params.methods) > 1
    for name in params.methods:
        assert method_config(name, path).epochs >= 1


def test_the_values_are_those_of_the_file(edited: Callable[..., Path]) -> None:
    params = load_params(edited({"train.lr": 0.375, "forget.classes": [3, "cat"], "train.clip_norm": 2.5}))
    assert params.train.lr == 0.375
    assert params.forget.classes == [3, "cat"]
    assert params.train.clip_norm == 2.5


def test_every_number_in_the_file_is_a_number_and_no_text() -> None:
    for leaf in leaves(yaml.safe_load(ORIGINAL)):
        if isinstance(leaf, str):
            with pytest.raises(ValueError, match="could not convert"):
                float(leaf)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("ec.lamda_cu", "lambda_cu"),
        ("ec.augment.paddding", "padding"),
        ("trian", "train"),
        ("train.epoch", "epochs"),
        ("train.augment.filp", "flip"),
        ("methods.ec.strat", "start"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    edited: Callable[..., Path], key: str, nearest: str
) -> None:
    assert refusal(edited({key: 1.0})) == f"{key}: unknown key (did you mean {nearest!r}?)"


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("ec", {"checkpoint": "a"}, "audit: 'ec' is the name of another row or of a method; choose a name of its own"),
        ("retrained", {"checkpoint": "a"}, "audit: 'retrained' is the name of another row"),
        (ANOTHER, {"checkpoint": "a"}, f"audit: '{ANOTHER}' is the name of another row"),
        ("ec_modules", {"checkpoint": "a"}, "audit: 'ec_modules' is the name of another row"),
        ("a/b", {"checkpoint": "a"}, "audit: 'a/b' becomes the name of files; use letters, digits, _ and - alone"),
        ("v", {}, "audit.v.checkpoint: this key is missing"),
        ("v", {"checkpoint": None}, "audit.v.checkpoint: "),
        ("v", {"checkpoint": "a", "sha": "0"}, "audit.v.sha: unknown key (did you mean 'sha256'?)"),
        ("v", {"checkpoint": "a", "sha256": ["0", "1"]}, "audit.v.sha256: give one for each file of checkpoint"),
        ("v", {"checkpoint": ["a", "b"]}, "audit.v.checkpoint: 2 files for 3 seeds; give one for each, or one for all"),
    ],
)
def test_an_audited_model_that_cannot_be_a_row_is_named(
    edited: Callable[..., Path], name: str, entry: dict[str, Any], message: str
) -> None:
    assert refusal(edited({"audit": {name: entry}})).startswith(message)


def test_audited_models_are_rows_after_the_methods_and_can_be_drawn_and_be_the_headline(
    edited: Callable[..., Path],
) -> None:
    audit = {"vendor-1": {"checkpoint": "a"}, "other": {"checkpoint": ["a", "b", "c"], "sha256": ["0", "1", "2"]}}
    params = load_params(edited({"audit": audit, "headline": "other", "figures.models": ["vendor-1"]}))
    assert rows_of(params)[-3:] == [list(params.methods)[-1], *params.audit]


def test_no_query_asks_for_no_picture_and_fewer_than_none_are_refused(edited: Callable[..., Path]) -> None:
    assert load_params(edited({"figures.queries": 0})).figures.queries == 0
    assert "figures.queries: expected 0 to 100 (" in refusal(edited({"figures.queries": -1}))


def test_an_unknown_key_unlike_any_known_one_gets_no_suggestion(edited: Callable[..., Path]) -> None:
    assert refusal(edited({"train.xyzzy": 1})) == "train.xyzzy: unknown key"


@pytest.mark.parametrize("key", ["seeds", "train", "train.lr", "data.mean", "idi.floor", "ec.tau", "ec.augment.flip"])
def test_a_missing_key_is_named(edited: Callable[..., Path], key: str) -> None:
    assert refusal(edited({key: DROPPED})) == f"{key}: this key is missing"


def test_every_problem_is_named_at_once(edited: Callable[..., Path]) -> None:
    message = refusal(edited({"train.lr": -1, "train.batch_sise": 4, "idi.floor": DROPPED}))
    assert "train.lr: " in message
    assert "train.batch_sise: unknown key (did you mean 'batch_size'?)" in message
    assert "idi.floor: this key is missing" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.epochs", 2.5),
        ("train.epochs", 5.0),
        ("train.epochs", True),
        ("train.epochs", None),
        ("train.lr", True),
        ("train.lr", "high"),
        ("train.lr", [0.1]),
        ("train.optimizer", 3),
        ("model.kwargs", "resnet"),
        ("original.checkpoint", 5),
        ("ec.modules", 1),
        ("precision", "fp16"),
        ("methods.ec.start", "retrained"),
        ("methods", 5),
        ("methods", "ec"),
        ("methods", ["ec"]),
        ("methods", None),
    ],
)
def test_a_wrong_type_or_choice_is_named_with_what_was_given(
    edited: Callable[..., Path], key: str, value: object
) -> None:
    message = refusal(edited({key: value}))
    assert message.startswith(f"{key}: Input should be ")
    assert message.endswith(f", not {value!r}")


@pytest.mark.parametrize(("key", "value"), [("train", None), ("train.augment", 3), ("data", [1])])
def test_something_else_in_the_place_of_a_block_is_named(edited: Callable[..., Path], key: str, value: object) -> None:
    assert refusal(edited({key: value})) == f"{key}: keys with values were expected, not {value!r}"


@pytest.mark.parametrize(
    ("key", "value"),
    [("evaluate.layers", "layer4"), ("ec.layer_weights", 0.2), ("seeds", 3), ("forget.classes", "bonsai")],
)
def test_one_value_in_the_place_of_a_list_is_refused_with_the_list_of_it(
    edited: Callable[..., Path], key: str, value: object
) -> None:
    assert refusal(edited({key: value})) == f"{key}: a list was expected; write [{value!r}]"


@pytest.mark.parametrize("values", [{"data.mean": [123.7, 116.3, 103.5]}, {"data.std": [58.4, 57.1, 57.4]}])
def test_mean_and_std_of_pixels_up_to_255_are_refused(
    edited: Callable[..., Path], values: dict[str, list[float]]
) -> None:
    told = "these are of pixels in 0..1; divide what is of pixels in 0..255 by 255"
    assert refusal(edited(values)).startswith(f"{next(iter(values))}: {told}")


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(
    "key",
    [
        "train.lr",
        "train.epochs",
        "train.batch_size",
        "train.clip_norm",
        "pretrain_ec.tau",
        "ec.tau",
        "ec.lr",
        "mutual_information.trials",
    ],
)
def test_zero_and_negative_are_refused_where_nothing_would_happen(
    edited: Callable[..., Path], key: str, value: int
) -> None:
    message = refusal(edited({key: value}))
    assert message.startswith(f"{key}: expected ")
    assert message.endswith(f"), not {value}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.test_fraction", 0.0),
        ("data.test_fraction", 1.0),
        ("data.validation_fraction", 1.0),
        ("data.image_size", 3),
        ("train.augment.flip", 1.5),
        ("train.augment.min_area", 0.0),
        ("train.augment.jitter", 1.0),
        ("train.momentum", 1.0),
        ("train.batch_size", 1),
        ("ec.layer_weights", []),
        ("forget.count", 0),
    ],
)
def test_a_value_outside_its_range_is_refused(edited: Callable[..., Path], key: str, value: object) -> None:
    assert refusal(edited({key: value})).startswith(f"{key}: ")


@pytest.mark.parametrize("block", ["train", "pretrain_ec", "ec"])
def test_the_schedule_step_without_milestones_names_the_key(edited: Callable[..., Path], block: str) -> None:
    message = refusal(edited({f"{block}.schedule": "step", f"{block}.milestones": []}))
    assert message.startswith(f"{block}.milestones: the schedule `step` needs the epochs after which it lowers lr")


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_other_schedules_need_no_milestones(edited: Callable[..., Path], schedule: str) -> None:
    assert load_params(edited({"train.schedule": schedule, "train.milestones": []})).train.milestones == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.milestones", [5, 3]),
        ("train.milestones", [3, 3]),
        ("train.milestones", [0, 3]),
        ("train.milestones", [2.5]),
        ("train.milestones", None),
        ("train.decay", 0.0),
        ("train.decay", 1.0),
        ("train.decay", None),
    ],
)
def test_milestones_ascend_from_1_and_the_decay_lowers(edited: Callable[..., Path], key: str, value: object) -> None:
    assert refusal(edited({key: value})).startswith(key)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", ["train.lr", "train.weight_decay", "data.resident_gb", "ec.lambda_cu"])
def test_values_that_are_not_finite_are_refused(edited: Callable[..., Path], key: str, value: float) -> None:
    assert refusal(edited({key: value})) == f"{key}: Input should be a finite number, not {value}"


@pytest.mark.parametrize("values", [[float("nan")], [0.5, float("inf")]])
def test_lists_of_values_that_are_not_finite_are_refused(edited: Callable[..., Path], values: list[float]) -> None:
    assert refusal(edited({"data.mean": values})).startswith(f"data.mean.{len(values) - 1}: ")


def test_a_method_without_a_block_is_named(edited: Callable[..., Path]) -> None:
    assert refusal(edited({"ec": DROPPED})) == "methods: 'ec' has no block 'ec' with its parameters; add one"


def test_a_method_without_a_file_is_named_with_the_nearest(edited: Callable[..., Path]) -> None:
    message = refusal(edited({"methods.ecc": {"start": "original"}, "ecc": {"epochs": 1}}))
    assert message.startswith("methods: no file src/unlearning/methods/ecc.py (did you mean 'ec'?)")


def test_the_block_of_a_method_that_is_no_row_is_allowed(edited: Callable[..., Path]) -> None:
    assert list(
        load_params(edited({"methods": {"cu": {"start": "original"}, "ec": {"start": "ec_modules"}}})).methods
    ) == ["cu", "ec"]


def test_a_headline_that_is_no_row_is_refused(edited: Callable[..., Path]) -> None:
    message = refusal(edited({"headline": "rll"}))
    assert message == "headline: 'rll' is none of the models (did you mean 'rl'?)"


@pytest.mark.parametrize("row", ["original", "retrained", "cu"])
def test_references_and_methods_can_be_the_headline(edited: Callable[..., Path], row: str) -> None:
    assert load_params(edited({"headline": row})).headline == row


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "seeds: List should have at least 1 item"),
        ({"seeds": [0.5]}, "seeds.0: Input should be a valid integer"),
        ({"seeds": [4, 0, 4]}, "seeds: each seed is a repetition of its own; give different ones"),
        (
            {"seeds": [0, 1, 2], "retrained.checkpoint": ["a", "b"]},
            "retrained.checkpoint: 2 files for 3 seeds; give one for each, or one for all",
        ),
        ({"original.sha256": "abc"}, "original.sha256: give one for each file of checkpoint"),
        ({"seeds": [1, 2], "original.checkpoint": ["a", "b"], "original.sha256": "abc"}, "original.sha256: give one"),
        ({"seeds": [1, 2], "original.checkpoint": "a", "original.sha256": ["abc"]}, "original.sha256: give one"),
        ({"original.checkpoint": [5]}, "original.checkpoint"),
    ],
)
def test_seeds_and_files_that_do_not_fit_are_refused_by_their_key(
    edited: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    assert message in refusal(edited(changes))


def test_a_given_file_is_one_for_all_seeds_or_one_for_each(edited: Callable[..., Path]) -> None:
    one = load_params(edited({"original.checkpoint": "a", "original.sha256": "1"})).original
    assert [one.file_for(place) for place in range(3)] == [("a", "1")] * 3
    changes = {"seeds": [7, 3], "original.checkpoint": ["a", "b"], "original.sha256": ["1", "2"]}
    each = load_params(edited(changes)).original
    assert [each.file_for(place) for place in range(2)] == [("a", "1"), ("b", "2")]
    unknown = load_params(edited({"seeds": [7, 3], "original.checkpoint": ["a", "b"]})).original
    assert [unknown.file_for(place) for place in range(2)] == [("a", None), ("b", None)]


def test_the_noise_floor_is_a_row_where_there_are_two_seeds(edited: Callable[..., Path]) -> None:
    several = rows_of(load_params(edited({"seeds": [5, 6]})))
    assert several[:3] == ["original", "retrained", ANOTHER]
    single = rows_of(load_params(edited({"seeds": [5]})))
    assert single == [name for name in several if name != ANOTHER]
    assert set(single[2:]) == set(yaml.safe_load(ORIGINAL)["methods"])
    alone = rows_of(load_params(edited({"seeds": [5, 6], "references": {"original": {"knows": "data/split"}}})))
    assert alone == [name for name in several if name not in ("retrained", ANOTHER)]


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({"retrained": {"knows": "data/forget.json"}}, "references: the original model must be there"),
        ({"original": {"knows": "data/forget.json"}}, r"references: original\.knows must be data/split"),
        ({"original": {"knows": "data/split"}, "retraind": {"knows": "data/forget.json"}}, "references.*retraind"),
    ],
)
def test_a_reference_is_one_of_two_and_knows_what_it_may(
    edited: Callable[..., Path], references: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_params(edited({"references": references}))


def test_values_cannot_be_changed_after_loading() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.train.lr = 1.0


def test_a_missing_block_is_named(edited: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="the block 'ec' is missing; add it with its parameters"):
        load_block(ECConfig, "ec", edited({"ec": DROPPED}))


def test_the_check_of_the_whole_file_covers_the_methods_own_blocks(
    edited: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(edited({}).parent)
    run_stage(check.check_all)
    edited({"ec.lamda_cu": 1.0})
    with pytest.raises(SystemExit) as ended:
        run_stage(check.check_all)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: params.yaml: ec.lamda_cu: unknown key (did you mean 'lambda_cu'?)\n"


def test_each_block_of_the_file_is_one_the_code_reads() -> None:
    values = yaml.safe_load(ORIGINAL)
    assert set(values) == {*Params.model_fields, *values["methods"]}


def test_the_file_is_written_as_dvc_writes_it(tmp_path: Path) -> None:
    """`dvc exp run -S` rewrites the file: only the value that is set may show up in a diff."""
    path = tmp_path / "params.yaml"
    path.write_text(ORIGINAL)
    with modify_yaml(path):
        pass
    assert path.read_text() == ORIGINAL


def test_an_audit_set_on_the_command_line_is_taken_and_taken_out_again(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(ORIGINAL)
    with modify_yaml(path) as values:
        values["audit"]["vendor"] = {"checkpoint": "a.pt"}
    assert load_params(path).audit["vendor"].files == [Path("a.pt")]
    with modify_yaml(path) as values:
        del values["audit"]["vendor"]
    assert load_params(path) == load_params(REPOSITORY / "params.yaml")
