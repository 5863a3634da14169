import re
import subprocess
from collections.abc import Callable
from difflib import ndiff
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo as DvcRepo

from unlearning.check import check
from unlearning.check_network import Network, method_faults
from unlearning.commands import main
from unlearning.errors import InputError
from unlearning.methods import method_config
from unlearning.models.architecture import Architecture
from unlearning.params import Params
from unlearning.params_file import load_params
from unlearning.scenario import apply_scenario, known_scenarios, scenario_file, values_of

REPOSITORY = Path(__file__).parents[1]
ORIGINAL = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
SCENARIOS = sorted((REPOSITORY / "scenarios").glob("*.yaml"))
PET_SET = {"name": "pets", "source": "image_folder", "root": "data/pets"}


def with_two_methods(text: str) -> str:
    """Return the parameters without the blocks of most methods: read and checked in a tenth of the time.

    An accented letter in a comment is added.
    """
    kept = ["# caf\u00e9\n"]
    for block in re.split(r"(?m)^(?=\w)", text):
        name = block.partition(":")[0]
        if name == "methods":
            kept.append(block.partition("\n")[0] + "\n  cu:\n    start: original\n  ec:\n    start: ec_modules\n\n")
        elif not re.match(r"\w", block) or name in {*Params.model_fields, "cu", "ec"}:
            kept.append(block)
    return "".join(kept)


SMALL = with_two_methods(ORIGINAL)
VALUES = yaml.safe_load(SMALL)


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """Return a file with the repository's parameters, but for most methods."""
    path = tmp_path / "params.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture
def apply(params: Path) -> Callable[[str], list[str]]:
    """Return a function that applies a scenario of this text and returns what it says has changed."""

    def run(text: str) -> list[str]:
        scenario = params.with_name("scenario.yaml")
        scenario.write_text(text, encoding="utf-8")
        return apply_scenario(scenario, params)

    return run


def refusal(apply: Callable[[str], list[str]], params: Path, text: str) -> str:
    """Return the message with which the scenario is refused; nothing is written and nothing is left beside the file."""
    before = params.read_bytes()
    with pytest.raises(InputError) as caught:
        apply(text)
    assert params.read_bytes() == before
    assert {path.name for path in params.parent.iterdir()} == {"params.yaml", "scenario.yaml"}
    return str(caught.value)


def differences(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that are gone and those that came, byte for byte."""
    marked = list(ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    return [line[2:] for line in marked if line[0] == "-"], [line[2:] for line in marked if line[0] == "+"]


def comment_of(line: str) -> str:
    return line.partition("#")[2]


def comments(text: str) -> list[str]:
    return [comment_of(line) for line in text.splitlines() if "#" in line]


def shown(value: object) -> str:
    return "" if value is None else str(value)


def at(values: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {dotted key: value} of everything that is no mapping, and of mappings that are replaced whole."""
    found = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        whole = not isinstance(value, dict) or key in ("model.kwargs", "methods")
        found |= {key: value} if whole else leaves(value, f"{key}.")
    return found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("headline", "cu"),
        ("precision", "fp32"),
        ("train.lr", 0.0625),
        ("train.clip_norm", 2.5),
        ("relearn.augment.flip", 0.125),
        ("ec.augment.grayscale", 0.125),
        ("search.forget_weight", 3.0),
    ],
)
def test_a_changed_value_changes_one_line_whose_comment_is_kept(
    apply: Callable[[str], list[str]], params: Path, key: str, value: object
) -> None:
    before, old = params.read_text(encoding="utf-8"), at(VALUES, key)
    *blocks, last = key.split(".")
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(blocks))
    assert apply(f"{text}{'  ' * len(blocks)}{last}: {value}  # of the scenario\n") == [
        f"{key}: {shown(old)} -> {value}"
    ]
    after = params.read_text(encoding="utf-8")
    (gone,), (came,) = differences(before, after)
    assert came.startswith(f"{'  ' * len(blocks)}{last}: {value} ")
    assert comment_of(came) == comment_of(gone) != ""
    assert at(yaml.safe_load(after), key) == value


