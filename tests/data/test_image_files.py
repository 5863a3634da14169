"""What lies in class folders: links, pipes, names that are no text, and images of formats that are not read."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unlearning.data.image_files import EXTENSIONS, UNREAD, files_below, printable
from unlearning.errors import InputError
from unlearning.params import Data, Forget
from unlearning.sources import Source, image_folder
from unlearning.splitting.images import prepare

ImageTree = Callable[..., Path]
ODD_NAME = os.fsdecode(b"caf\xe9.png")  # Latin-1


@pytest.fixture
def root(tmp_path: Path, image_tree: ImageTree) -> Path:
    return image_tree(tmp_path / "images", cat=3, dog=3)


@pytest.fixture
def load(make_data: Callable[..., Data], root: Path) -> Callable[[], Source]:
    return lambda: image_folder.load(make_data(name="image_folder", root=str(root)))


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        place = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is at most 107 characters long
        try:
            one.bind(path.name)
        finally:
            os.chdir(place)


def two_links_to_each_other(path: Path) -> None:
    path.symlink_to(path.with_name("other.png"))
    path.with_name("other.png").symlink_to(path)


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a link to nothing": ("x.png", lambda path: path.symlink_to("nowhere"), "a link that leads nowhere"),
    "a link to no folder": ("more", lambda path: path.symlink_to("/mnt/gone"), "a link that leads nowhere"),
    "a link to itself": ("x.png", lambda path: path.symlink_to(path), "a link that leads in a circle"),
    "two links": ("x.png", two_links_to_each_other, "a link that leads in a circle"),
    "a circle of folders": ("more", lambda path: path.symlink_to("..", True), "a link that leads in a circle"),
    "a pipe": ("x.png", lambda path: os.mkfifo(path), "it is no regular file"),
    "a socket": ("x.png", a_socket, "it is no regular file"),
    "a device": ("x.png", lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
    "a name in Latin-1": (ODD_NAME, lambda path: Image.new("L", (8, 8)).save(path, "PNG"), "its name is not UTF-8"),
}


@pytest.mark.parametrize(("name", "make", "reason"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("below", ["cat", "cat/sub"])
def test_what_may_be_an_image_and_cannot_be_opened_is_named(
    root: Path, load: Callable[[], Source], below: str, name: str, make: Callable[[Path], object], reason: str
) -> None:
    (root / below).mkdir(exist_ok=True)
    make(root / below / name)
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    message.encode("utf-8")  # can be printed
    assert message.startswith(f"data.root: cannot read the image {root / below}/")
    assert f"({reason})" in message
    assert message.endswith("; repair or remove it")
    assert "\n" not in message


def test_all_that_cannot_be_opened_are_counted_over_classes_and_splits(
    tmp_path: Path, image_tree: ImageTree, make_data: Callable[..., Data]
) -> None:
    root = tmp_path / "set"
    for split in ("train", "test"):
        image_tree(root / split, cat=2, dog=2)
        for name in ("cat", "dog"):
            (root / split / name / "gone.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"train/cat/gone\.png \(a link that leads nowhere\) and 3 more; repair"):
        image_folder.load(make_data(name="image_folder", root=str(root)))


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("emu", lambda path: path.symlink_to("/mnt/gone"), "the link .*emu leads nowhere"),
        ("emu", lambda path: path.symlink_to(path), "the link .*emu leads nowhere"),
        (
            os.fsdecode(b"\xe9mu"),
            lambda path: path.mkdir(),
            r"the name of the folder .*\\udce9mu is not UTF-8; rename it",
        ),
    ],
    ids=["a link to nothing", "a link to itself", "a name in Latin-1"],
)
@pytest.mark.parametrize("below", ["", "train"])
def test_a_class_that_cannot_be_listed_is_named_and_never_left_out(
    tmp_path: Path,
    image_tree: ImageTree,
    make_data: Callable[..., Data],
    below: str,
    name: str,
    make: Callable[[Path], object],
    says: str,
) -> None:
    image_tree(tmp_path / "set" / below, cat=1, dog=1)
    make(tmp_path / "set" / below / name)
    with pytest.raises(InputError, match=f"^data.root: {says}"):
        image_folder.load(make_data(name="image_folder", root=str(tmp_path / "set")))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
@pytest.mark.parametrize("name", ["00.png", "sub"])
def test_what_may_not_be_read_is_named(
    root: Path, make_data: Callable[..., Data], make_forget: Callable[..., Forget], name: str
) -> None:
    (root / "cat/sub").mkdir()
    (root / "cat" / name).chmod(0)
    data = make_data(name="image_folder", root=str(root))
    with pytest.raises(InputError, match=rf"cannot read the image .*{name} \(Permission denied\)"):
        prepare(image_folder.load(data), data, make_forget())


def test_files_behind_links_are_read_as_torchvision_reads_them(
    root: Path, tmp_path: Path, write_image: Callable[..., Path], load: Callable[[], Source]
) -> None:
    write_image(tmp_path / "elsewhere/one.png")
    (root / "cat/more").symlink_to(tmp_path / "elsewhere")
    (root / "dog/two.png").symlink_to(tmp_path / "elsewhere/one.png")
    plain = [f"{name}/{number:02d}.png" for name in ("cat", "dog") for number in range(3)]
    ids = load().train.ids
    assert len(ids) == 8
    assert [name for name in ids if name not in plain] == ["cat/more/one.png", "dog/two.png"]


def test_a_link_or_a_name_that_is_of_no_image_disturbs_nobody(root: Path, load: Callable[[], Source]) -> None:
    (root / "cat" / os.fsdecode(b"r\xe9sum\xe9.txt")).touch()
    os.mkfifo(root / "cat" / "queue")
    notes = load().notes
    assert notes == ["not read: 1 without suffix, 1 .txt"]
    printable(root / "cat" / os.fsdecode(b"r\xe9sum\xe9.txt")).encode("utf-8")


@pytest.mark.parametrize("suffix", UNREAD)
def test_an_image_of_another_format_is_named(root: Path, load: Callable[[], Source], suffix: str) -> None:
    (root / "dog" / f"x{suffix.upper()}").touch()
    (root / "cat" / f"y{suffix}").touch()
    [note] = load().notes
    assert note.startswith(f"images not read, of other formats: 2 {suffix}, such as {root}/cat/y{suffix}; ")
    assert suffix not in EXTENSIONS


def test_other_formats_outside_the_class_folders_are_counted_too(root: Path, load: Callable[[], Source]) -> None:
    (root / "a.heic").touch()
    assert load().notes == ["not read: 1 .heic outside the class folders"]


def test_the_order_is_that_of_the_paths(root: Path) -> None:
    names = ["b.png", "a/z.png", "a.png", "B.png", "a b.png", "a/a.png"]
    for name in names:
        (root / "owl" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "owl" / name).touch()
    assert files_below(root / "owl").images == sorted(root / "owl" / name for name in names)
