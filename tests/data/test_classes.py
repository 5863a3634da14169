from collections.abc import Callable
from pathlib import Path

import pytest

from unlearning.errors import InputError
from unlearning.params import Forget
from unlearning.splitting.classes import forget_classes, repeated_classes
from unlearning.splitting.request import refuse_unknown, unread_lists

CLASSES = ["cat", "dog", "horse", "frog", "truck", "ship", "car", "bird", "deer", "plane"]
FOLDERS = sorted(str(number) for number in range(12))  # 0, 1, 10, 11, 2, ...
MakeForget = Callable[..., Forget]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_random_chooses_as_many_different_classes_as_asked(make_forget: MakeForget, count: int) -> None:
    chosen = forget_classes(make_forget(count=count), CLASSES)
    assert len(set(chosen)) == len(chosen) == count
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(range(10))


def test_random_depends_on_its_seed_alone(make_forget: MakeForget) -> None:
    first = [forget_classes(make_forget(count=3, seed=seed), CLASSES) for seed in range(8)]
    again = [forget_classes(make_forget(count=3, seed=seed), CLASSES) for seed in range(8)]
    assert first == again
    assert len({tuple(chosen) for chosen in first}) > 4


def test_random_can_choose_each_class(make_forget: MakeForget) -> None:
    chosen = {label for seed in range(60) for label in forget_classes(make_forget(count=2, seed=seed), CLASSES)}
    assert chosen == set(range(10))


def test_random_takes_any_integer_as_seed(make_forget: MakeForget) -> None:
    chosen = {tuple(forget_classes(make_forget(count=3, seed=seed), CLASSES)) for seed in (-1, -2, -3, 0)}
    assert len(chosen) > 1


@pytest.mark.parametrize("count", [10, 11])
def test_random_must_leave_a_class(make_forget: MakeForget, count: int) -> None:
    with pytest.raises(InputError, match=f"forget.count: {count} of 10 classes leaves none"):
        forget_classes(make_forget(count=count), CLASSES)


@pytest.mark.parametrize(
    ("entries", "ids"),
    [
        (["dog"], [1]),
        (["plane", "cat"], [0, 9]),
        ([9, 0], [0, 9]),
        (["3", "dog"], [1, 3]),
        (["frog", 3, "3", 1], [1, 3]),
    ],
)
def test_classes_are_listed_by_name_or_id(make_forget: MakeForget, entries: list[int | str], ids: list[int]) -> None:
    assert forget_classes(make_forget(scenario="classes", classes=entries), CLASSES) == ids


def test_text_is_a_name_before_it_is_an_id(make_forget: MakeForget) -> None:
    forget = make_forget(scenario="classes", classes=["1", "3"])
    assert forget_classes(forget, ["2", "0", "x", "1"]) == [3]