def test_nested_keys_are_merged_and_their_neighbours_stay(apply: Callable[[str], list[str]], params: Path) -> None:
    text = (
        "train:\n  epochs: 77\n  augment:\n    padding: 3\n    flip: 0.375\ndata:\n  image_size: 16\nprecision: fp32\n"
    )
    changed = apply(text)
    assert [line.partition(":")[0] for line in changed] == [
        "train.epochs",
        "train.augment.padding",
        "train.augment.flip",
        "data.image_size",
        "precision",
    ]
    expected = yaml.safe_load(SMALL)
    expected["train"] |= {"epochs": 77}
    expected["train"]["augment"] |= {"padding": 3, "flip": 0.375}
    expected["data"]["image_size"], expected["precision"] = 16, "fp32"
    assert yaml.safe_load(params.read_text(encoding="utf-8")) == expected


def test_values_that_the_file_holds_already_are_not_named_and_change_nothing(
    apply: Callable[[str], list[str]], params: Path
) -> None:
    before = params.read_bytes()
    assert apply(SMALL) == []
    assert params.read_bytes() == before


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("attacks.shots", "attacks:\n  shots:\n  - 2\n  - 7\n", [2, 7]),
        ("attacks.shots", "attacks:\n  shots: [2, 7]\n", [2, 7]),
        ("attacks.shots", "attacks:\n  shots: []\n", []),
        ("figures.models", "figures:\n  models: []\n", []),
        ("ec.layer_weights", "ec:\n  layer_weights: [1.0]\n", [1.0]),
        ("forget.classes", "forget:\n  classes: [3, cat]\n", [3, "cat"]),
        ("forget.classes", "forget:\n  classes:\n  - 3\n  - cat\n", [3, "cat"]),
        ("data.mean", "data:\n  mean: [0.5]\n", [0.5]),
        ("data.mean", "data:\n  mean:\n  - 0.5\n", [0.5]),
        ("evaluate.layers", "evaluate:\n  layers: [layer4]\n", ["layer4"]),
        ("lira.shadows", "lira:\n  shadows: [0, 1]\n", [0, 1]),
        ("lira.shadows", "lira:\n  shadows:\n  - 0\n  - 1\n", [0, 1]),
        ("downstream", "downstream: [{name: pets, source: image_folder, root: data/pets}]\n", [PET_SET]),
        ("downstream", "downstream:\n- name: pets\n  source: image_folder\n  root: data/pets\n", [PET_SET]),
    ],
)
def test_a_list_is_replaced_whole_in_any_style_and_all_else_stays(
    apply: Callable[[str], list[str]], params: Path, key: str, text: str, value: list[Any]
) -> None:
    before, old = params.read_text(encoding="utf-8"), at(VALUES, key)
    assert apply(text) == [f"{key}: {shown(old)} -> {value}"]
    after = params.read_text(encoding="utf-8")
    assert leaves(yaml.safe_load(after)) == leaves(VALUES) | {key: value}
    assert comments(after) == comments(before)
    gone, came = differences(before, after)
    assert "".join(came) in after
    items = [line for line in gone if not line.strip().startswith("- ")]
    assert [line.strip().partition(":")[0] for line in items] in ([], [key.rpartition(".")[2]])


def test_a_long_value_stays_on_one_line(apply: Callable[[str], list[str]], params: Path) -> None:
    root = "a folder with spaces in its name/" * 6
    apply(f"data:\n  root: {root}\n")
    assert f"  root: {root} " in params.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["\n    depths:\n    - 2\n    - 6\n", " {depths: [2, 6]}\n"])
def test_the_arguments_of_the_model_are_replaced_whole(
    apply: Callable[[str], list[str]], params: Path, text: str
) -> None:
    (line,) = apply(f"model:\n  kwargs:{text}")
    assert line.startswith("model.kwargs: {")
    after = params.read_text(encoding="utf-8")
    assert leaves(yaml.safe_load(after)) == leaves(VALUES) | {"model.kwargs": {"depths": [2, 6]}}
    assert comments(after) == comments(SMALL)


def test_the_rows_of_the_table_are_replaced_whole(apply: Callable[[str], list[str]], params: Path) -> None:
    text = "methods:\n  ec:\n    start: original\nheadline: ec\nfigures:\n  models:\n  - ec\n"
    apply(text)
    assert yaml.safe_load(params.read_text(encoding="utf-8"))["methods"] == {"ec": {"start": "original"}}


def test_applying_twice_changes_nothing_more(apply: Callable[[str], list[str]], params: Path) -> None:
    text = "train:\n  lr: 0.0625\nmodel:\n  kwargs:\n    depths:\n    - 2\nattacks:\n  shots:\n  - 2\n"
    assert len(apply(text)) == 3
    once = params.read_bytes()
    assert apply(text) == []
    assert params.read_bytes() == once


