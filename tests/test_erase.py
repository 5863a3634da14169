import re
from pathlib import Path

import pytest

from unlearning import erase
from unlearning.commands import main
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
