"""params.yaml as a file: read by YAML 1.2 as DVC reads it, and refused in one line where it is no such file."""

from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml, modify_yaml

from unlearning.errors import InputError
from unlearning.methods.rl import Config
from unlearning.params_file import load_block, load_params

ORIGINAL = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")
Rewrite = Callable[[str, str], Path]


def refusal(path: Path) -> str:
    """Return the message with which the file is refused, without the file's name."""
    with pytest.raises(InputError) as caught:
        load_params(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    assert len(message) <= 500
    return message.removeprefix(str(path))


@pytest.mark.parametrize("text", ["1e-05", "1E-5", "1e-2", "+.5", "-0.0e3", ".5", "5.", "2e1", "1.5e+3", "1_0.5"])
def test_a_number_is_what_dvc_reads(rewritten: Rewrite, text: str) -> None:
    path = rewritten("weight_decay: 0.0005 ", f"weight_decay: {text} ")
    read = load_params(path).train.weight_decay
    assert read == load_yaml(path)["train"]["weight_decay"] == float(text)


@pytest.mark.parametrize(("text", "value"), [("010", 10), ("0o17", 15), ("0x1F", 31), ("08", 8), ("1_000", 1000)])
def test_a_whole_number_is_what_dvc_reads(rewritten: Rewrite, text: str, value: int) -> None:
    path = rewritten("epochs: 20 ", f"epochs: {text} ")
    assert load_params(path).train.epochs == load_yaml(path)["train"]["epochs"] == value


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "y", "1e", "0o9"])
def test_what_yaml_1_1_takes_for_something_else_is_text_as_for_dvc(rewritten: Rewrite, text: str) -> None:
    path = rewritten("classes: [] ", f"classes: [{text}] ")
    assert load_params(path).forget.classes == load_yaml(path)["forget"]["classes"] == [text]


@pytest.mark.parametrize("value", [1e-05, 1e-10, 2.5e-7, 0.1])
def test_a_small_number_that_dvc_writes_is_read_back(rewritten: Rewrite, value: float) -> None:
    path = rewritten("lr: 0.1 ", "lr: 0.1 ")
    with modify_yaml(path) as values:
        values["train"]["lr"] = value
    assert load_params(path).train.lr == value


@pytest.mark.parametrize("text", ["'0.5'", "'1e-2'", '"5"'])
def test_a_number_in_quotes_is_refused_with_what_to_do(rewritten: Rewrite, text: str) -> None:
    message = refusal(rewritten("lr: 0.1 ", f"lr: {text} "))
    assert message == f": train.lr: {text.strip(chr(34)).strip(chr(39))!r} is text, a number was expected; " + (
        "write it without quotes"
    )


def test_only_a_whole_number_in_quotes_is_advised_where_one_was_expected(rewritten: Rewrite) -> None:
    assert refusal(rewritten("epochs: 20 ", "epochs: '5' ")).endswith("write it without quotes")
    assert "without quotes" not in refusal(rewritten("epochs: 20 ", "epochs: '5.5' "))


def test_a_whole_number_with_an_exponent_is_refused_where_a_count_belongs(rewritten: Rewrite) -> None:
    assert refusal(rewritten("epochs: 20 ", "epochs: 1e2 ")).endswith("should be a valid integer, not 100.0")


@pytest.mark.parametrize(("text", "advice"), [("yes", "true"), ("on", "true"), ("no", "false"), ("off", "false")])
def test_a_boolean_of_yaml_1_1_is_refused_with_what_to_write(rewritten: Rewrite, text: str, advice: str) -> None:
    path = rewritten("retain_pass: true ", f"retain_pass: {text} ")
    with pytest.raises(InputError) as caught:
        load_block(Config, "rl", path)
    told = f"{path}: rl.retain_pass: {text!r} is text (YAML 1.2, as DVC reads it); write {advice}"
    assert str(caught.value) == told


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused(rewritten: Rewrite, text: str) -> None:
    assert ": train.lr: Input should be a finite number, not " in refusal(rewritten("lr: 0.1 ", f"lr: {text} "))


@pytest.mark.parametrize("text", ["nan", "inf", "'1e999'"])
def test_text_that_no_finite_number_can_replace_gets_no_such_advice(rewritten: Rewrite, text: str) -> None:
    message = refusal(rewritten("lr: 0.1 ", f"lr: {text} "))
    assert message == ": train.lr: Input should be a valid number, not {!r}".format(text.strip("'"))


@pytest.mark.parametrize("digits", ["9" * 10_000, "-" + "9" * 5_000, "0o" + "7" * 9_000])
def test_a_number_of_very_many_digits_is_refused_in_one_short_line(rewritten: Rewrite, digits: str) -> None:
    assert refusal(rewritten("epochs: 20 ", f"epochs: {digits} "))