def test_the_original_file_as_a_scenario_goes_back(apply: Callable[[str], list[str]], params: Path) -> None:
    before = params.read_text(encoding="utf-8")
    there = apply(
        "train:\n  lr: 0.0625\n  optimizer: adam\nmodel:\n  kwargs:\n    depths:\n    - 2\nforget:\n  count: 1\n"
    )
    back = apply(SMALL)
    assert sorted(line.partition(":")[0] for line in back) == sorted(line.partition(":")[0] for line in there)
    after = params.read_text(encoding="utf-8")
    assert [re.sub(" +#", " #", line) for line in after.splitlines()] == [
        re.sub(" +#", " #", line) for line in before.splitlines()
    ]


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("train:\n  epoch: 3\n", "train.epoch", " (did you mean 'epochs'?)"),
        ("ec:\n  augment:\n    filp: 0.5\n", "ec.augment.filp", " (did you mean 'flip'?)"),
        ("trian:\n  epochs: 3\n", "trian", " (did you mean 'train'?)"),
        ("headline: cu\ntrain:\n  xyzzy: 3\n", "train.xyzzy", ""),
        ("7: 3\n", "7", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_and_nothing_is_written(
    apply: Callable[[str], list[str]], params: Path, text: str, key: str, hint: str
) -> None:
    message = refusal(apply, params, text)
    assert message == f"{params.with_name('scenario.yaml')}: {key} is no key of params.yaml{hint}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train:\n  lr: -1\n", "train.lr: expected 1e-12 to 100 ("),
        (
            "headline: cu\ntrain:\n  lr: '0.001'\n",
            "train.lr: '0.001' is text, a number was expected; write it without quotes",
        ),
        ("ec:\n  omega: 0\n", "ec.omega: expected 1 to 1,000 ("),
        ("train: 3\n", "train: keys with values were expected, not 3"),
        ("headline: ecc\n", "headline: 'ecc' is none of the models"),
        ("lira:\n  shadows:\n  - 0\n", "shadows: give an even number"),
        ("ec:\n  stop_at_forget_acc: 101\n", "ec.stop_at_forget_acc: "),
    ],
)
def test_an_invalid_value_is_named_and_nothing_is_written(
    apply: Callable[[str], list[str]], params: Path, text: str, problem: str
) -> None:
    assert problem in refusal(apply, params, text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seeds: [1\ntrain: 2\n", "{}, line 2: not valid YAML: "),
        (b"seeds: 1\nseeds: 2\n", "{}, line 2: the key 'seeds' stands twice"),
        ("seeds: 0  # caf\u00e9\n".encode("latin-1"), "{}, line 1: this is no UTF-8"),
        (b"# comments alone\n", "{} should hold keys and values"),
        (b"- seeds\n", "{} should hold keys and values"),
    ],
)
@pytest.mark.parametrize("broken", ["scenario.yaml", "params.yaml"])
def test_a_file_that_is_no_yaml_mapping_is_named(params: Path, broken: str, content: bytes, message: str) -> None:
    scenario = params.with_name("scenario.yaml")
    scenario.write_text("headline: cu\n")
    params.with_name(broken).write_bytes(content)
    before = params.read_bytes()
    with pytest.raises(InputError) as caught:
        apply_scenario(scenario, params)
    assert str(caught.value).startswith(message.format(params.with_name(broken)))
    assert params.read_bytes() == before


