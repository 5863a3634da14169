"""params.yaml as a file: read by YAML 1.2 as DVC reads it, and refused in one line where it is no such file."""

import os
import random
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml, modify_yaml

from unlearning.errors import InputError
from unlearning.methods.rl import Config
from unlearning.params_file import load_block, load_params, load_values

ORIGINAL = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")
Rewrite = Callable[[str, str], Path]


def line_of(text: str) -> int:
    """Return the number of the first line of params.yaml that holds the text."""
    return ORIGINAL.partition(text)[0].count("\n") + 1


def refusal(path: Path) -> str:
    """Return the message with which the file is refused, without the file's name."""
    with pytest.raises(InputError) as caught:
        load_params(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    assert len(message) <= 500
    return message.removeprefix(str(path))


@pytest.mark.parametrize("text", ["1e-05", "2.5e-07", ".5", "5.", "0.5e+1", "1.5e-3", "0_1.5", "-0.0"])
def test_a_number_is_what_dvc_reads(rewritten: Rewrite, text: str) -> None:
    path = rewritten("weight_decay: 0.0005 ", f"weight_decay: {text} ")
    read = load_params(path).train.weight_decay
    assert read == load_yaml(path)["train"]["weight_decay"] == float(text)


@pytest.mark.parametrize(("text", "value"), [("10", 10), ("0x1F", 31), ("0b11", 3), ("1_000", 1000)])
def test_a_whole_number_is_what_dvc_reads(rewritten: Rewrite, text: str, value: int) -> None:
    path = rewritten("epochs: 20 ", f"epochs: {text} ")
    assert load_params(path).train.epochs == load_yaml(path)["train"]["epochs"] == value


@pytest.mark.parametrize("text", ["y", "n", "1e", "0o9", "12a"])
def test_what_looks_like_something_else_is_text_as_for_dvc(rewritten: Rewrite, text: str) -> None:
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
    assert refusal(rewritten("epochs: 20 ", "epochs: 1.0e+2 ")).endswith("should be a valid integer, not 100.0")


@pytest.mark.parametrize(("text", "advice"), [("yes", "true"), ("on", "true"), ("no", "false"), ("off", "false")])
def test_a_boolean_of_yaml_1_1_is_refused_with_what_to_write(rewritten: Rewrite, text: str, advice: str) -> None:
    path = rewritten("retain_pass: true ", f"retain_pass: {text} ")
    with pytest.raises(InputError) as caught:
        load_block(Config, "rl", path)
    told = f": {text} is text to DVC (YAML 1.2), {advice} to YAML 1.1; write {text!r}, in quotes, or {advice}"
    assert str(caught.value) == f"{path}, line {line_of('retain_pass: true ')}{told}"


@pytest.mark.parametrize("text", ["'yes'", '"off"'])
def test_a_boolean_in_quotes_is_refused_where_none_is_meant(rewritten: Rewrite, text: str) -> None:
    with pytest.raises(InputError, match=r"rl\.retain_pass: '(yes|off)' is text .* write (true|false)$"):
        load_block(Config, "rl", rewritten("retain_pass: true ", f"retain_pass: {text} "))


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "1.0e+999"])
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
    message = refusal(rewritten("epochs: 20 ", f"epochs: {'9' * 10_000} "))
    assert message.startswith(f", line {line_of('epochs: 20 ')}: not valid YAML: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1\nb: 2\n", ", line 2: not valid YAML: did not find expected ',' or ']'"),
        ("a: 'x\nb: 2\nc: 3\n", ", line 4: not valid YAML: found unexpected end of stream (while scanning a quoted "),
        ("a:\n\tb: 1\n", ", line 2: not valid YAML: found character that cannot start any token; indent by spaces"),
        ("a: b: c\n", ", line 1: not valid YAML: mapping values are not allowed"),
        ("a: *x\n", ", line 1: not valid YAML: found undefined alias"),
        ("a: 1\nb: !!python/name:os.system x\n", ", line 2: the tag tag:yaml.org,2002:python/na... is not taken"),
        ("a: 1\nb: 2001-13-45\n", ", line 2: not valid YAML: month must be in 1..12"),
        ("a: 1\n---\nb: 2\n", ", line 2: not valid YAML: but found another document"),
        ("a: 1\nb: \x07\n", ", line 2: the character #x0007 stands in no YAML; take it out"),
        ("a: 1\nb: c\x00d\n", ", line 2: the character #x0000 stands in no YAML; take it out"),
        ('a: 1\nb: "c\\0d"\n', ", line 2: 'c\\x00d' holds the control character '\\x00'; take it out"),
        ('a: 1\nb: "\\ud800"\n', ", line 2: not valid YAML: found invalid Unicode character escape code"),
        ("%YAML 1.1\n---\na: 010\n", ", line 1: a line with % changes what the file means; take it out"),
        ("a: 1\nb: !!int '3'\n", ", line 2: the tag tag:yaml.org,2002:int is not taken; write the value alone"),
        ("a: &x [1, *x]\n", ", line 1: *x stands within what it stands for; write it out"),
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
    assert refusal(path).endswith("more than 50,000 keys and values, with what aliases repeat; take some out")


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
    assert " more" in refusal(path)
    with pytest.raises(InputError) as caught:
        load_params(path)
    assert len(caught.value.lines) > 20


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