def test_a_number_that_python_does_not_read_is_named_by_its_line(rewritten: Rewrite) -> None:
    line = ORIGINAL.partition("epochs: 20 ")[0].count("\n") + 1
    assert refusal(rewritten("epochs: 20 ", f"epochs: {'9' * 10_000} ")).startswith(f", line {line}: not valid YAML: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1\nb: 2\n", ", line 2: not valid YAML: did not find expected ',' or ']'"),
        ("a: 'x\nb: 2\nc: 3\n", ", line 4: not valid YAML: found unexpected end of stream (while scanning a quoted "),
        ("a:\n\tb: 1\n", ", line 2: not valid YAML: found character that cannot start any token; indent by spaces"),
        ("a: b: c\n", ", line 1: not valid YAML: mapping values are not allowed"),
        ("a: *x\n", ", line 1: not valid YAML: found undefined alias"),
        ("a: 1\nb: !!python/name:os.system x\n", ", line 2: not valid YAML: could not determine a constructor for the"),
        ("a: 1\nb: 2001-13-45\n", ", line 2: not valid YAML: month must be in 1..12"),
        ("a: 1\n---\nb: 2\n", ", line 2: not valid YAML: but found another document"),
        ("a: 1\nb: \x07\n", " is not valid YAML: unacceptable character #x0007"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", ", line 4: the key 'c' stands twice in its block; remove one"),
        ("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n", ", line 2: not valid YAML: "),
        ("- a\n- b\n", " should hold keys and values, but holds a list"),
        ("text\n", " should hold keys and values, but holds a str"),
        ("", " should hold keys and values, but holds nothing; `git checkout "),
        ("# a comment\n", " should hold keys and values, but holds nothing"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_named_with_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content, encoding="utf-8")
    assert refusal(path).startswith(message)


def test_a_file_that_is_no_utf_8_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("seed: 0\nname: caf\u00e9\n".encode("latin-1"))
    assert refusal(path) == ", line 2: this is no UTF-8 text; save the file as UTF-8"


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path) == " is a folder, a file with the parameters was expected"


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    assert refusal(tmp_path / "params.yaml") == " not found; run from the root of the repository"


@pytest.mark.parametrize(
    "deep", ["a: " + "[" * 300_000 + "]" * 300_000, "a: " + "{a: " * 30 + "1" + "}" * 30, "a:\n  " + "- " * 40 + "x"]
)
def test_blocks_within_very_many_blocks_are_refused_and_do_not_end_the_process(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(deep)
    assert "not valid YAML: more than 20 blocks within blocks" in refusal(path)


def test_a_value_that_repeats_itself_without_end_is_shown_cut_short(rewritten: Rewrite) -> None:
    doubled = "".join(f"    l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n" for n in range(1, 40))
    path = rewritten("    layers:\n", f"    l0: &l0 [1, 1]\n{doubled}    layers:\n")
    assert "model.kwargs.l1" in refusal(path)


@pytest.mark.parametrize("change", ["\ufeff{}", "{}"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path, change: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(change.format(ORIGINAL.replace("\n", "\r\n")).encode())
    plain = tmp_path / "plain.yaml"
    plain.write_text(ORIGINAL)
    assert load_params(path) == load_params(plain)


@pytest.mark.parametrize("key", ["1", "null", "true", "1.5", "2001-01-01"])
def test_a_key_that_is_no_text_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"{ORIGINAL}\n{key}: 1\n")
    assert refusal(path).startswith(": ")


def test_very_many_problems_make_one_message_that_counts_those_left_out(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("\n".join(f"{'long' * 30}{number}: 1" for number in range(500)))
    assert refusal(path).endswith(" more")


def test_a_long_value_and_one_of_several_lines_are_shown_cut_short(rewritten: Rewrite) -> None:
    assert "..." in refusal(rewritten("precision: auto", "precision: " + "x" * 100_000))
    assert "not " in refusal(rewritten("precision: auto", 'precision: "one\\ntwo"'))


def test_every_value_of_the_repositorys_file_is_the_one_dvc_compares() -> None:
    path = Path(__file__).parents[1] / "params.yaml"
    ours, dvcs = load_params(path).model_dump(), load_yaml(path)
    assert ours == {key: dvcs[key] for key in ours}


def test_every_line_with_a_key_says_what_it_is() -> None:
    """DVC loses a line break where a list is emptied (-S train.milestones=[]) and a later line has no comment."""
    rows = [line for line in ORIGINAL.splitlines() if line.strip() and not line.lstrip().startswith(("#", "- "))]
    silent = [line.split(":")[0].strip() for line in rows if " # " not in line and "{" not in line]
    assert silent == ["layers", "channels"]  # of model.kwargs, which scenarios replace whole, comments included


@pytest.mark.parametrize("key", ["train.milestones", "ec.layer_weights", "attacks.shots", "relearn.lrs"])
def test_a_list_can_be_emptied_by_dvc(rewritten: Rewrite, key: str) -> None:
    path = rewritten("seeds:", "seeds:")
    expected = load_yaml(path)
    *blocks, name = key.split(".")
    reduce(getitem, blocks, expected)[name] = []
    apply_overrides(str(path), [f"{key}=[]"])
    assert load_yaml(path) == expected
