import pytest

from unlearning.errors import InputError, and_more, did_you_mean, run_stage


@pytest.mark.parametrize(
    ("word", "hint"),
    [("trian", " (did you mean 'train'?)"), ("tes", " (did you mean 'test'?)"), ("zebra", ""), ("", "")],
)
def test_the_nearest_known_word_is_suggested(word: str, hint: str) -> None:
    assert did_you_mean(word, ["train", "test"]) == hint


def test_of_some_names_the_first_is_shown_and_how_many_more_there_are() -> None:
    assert (and_more(["a"]), and_more(["a", "b", "c"])) == ("a", "a and 2 more")


@pytest.mark.parametrize("kind", [InputError, PermissionError])
def test_a_users_error_ends_the_stage_in_one_line_with_code_1(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise kind("x.png is broken; remove it")

    with pytest.raises(SystemExit) as ended:
        run_stage(main)
    assert ended.value.code == 1
    assert ended.value.__suppress_context__
    assert capsys.readouterr() == ("", "error: x.png is broken; remove it\n")


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage(main)


def test_a_stage_that_succeeds_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    done = []
    run_stage(lambda: done.append(True))
    assert done == [True]
    assert capsys.readouterr() == ("", "")