NUMBERS = ["", "+", "-", "0", "1", "8", "010", "0o17", "0x1F", "0b11", "1_0", ":", "1:30", ".", "e", "E", "e-2", "e+2"]
WORDS = ["yes", "No", "ON", "off", "true", "FALSE", "null", "~", "y", "n", "NULL", "oFF", ".inf", "-.INF", ".nan"]


def test_unquoted_text_is_either_refused_or_one_value_to_dvc_and_to_a_reader_of_yaml_1_1(tmp_path: Path) -> None:
    """PyYAML reads YAML 1.1; what it and DVC read differently must not be taken."""
    draw = random.Random(0)
    made = {"".join(draw.choices(NUMBERS, k=draw.randint(1, 4))) for _ in range(3000)}
    path, taken, refused = tmp_path / "a.yaml", 0, 0
    for text in sorted({*WORDS, *made} - {"", ":"}):
        path.write_text(f"{{a: {text} }}\n")
        try:
            value = load_values(path)["a"]
        except (InputError, KeyError):
            refused += 1
            continue
        taken += 1
        for other in (load_yaml(path)["a"], yaml.safe_load(path.read_text())["a"]):
            written_by_dvc = isinstance(value, float) and text == repr(value)
            assert (type(other), repr(other)) == (type(value), repr(value)) or written_by_dvc, text
    assert taken > 100
    assert refused > 100


@pytest.mark.parametrize(
    ("old", "new", "written"),
    [
        ("epochs: 20 ", "epochs: 010 ", "010"),
        ("epochs: 20 ", "epochs: 1:30 ", "1:30"),
        ("lr: 0.1 ", "lr: 1e-2 ", "1e-2"),
        ("photos: false ", "photos: no ", "no"),
        ("name: digits ", "name: off ", "off"),
        ("classes: [] ", "classes: [007] ", "007"),
        ("classes: [] ", "classes: [1.50] ", "1.50"),
        ("before: [] ", "before: [true] ", "true"),
        ("forget_class: ", "forget_class: 2020-01-01 ", "2020-01-01"),
    ],
)
def test_text_of_two_meanings_is_refused_with_its_line(rewritten: Rewrite, old: str, new: str, written: str) -> None:
    message = refusal(rewritten(old, new))
    assert message.startswith(f", line {line_of(old)}: ")
    assert written in message
    assert "write " in message


def test_class_names_in_quotes_are_the_same_after_dvc_has_rewritten_the_file(rewritten: Rewrite) -> None:
    """DVC takes off the quotes that it does not need."""
    names = ["no", "Yes", "1:30", "010", "1e-2", "1.50", "2020-01-01", "true", "null", "0x10", "1_000", "~", "a: b"]
    path = rewritten("classes: [] ", f"classes: {names} ")
    assert load_params(path).forget.classes == names
    apply_overrides(str(path), ["train.lr=0.00001"])
    assert load_params(path).forget.classes == load_yaml(path)["forget"]["classes"] == names
    assert load_params(path).train.lr == 0.00001


def test_every_text_of_two_meanings_is_named_at_once(rewritten: Rewrite) -> None:
    path = rewritten("epochs: 20 ", "epochs: 010\n  epochs: 0o7\n  lr: 1e-2 ")
    with pytest.raises(InputError) as caught:
        load_params(path)
    lines = [line.removeprefix(f"{path}, line ").partition(":")[0] for line in caught.value.lines]
    first = line_of("epochs: 20 ")
    assert lines == [str(line) for line in (first, first + 1, first + 1, first + 2, line_of("lr: 0.1 ") + 2)]


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    assert refusal(path) == " has 100,000,000 bytes, 1,000,000 at most were expected; is it another file?"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_in_the_place_of_the_file_is_not_read(tmp_path: Path, device: str) -> None:
    (tmp_path / "params.yaml").symlink_to(device)
    assert refusal(tmp_path / "params.yaml") == " is a device or a pipe, a file with the parameters was expected"


def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "params.yaml")
    assert refusal(tmp_path / "params.yaml") == " is a device or a pipe, a file with the parameters was expected"


def test_aliases_that_repeat_a_block_a_few_times_are_taken(rewritten: Rewrite) -> None:
    path = rewritten("rmia:  #", "rmia: &again  #")
    assert load_params(path).rmia.gamma == 1.0