@pytest.mark.parametrize("missing", ["scenario.yaml", "params.yaml"])
def test_a_missing_file_is_named(params: Path, missing: str) -> None:
    scenario = params.with_name("scenario.yaml")
    scenario.write_text("headline: cu\n")
    params.with_name(missing).unlink()
    with pytest.raises(InputError, match=f"{params.with_name(missing)} not found"):
        apply_scenario(scenario, params)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_each_scenario_of_the_repository_gives_valid_parameters_with_its_values(params: Path, scenario: Path) -> None:
    params.write_text(ORIGINAL, encoding="utf-8")
    own = leaves(values_of(scenario))
    changed = apply_scenario(scenario, params)
    assert {line.partition(":")[0] for line in changed} <= set(own)
    check(params)
    after = params.read_text(encoding="utf-8")
    assert leaves(yaml.safe_load(after)) == leaves(yaml.safe_load(ORIGINAL)) | own
    assert comments(after) == comments(ORIGINAL)
    assert apply_scenario(scenario, params) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_each_scenario_of_the_repository_resolves_to_a_graph_of_stages(params: Path, scenario: Path) -> None:
    for name in ("dvc.yaml", "data/dvc.yaml"):
        (params.parent / name).parent.mkdir(exist_ok=True)
        (params.parent / name).write_bytes((REPOSITORY / name).read_bytes())
    params.write_text(ORIGINAL, encoding="utf-8")
    apply_scenario(scenario, params)
    values = yaml.safe_load(params.read_text(encoding="utf-8"))
    with DvcRepo.init(str(params.parent), no_scm=True) as repo:
        graph = repo.index.graph  # raises for circles and for outputs of two stages
        names = {stage.name for stage in graph}
        ends = {stage.name for stage, degree in graph.in_degree() if degree == 0}
    rows = [*values["methods"], *values["audit"]]
    assert {f"unlearn@{row}" for row in values["methods"]} <= names
    assert {f"evaluate@{row}" for row in rows} <= names
    assert sum(name.startswith("transfer") for name in names) == len(values["downstream"]) * (len(rows) + 2)
    assert ends == {"report"}, "what no other stage depends on"


PAPER = {
    "imagenet_random100_resnet50": ("imagenet", "resnet50", 224, 90, 3),
    "imagenet_top100_cub_resnet50": ("imagenet", "resnet50", 224, 90, 3),
    "imagenet_random100_swin_tiny": ("imagenet", "swin_tiny_patch4_window7_224.ms_in22k", 224, 30, 3),
    "cifar100_random10_resnet50": ("cifar100", "resnet50", 32, 182, 0),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_scenarios_have_its_values(params: Path, name: str) -> None:
    params.write_text(ORIGINAL, encoding="utf-8")
    apply_scenario(REPOSITORY / f"scenarios/{name}.yaml", params)
    values = yaml.safe_load(params.read_text(encoding="utf-8"))
    said = (values["data"]["name"], values["model"]["name"], values["data"]["image_size"], values["train"]["epochs"])
    assert (*said, len(values["downstream"])) == PAPER[name]
    ec = values["ec"]
    assert (ec["lambda_cu"], ec["lambda_ce"], ec["tau"], ec["omega"]) == (1.5, 1.5, 0.07, 2)
    assert ec["layer_weights"] == [0.2, 0.4, 0.8, 1.0]
    assert ec["layer_ce"] == ("swin" not in name)
    assert [values["pretrain_ec"][key] for key in ("epochs", "batch_size", "lr")] == [80, 1024, 0.02]
    table = {"pl", "duck", "scar", "scrub", "salun", "rl", "delete", "cola", "cu", "ec"}
    assert table - set(values["methods"]) == ({"scar"} if "swin" in name else set())
    assert all(values[row]["augment"]["flip"] == 0.5 for row in values["methods"])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_every_method_of_a_scenario_fits_its_network(
    params: Path, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params.write_text(ORIGINAL, encoding="utf-8")
    apply_scenario(scenario, params)
    monkeypatch.chdir(params.parent)
    values = load_params(params)
    shape = Architecture(
        values.model.name, dict(values.model.kwargs), values.model.small_stem, 10, 3, values.data.image_size
    )
    configs = {method: method_config(method) for method in values.methods}
    assert list(method_faults(Network(shape), values.methods, configs)) == []


def test_a_scenario_takes_what_it_does_not_say_from_the_one_that_it_is_based_on(
    repository: Path, apply: Callable[[str], list[str]]
) -> None:
    base = "train:\n  epochs: 200\n  lr: 0.5\nmodel:\n  kwargs:\n    width: 2\n    depth: 3\n"
    (repository / "scenarios/large.yaml").write_text(base)
    (repository / "scenarios/middle.yaml").write_text("based_on: large\ntrain:\n  lr: 0.25\n")
    top = "based_on: middle\nmodel:\n  kwargs:\n    width: 4\nseeds:\n- 7\n"
    (repository / "scenarios/top.yaml").write_text(top)
    assert values_of(Path("scenarios/top.yaml")) == {
        "train": {"epochs": 200, "lr": 0.25},
        "model": {"kwargs": {"width": 4}},  # replaced whole, as in params.yaml
        "seeds": [7],
    }
    changed = apply("based_on: middle\ntrain:\n  epochs: 3\n")
    assert [line.partition(" -> ")[2] for line in changed if line.startswith("train.")] == ["3", "0.25"]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("larger", r"scenarios has no larger.yaml \(did you mean 'large'\?\)"),
        ("one", "scenarios/one.yaml: based_on: one is based on it itself; name another, or none"),
        ("other", "based_on: one is based on it itself|based_on: other is based on it itself"),
    ],
)
def test_a_base_that_is_not_there_and_a_circle_are_refused(base: str, message: str) -> None:
    Path("scenarios/one.yaml").write_text(f"based_on: {base}\n")
    Path("scenarios/other.yaml").write_text("based_on: one\n")
    with pytest.raises(InputError, match=message):
        values_of(Path("scenarios/one.yaml"))