@pytest.mark.parametrize("content", [None, "2\n"])
def test_a_number_that_is_one_class_by_place_and_another_by_name_is_refused(
    make_forget: MakeForget, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "forget.txt"
    path.write_text(content or "")
    forget = make_forget(scenario="file" if content else "classes", classes=[2], file=str(path))
    with pytest.raises(InputError) as caught:
        forget_classes(forget, FOLDERS)
    assert str(caught.value) == (
        f"{path if content else 'forget.classes'}: 2 can be '2' by name or '10' at place 2 of the class list, "
        "counted from 0; write the name meant, in quotes"
    )


@pytest.mark.parametrize(
    ("entry", "classes", "label"),
    [
        (1, FOLDERS, 1),
        ("2", FOLDERS, 4),
        ("10", FOLDERS, 2),
        (7, ["000", "001", "002", "003", "004", "005", "006", "007"], 7),
        (20, ["10", "20", "30"], 1),
        ("007", ["006", "007", "008"], 1),
    ],
)
def test_a_number_with_one_reading_is_that(
    make_forget: MakeForget, entry: int | str, classes: list[str], label: int
) -> None:
    assert forget_classes(make_forget(scenario="classes", classes=[entry]), classes) == [label]


@pytest.mark.parametrize("entry", [1, "1"])
def test_a_name_with_leading_zeros_is_a_reading_of_the_number(make_forget: MakeForget, entry: int | str) -> None:
    with pytest.raises(InputError, match="1 can be '01' by name or '02' at place 1"):
        forget_classes(make_forget(scenario="classes", classes=[entry]), ["01", "02", "03"])


def test_a_place_has_no_leading_zeros(make_forget: MakeForget) -> None:
    with pytest.raises(InputError, match="no class '01'"):
        forget_classes(make_forget(scenario="classes", classes=["01"]), CLASSES)


@pytest.mark.parametrize("typed", ["caf\u00e9", "cafe\u0301", " caf\u00e9 "])
@pytest.mark.parametrize("name", ["caf\u00e9", "cafe\u0301", "caf\u00e9 "])
def test_names_that_look_the_same_are_the_same(make_forget: MakeForget, typed: str, name: str) -> None:
    assert forget_classes(make_forget(scenario="classes", classes=[typed]), ["cat", name]) == [1]


@pytest.mark.parametrize(
    ("alike", "shown", "difference"),
    [
        (
            ["caf\u00e9", "cafe\u0301"],
            r"'caf\xe9' at place 1 and 'cafe\u0301' at place 2",
            "Unicode normalisation (NFC, NFD)",
        ),
        (["\u732b", "\u732b "], "'\u732b' at place 1 and '\u732b ' at place 2", "surrounding space"),
    ],
)
def test_of_two_classes_that_look_the_same_the_difference_is_said_and_the_place_chooses(
    make_forget: MakeForget, alike: list[str], shown: str, difference: str
) -> None:
    classes = ["cat", *alike]
    with pytest.raises(InputError) as caught:
        forget_classes(make_forget(scenario="classes", classes=[alike[0]]), classes)
    assert str(caught.value).startswith(f"forget.classes: {shown} look the same and differ in {difference}; ")
    assert forget_classes(make_forget(scenario="classes", classes=["cat", 2]), classes) == [0, 2]


@pytest.mark.parametrize("entry", [10, -1, "10", "-1", "\u00b2", "cow"])
def test_a_class_that_does_not_exist_is_named(make_forget: MakeForget, entry: int | str) -> None:
    with pytest.raises(InputError) as caught:
        forget_classes(make_forget(scenario="classes", classes=["cat", entry]), CLASSES)
    assert f"forget.classes: no class {entry!r}" in str(caught.value)
    assert "there are 10, 'cat' to 'plane'" in str(caught.value)


def test_a_misspelt_class_gets_the_nearest_as_suggestion(make_forget: MakeForget) -> None:
    with pytest.raises(InputError, match=r"no class 'hors' \(did you mean 'horse'\?\)"):
        forget_classes(make_forget(scenario="classes", classes=["hors"]), CLASSES)


@pytest.mark.parametrize("content", ["dog\n3\n", "3\r\n\r\n  dog  \r\n", "\n\n3\n\ndog", "dog\n3\ndog\n1\n"])
def test_a_file_lists_ids_and_names_with_blank_lines(make_forget: MakeForget, tmp_path: Path, content: str) -> None:
    path = tmp_path / "forget.txt"
    path.write_bytes(content.encode())
    assert forget_classes(make_forget(scenario="file", file=str(path)), CLASSES) == [1, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_a_windows_editor_is_read(make_forget: MakeForget, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "forget.txt"
    path.write_bytes("caf\u00e9\r\n\r\ndog\r\n".encode(encoding))
    assert forget_classes(make_forget(scenario="file", file=str(path)), ["caf\u00e9", "cat", "dog"]) == [0, 2]


@pytest.mark.parametrize("order", ["le", "be"])
def test_both_byte_orders_of_utf_16_are_read(make_forget: MakeForget, tmp_path: Path, order: str) -> None:
    path = tmp_path / "forget.txt"
    path.write_bytes("\ufeffdog\n".encode(f"utf-16-{order}"))
    assert forget_classes(make_forget(scenario="file", file=str(path)), CLASSES) == [1]


def test_a_file_may_have_comments_and_quotes(make_forget: MakeForget, tmp_path: Path) -> None:
    path = tmp_path / "forget.txt"
    path.write_text("# pets\n  # of all\ndog # the best\nc#\n#1\n'2'\n\"10\"\n")
    classes = ["#1", "10", "2", "c#", "cat", "dog"]
    assert forget_classes(make_forget(scenario="file", file=str(path)), classes) == [0, 1, 2, 3, 5]


def test_a_class_named_twice_counts_once_and_is_said_once(make_forget: MakeForget, tmp_path: Path) -> None:
    path = tmp_path / "forget.txt"
    path.write_text("dog\n1\ncat\n dog\n")
    forget = make_forget(scenario="file", file=str(path))
    assert forget_classes(forget, CLASSES) == [0, 1]
    assert repeated_classes(forget, CLASSES) == [f"{path}: 'dog' is named 3 times"]
    assert repeated_classes(make_forget(scenario="classes", classes=["cat", 0]), CLASSES) == [
        "forget.classes: 'cat' is named 2 times"
    ]
    assert repeated_classes(make_forget(count=3), CLASSES) == []


def test_a_list_that_the_scenario_does_not_read_is_named(make_forget: MakeForget) -> None:
    def unread(**values: object) -> list[str]:
        return [sentence.partition(",")[0] for sentence in unread_lists(make_forget(**values))]

    both = {"classes": ["cat"], "file": "forget.txt"}
    assert unread(**both) == ["forget.classes is not read", "forget.file is not read"]
    assert unread(scenario="classes", **both) == ["forget.file is not read"]
    assert unread(scenario="file", **both) == ["forget.classes is not read"]
    assert unread(scenario="samples", **both) == ["forget.classes is not read"]
    assert unread(scenario="classes", classes=["cat"]) == unread() == []


def test_a_wrong_line_is_named_with_its_file(make_forget: MakeForget, tmp_path: Path) -> None:
    path = tmp_path / "forget.txt"
    path.write_text("dog\ntruk\n")
    with pytest.raises(InputError) as caught:
        forget_classes(make_forget(scenario="file", file=str(path)), CLASSES)
    assert str(caught.value).startswith(f"{path}: no class 'truk' (did you mean 'truck'?)")


def test_a_file_that_cannot_be_read_is_named(make_forget: MakeForget, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="forget.file: cannot read .*nowhere.txt"):
        forget_classes(make_forget(scenario="file", file=str(tmp_path / "nowhere.txt")), CLASSES)


@pytest.mark.parametrize("content", [b"\xff\xfe\x80", "caf\u00e9".encode("latin-1")])
def test_a_file_that_is_no_text_is_named(make_forget: MakeForget, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "forget.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match="forget.file: cannot read .*forget.bin .*; save it as UTF-8 text"):
        forget_classes(make_forget(scenario="file", file=str(path)), CLASSES)


def test_the_scenario_file_needs_a_file(make_forget: MakeForget) -> None:
    with pytest.raises(InputError, match="forget.file: the scenario 'file' needs a file"):
        forget_classes(make_forget(scenario="file"), CLASSES)


def test_forgetting_nothing_is_refused(make_forget: MakeForget, tmp_path: Path) -> None:
    (tmp_path / "forget.txt").write_text("\n\n")
    for forget in (make_forget(scenario="classes"), make_forget(scenario="file", file=str(tmp_path / "forget.txt"))):
        with pytest.raises(InputError, match="no class is chosen"):
            forget_classes(forget, CLASSES)


def test_forgetting_everything_is_refused(make_forget: MakeForget) -> None:
    with pytest.raises(InputError, match="all 3 classes would be forgotten; at least one must be retained"):
        forget_classes(make_forget(scenario="classes", classes=[0, "dog", 2]), CLASSES[:3])


def test_an_unknown_scenario_is_named_with_the_nearest(make_forget: MakeForget) -> None:
    with pytest.raises(
        InputError, match=r"'clases' is none of random, classes, file, samples \(did you mean 'classes'\?\)"
    ):
        refuse_unknown(make_forget(scenario="clases"))