@pytest.fixture
def repository(params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with params.yaml and two scenarios."""
    monkeypatch.chdir(params.parent)
    (params.parent / "scenarios").mkdir()
    for name, text in (("large", "train:\n  epochs: 200\n"), ("cifar_small", "train:\n  epochs: 12\n  lr: 0.0625\n")):
        (params.parent / "scenarios" / f"{name}.yaml").write_text(text)
    return params.parent


@pytest.mark.usefixtures("repository")
def test_a_known_scenario_is_found_by_its_name() -> None:
    assert known_scenarios() == ["cifar_small", "large"]
    assert scenario_file("large") == Path("scenarios/large.yaml")


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar_smal", " (did you mean 'cifar_small'?)"), ("xyzzy", ""), ("large.yaml", " (did you mean 'large'?)")],
)
def test_an_unknown_scenario_is_an_error_that_lists_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        scenario_file(name)
    assert str(caught.value) == f"scenarios has no {name}.yaml{hint}; there are cifar_small, large"


def said_by(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    main(["scenario", *words])
    return capsys.readouterr().out.splitlines()


def test_the_command_writes_params_yaml_and_prints_what_changed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = VALUES["train"]
    no_commit = "params.yaml is in no commit of git: what it held before is in the lines above alone"
    changes = [f"train.epochs: {old['epochs']} -> 12", f"train.lr: {old['lr']} -> 0.0625"]
    assert said_by(capsys, "cifar_small") == [*changes, no_commit]
    assert load_params(repository / "params.yaml").train.epochs == 12
    assert said_by(capsys, "cifar_small") == ["params.yaml holds these values already", no_commit]


@pytest.fixture
def committed(repository: Path) -> Path:
    """Commit the repository; return its params.yaml."""
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "state"]):
        user = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *user, *words], cwd=repository, check=True)
    return repository / "params.yaml"


def edit(params: Path, old: str, new: str) -> None:
    text = params.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    params.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_edit_in_no_commit_that_a_scenario_would_overwrite_is_named_and_nothing_is_written(committed: Path) -> None:
    apply_scenario(scenario_file("cifar_small"), committed)
    edit(committed, "epochs: 12", "epochs: 33")
    before = committed.read_bytes()
    with pytest.raises(InputError) as caught:
        apply_scenario(scenario_file("large"), committed)
    assert str(caught.value) == (
        f"scenarios/large.yaml would overwrite edits of {committed} that are in no commit: train.epochs: 33 -> 200; "
        f"commit {committed} first, or give --force"
    )
    assert committed.read_bytes() == before


def test_with_force_an_edit_is_overwritten_and_printed(committed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(committed, "  epochs: ", "  epochs: 1")
    (line, *_) = said_by(capsys, "large", "--force")
    assert re.fullmatch(r"train\.epochs: 1\d+ -> 200", line)


def test_from_one_scenario_to_the_next_nothing_is_refused_and_what_stays_of_the_first_is_said(
    committed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said_by(capsys, "cifar_small")[-1] == "back to the commit by `git checkout params.yaml`"
    edit(committed, "headline: ec", "headline: cu")
    assert said_by(capsys, "large") == [
        "train.epochs: 12 -> 200",
        f"kept: train.lr: 0.0625 (committed: {VALUES['train']['lr']})",
        "kept: headline: cu (committed: ec)",
        "back to the commit by `git checkout params.yaml`, but not to values above that were not committed",
    ]


def test_the_command_without_a_name_lists_the_known_ones(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (repository / "params.yaml").read_bytes()
    main(["scenario"])
    assert capsys.readouterr().out == "cifar_small\nlarge\n"
    assert (repository / "params.yaml").read_bytes() == before
