"""Image files that a stranger, a camera or bad luck may have left, each with the picture that is meant or its refusal.

`cases()` makes about 150 of them, by kinds; `damaged` any number more, at random.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 6, 9
WHITE = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
COLOUR = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = COLOUR[:, :, 0]
TWELVE_BITS = np.linspace(0, 4095, HEIGHT * WIDTH).round().astype(np.uint16).reshape(HEIGHT, WIDTH)
FRACTIONS = TWELVE_BITS.astype(np.float32) / 7
SCALED = (TWELVE_BITS / 4095 * 255).round().astype(np.uint8)  # TWELVE_BITS as a picture, by the range in use
REFUSED = None
ANY = "any picture, or a refusal"


@dataclass(frozen=True)
class Case:
    name: str  # kind, then what is special
    file: str  # name of the file
    content: bytes
    meant: np.ndarray | str | None  # uint8 (H, W, 3), ANY or REFUSED
    within: int = 0  # levels of grey that the picture may be off
    says: str = ""  # part of the reason, where it is refused


def cases() -> list[Case]:
    """Return all cases, the same at each call."""
    kinds = [modes, transparency, orientations, deep, other_names, other_formats, cut_short, wrong_inside, bombs, sizes]
    return [case for kind in kinds for case in kind()]


def modes() -> Iterator[Case]:
    for suffix in ("png", "bmp", "ppm", "tif", "tiff"):
        yield Case("mode RGB", f"x.{suffix}", saved(COLOUR, suffix), COLOUR)
    for suffix in ("png", "bmp", "pgm", "tif", "gif"):
        yield Case("mode L", f"x.{suffix}", saved(GREY, suffix), three(GREY))
    few = (GREY // 64) * 64
    for suffix in ("png", "bmp", "gif", "tif"):
        yield Case("mode P", f"x.{suffix}", saved(Image.fromarray(few).convert("RGB").quantize(8), suffix), three(few))
    two = (GREY > 127).astype(np.uint8) * 255
    for suffix in ("png", "bmp", "tif"):
        yield Case("mode 1", f"x.{suffix}", saved(Image.fromarray(two).convert("1"), suffix), three(two))
    yield Case("mode CMYK", "x.tif", saved(Image.fromarray(COLOUR).convert("CMYK"), "tif"), COLOUR)
    yield Case("mode YCbCr", "x.tif", saved(Image.fromarray(COLOUR).convert("YCbCr"), "tif"), COLOUR, within=4)
    flat = np.broadcast_to(np.array([200, 40, 90], dtype=np.uint8), COLOUR.shape)
    yield Case("mode CMYK", "x.jpg", saved(Image.fromarray(flat).convert("CMYK"), "jpg", quality=100), flat, within=4)
    yield Case("mode RGB, progressive", "x.jpeg", saved(flat, "jpg", quality=100, progressive=True), flat, within=4)
    yield Case("mode L", "x.jpg", saved(GREY * 0 + 90, "jpg"), three(GREY * 0 + 90), within=2)
    yield Case("mode RGB, lossless", "x.webp", saved(COLOUR, "webp", lossless=True), COLOUR)
    yield Case("mode RGB, interlaced", "x.png", png(COLOUR, colour=2, interlace=1), REFUSED)  # data not interlaced
    yield Case("mode LAB", "x.tif", saved(Image.new("LAB", (WIDTH, HEIGHT), (128, 128, 128)), "tif"), ANY)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield Case(f"mode RGB, {compression}", "x.tif", saved(COLOUR, "tif", compression=compression), COLOUR)
    other = Image.fromarray(255 - COLOUR)
    for suffix in ("tif", "png", "webp"):
        more = {"lossless": True} if suffix == "webp" else {}
        content = saved(COLOUR, suffix, save_all=True, append_images=[other], **more)
        yield Case("first of two frames", f"x.{suffix}", content, COLOUR)
    content = saved(few, "gif", save_all=True, append_images=[Image.fromarray(255 - few)])
    yield Case("first of two frames", "x.gif", content, three(few))
    content = saved(flat, "MPO", save_all=True, append_images=[other], quality=100)
    yield Case("first of two photos of a phone", "x.jpg", content, flat, within=4)


def transparency() -> Iterator[Case]:
    clear, half = np.zeros_like(GREY), np.full_like(GREY, 128)
    veiled = (COLOUR * (128 / 255) + 255 * (127 / 255)).round().astype(np.uint8)
    for suffix, more in (("png", {}), ("tif", {}), ("webp", {"lossless": True, "exact": True})):
        for name, alpha, meant in (("hidden", clear, WHITE), ("half", half, veiled), ("opaque", clear + 255, COLOUR)):
            content = saved(np.dstack([COLOUR, alpha]), suffix, **more)
            yield Case(f"transparency of RGBA, {name}", f"x.{suffix}", content, meant, within=int(name == "half"))
    for name, alpha, meant in (("hidden", clear, WHITE), ("half", half, three(veiled[:, :, 0]))):
        grey = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)])
        yield Case(f"transparency of LA, {name}", "x.png", saved(grey, "png"), meant, within=int(name == "half"))
    palette = Image.fromarray(COLOUR).quantize(4)
    numbers = np.array(palette)
    own = np.array(palette.convert("RGB"))
    keyed = np.where((numbers == 1)[:, :, None], 255, own).astype(np.uint8)
    yield Case("transparency of one colour of a palette", "x.png", saved(palette, "png", transparency=1), keyed)
    yield Case("transparency of one colour of a palette", "x.gif", saved(palette, "gif", transparency=1), keyed)
    content = saved(palette, "png", transparency=bytes([255, 0, 255, 0]))
    meant = np.where(np.isin(numbers, [1, 3])[:, :, None], 255, own).astype(np.uint8)
    yield Case("transparency of several colours of a palette", "x.png", content, meant)
    meant = COLOUR.copy()
    meant[2, 3] = 255
    key = tuple(int(value) for value in COLOUR[2, 3])
    yield Case("transparency of one colour of RGB", "x.png", saved(COLOUR, "png", transparency=key), meant)
    meant = np.where(GREY[1, 1] == GREY, 255, GREY)
    yield Case("transparency of one grey", "x.png", saved(GREY, "png", transparency=int(GREY[1, 1])), three(meant))


def orientations() -> Iterator[Case]:
    exif = Image.Exif()
    blocks = np.zeros((16, 24, 3), dtype=np.uint8)
    blocks[:8, :8] = 255
    for number, turn in enumerate(TURNED, start=1):
        exif[0x0112] = number
        for suffix in ("png", "jpg", "webp", "tif"):
            content = saved(blocks, suffix, exif=exif, **({"quality": 100} if suffix in ("jpg", "webp") else {}))
            yield Case(f"orientation {number}", f"x.{suffix}", content, turn(blocks), within=8)
    for number in (0, 9, 65535):
        exif[0x0112] = number
        yield Case("orientation that there is not", "x.png", saved(COLOUR, "png", exif=exif), COLOUR)
    for name, block in (("text", b"no exif"), ("cut short", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01"), ("nothing", b"")):
        yield Case(f"EXIF that is damaged, {name}", "x.png", saved(COLOUR, "png", exif=block), COLOUR)


TURNED: list[Callable[[np.ndarray], np.ndarray]] = [  # what is seen, by what is stored
    lambda image: image,
    lambda image: image[:, ::-1],
    lambda image: image[::-1, ::-1],
    lambda image: image[::-1],
    lambda image: image.transpose(1, 0, 2),
    lambda image: np.rot90(image, -1),
    lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    lambda image: np.rot90(image),
]


def deep() -> Iterator[Case]:
    """All to be read with the range of values that they use themselves: 12 bits in files of 16 or 32."""
    for name, values in (("uint16", TWELVE_BITS), ("int32", TWELVE_BITS.astype("i4") - 9), ("float32", FRACTIONS)):
        yield Case(f"deep {name}", "x.tif", saved(values, "tif"), three(SCALED))
    yield Case("deep uint16", "x.png", saved(TWELVE_BITS, "png"), three(SCALED))
    yield Case("deep uint16", "x.pgm", saved(TWELVE_BITS, "pgm"), three(SCALED))
    yield Case("deep, white 4095", "x.pgm", pnm(TWELVE_BITS, 4095), three(SCALED))
    for white in (4095, 65535):
        yield Case(f"deep colour, white {white}", "x.ppm", pnm(three(TWELVE_BITS), white), three(SCALED))
    yield Case("deep colour", "x.png", png(three(TWELVE_BITS), colour=2), three(SCALED))
    alpha = np.full_like(TWELVE_BITS, 65535)
    alpha[0] = 0
    meant = three(SCALED.copy())
    meant[0] = 255
    hidden = TWELVE_BITS.copy()
    hidden[0] = np.linspace(60_000, 65_535, WIDTH)  # would be the range in use, if it could be seen
    hidden[1, 0] = 0
    meant[1, 0] = 0
    yield Case("deep colour, hidden", "x.png", png(np.dstack([hidden] * 3 + [alpha]), colour=6), meant)
    yield Case("deep grey, hidden", "x.png", png(np.dstack([hidden, alpha]), colour=4), meant)
    keyed = replaced(three(SCALED), (HEIGHT - 1, WIDTH - 1), 255)
    yield Case("deep grey, one grey hidden", "x.png", png(TWELVE_BITS, colour=0, key=(4095,)), keyed, within=6)
    yield Case("deep colour, one hidden", "x.png", png(three(TWELVE_BITS), colour=2, key=(4095,) * 3), keyed, within=6)
    for byteorder in "<>":
        yield Case(f"deep, bytes {byteorder}", "x.tif", tiff(TWELVE_BITS, byteorder, kind=1), three(SCALED))
        signed = TWELVE_BITS.astype(np.int16) - 2000
        yield Case(f"deep, signed, bytes {byteorder}", "x.tif", tiff(signed, byteorder, kind=2), three(SCALED))
    large = TWELVE_BITS.astype(np.uint32) * (2**32 // 4096)
    yield Case("deep, beyond 2**31", "x.tif", tiff(large, "<", kind=1), three(SCALED), within=1)
    yield Case("deep, white is 0", "x.tif", tiff(TWELVE_BITS, "<", kind=1, white=0), three(255 - SCALED))
    colour = tiff(three(TWELVE_BITS), "<", kind=1, white=2)
    yield Case("deep colour", "x.tif", colour, REFUSED, says="TIFF in colour")
    for name, odd in (("nan", np.nan), ("inf", np.inf), ("-inf", -np.inf)):
        values = TWELVE_BITS.astype(np.float32)
        values[3, 3] = odd
        yield Case(f"deep float32, {name}", "x.tif", saved(values, "tif"), REFUSED, says="no numbers, or infinite")
    flat = np.full_like(TWELVE_BITS, 7)
    yield Case("deep, one value", "x.png", saved(flat, "png"), three(flat.astype(np.uint8) * 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = png(three(TWELVE_BITS), colour=2, exif=exif.tobytes()[6:])
    yield Case("deep colour, sideways", "x.png", content, np.rot90(three(SCALED), -1))
    content = saved(TWELVE_BITS, "png", exif=exif)
    yield Case("deep grey, sideways", "x.png", content, np.rot90(three(SCALED), -1))


def other_names() -> Iterator[Case]:
    """Formats that are read, under each other's names, as in ImageNet."""
    for suffix, name in (("png", "x.jpg"), ("png", "x.JPEG"), ("bmp", "x.png"), ("gif", "x.png"), ("tif", "x.webp")):
        image = GREY if suffix == "gif" else COLOUR
        yield Case(f"{suffix} named", name, saved(image, suffix), COLOUR if suffix != "gif" else three(GREY))
    yield Case("jpg named", "x.png", saved(COLOUR * 0 + 77, "jpg"), COLOUR * 0 + 77, within=2)


def other_formats() -> Iterator[Case]:
    """Formats that are not read, and what is no image at all, under names of those that are."""
    psd = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, HEIGHT, WIDTH, 8, 3) + bytes(12) + bytes(2)
    contents = {
        "PSD": psd + COLOUR.transpose(2, 0, 1).tobytes(),
        **{name: saved(COLOUR, name) for name in ("ICO", "TGA", "PCX", "SGI", "DDS", "EPS", "PDF", "IM", "ICNS")},
        "empty": b"",
        "one byte": b"\x89",
        "text": b"this is no image",
        "html": b"<!doctype html><title>404</title>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="6"/>',
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
        "jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
        "zip": b"PK\x03\x04" + bytes(26),
        "pickle": b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x07builtins\x94.",
        "git-annex": b"/annex/objects/SHA256E-s353100--0123456789abcdef.png\n",
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
        "zeros": bytes(4096),
        "noise": np.random.default_rng(1).bytes(4096),
    }
    for name, content in contents.items():
        yield Case(f"{name} named", "x.png", content, REFUSED)
    yield Case("PSD named", "x.tif", contents["PSD"], REFUSED)
    yield Case("PSD named", "x.jpg", contents["PSD"], REFUSED)


def cut_short() -> Iterator[Case]:
    for file, content, _ in whole_files():
        for share in (0.3, 0.6, 0.9):
            yield Case(f"cut to {share:.0%}", file, content[: int(share * len(content))], REFUSED)
    content = saved(COLOUR, "png")
    for name, end in (("its end", 12), ("half its end", 6)):
        yield Case(f"cut, without {name}", "x.png", content[:-end], REFUSED)
    yield Case("cut by a byte that nothing needs", "x.png", content[:-1], COLOUR)


def wrong_inside() -> Iterator[Case]:
    content = saved(COLOUR, "png")
    place = content.index(b"IDAT")
    yield Case("wrong checksum", "x.png", flipped(content, place + 10), REFUSED)
    yield Case("wrong checksum of the header", "x.png", flipped(content, 30), REFUSED)
    too_long = content[: place - 4] + b"\x7f\xff\xff\xff" + content[place:]
    yield Case("wrong length of a chunk", "x.png", too_long, REFUSED)
    yield Case("no data", "x.png", content[: place - 4] + content[content.index(b"IEND") - 4 :], REFUSED)
    yield Case("a palette that is missing", "x.png", png(GREY, colour=3), ANY)
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(80_000_000), 9))
    yield Case("text that unpacks to 80 MB", "x.png", content[:33] + text + content[33:], ANY)
    yield Case("a picture and more behind it", "x.png", content + b"PK\x03\x04" * 100, COLOUR)
    tif = saved(COLOUR, "tif")
    yield Case("a directory outside the file", "x.tif", tif[:4] + struct.pack("<I", 1 << 30) + tif[8:], REFUSED)
    yield Case("a directory in a circle", "x.tif", tif[:4] + struct.pack("<I", 4) + tif[8:], ANY)


def bombs() -> Iterator[Case]:
    side = 60_000
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    yield Case("bomb", "x.png", SIGNATURE + body, REFUSED, says="above the limit of")
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;"
    yield Case("bomb", "x.gif", gif, REFUSED, says="above the limit of")
    bmp = bytearray(saved(COLOUR, "bmp"))
    bmp[18:26] = struct.pack("<ii", side, side)
    yield Case("bomb", "x.bmp", bytes(bmp), REFUSED, says="above the limit of")
    yield Case("bomb", "x.ppm", f"P6 {side} {side} 255\n".encode(), REFUSED, says="above the limit of")
    yield Case("bomb", "x.pgm", f"P5 {10**18} {10**18} 255\n".encode(), REFUSED)
    yield Case("bomb, a number of 100,000 digits", "x.ppm", b"P6 " + b"9" * 100_000 + b" 1 255\n", REFUSED)
    yield Case("bomb", "x.tif", resized_tiff(saved(COLOUR, "tif"), side), REFUSED, says="above the limit of")
    jpg = bytearray(saved(COLOUR, "jpg"))
    start = jpg.index(b"\xff\xc0")
    jpg[start + 5 : start + 9] = struct.pack(">HH", side, side)
    yield Case("bomb", "x.jpg", bytes(jpg), REFUSED, says="above the limit of")


def sizes() -> Iterator[Case]:
    empty = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 5, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    yield Case("no pixel", "x.png", empty, REFUSED)
    yield Case("no pixel", "x.ppm", b"P6 0 4 255\n", REFUSED)
    yield Case("no pixel", "x.gif", b"GIF89a" + bytes(7) + b"," + bytes(9) + b"\x02\x00;", REFUSED)
    bmp = bytearray(saved(COLOUR, "bmp"))
    bmp[18:22] = bytes(4)
    yield Case("no pixel", "x.bmp", bytes(bmp), REFUSED)
    bmp[18:22] = struct.pack("<i", -9)
    yield Case("less than no pixel", "x.bmp", bytes(bmp), REFUSED)
    for suffix in ("png", "bmp", "ppm", "tif", "gif", "webp", "jpg"):
        one = np.full((1, 1, 3), 90, dtype=np.uint8)
        yield Case("one pixel", f"x.{suffix}", saved(one, suffix), one, within=3)
    for name, shape in (("wide", (1, 5000, 3)), ("high", (5000, 1, 3))):
        long = np.full(shape, 90, dtype=np.uint8)
        yield Case(f"one pixel {name}", "x.png", saved(long, "png"), long)


def whole_files() -> list[tuple[str, bytes, bool]]:
    """Return (name, content, whether checksums guard all that is seen) of one good file a format and a way to pack."""
    return [
        ("x.png", saved(COLOUR, "png"), True),
        ("deep.png", saved(TWELVE_BITS, "png"), True),
        ("colour.png", png(three(TWELVE_BITS), colour=2), True),
        ("x.jpg", saved(COLOUR, "jpg"), False),
        ("progressive.jpg", saved(COLOUR, "jpg", progressive=True), False),
        ("x.webp", saved(COLOUR, "webp"), False),
        ("lossless.webp", saved(COLOUR, "webp", lossless=True), False),
        ("x.bmp", saved(COLOUR, "bmp"), False),
        ("x.gif", saved(GREY, "gif"), False),
        ("x.ppm", saved(COLOUR, "ppm"), False),
        ("deep.ppm", pnm(three(TWELVE_BITS), 65535), False),
        ("x.pgm", saved(TWELVE_BITS, "pgm"), False),
        ("x.tif", saved(COLOUR, "tif"), False),
        ("deep.tif", saved(TWELVE_BITS.astype(np.float32), "tif"), False),
        ("lzw.tif", saved(COLOUR, "tif", compression="tiff_lzw"), False),
    ]


def damaged(count: int, seed: int) -> Iterator[tuple[str, bytes, bytes, bool]]:
    """Yield (name, content, content before, whether checksums guard it) of good files damaged at random."""
    random, files = np.random.default_rng(seed), whole_files()
    for _ in range(count):
        name, content, guarded = files[random.integers(len(files))]
        damage = DAMAGES[random.integers(len(DAMAGES))]
        yield name, damage(content, random), content, guarded


def _one_bit(content: bytes, random: np.random.Generator) -> bytes:
    return flipped(content, int(random.integers(len(content))), 1 << int(random.integers(8)))


def _bytes(content: bytes, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(content)))
    return content[:place] + random.bytes(8) + content[place + 8 :]


def _cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: int(random.integers(len(content)))]


def _zeros(content: bytes, random: np.random.Generator) -> bytes:
    start, end = sorted(random.integers(0, len(content) + 1, 2).tolist())
    return content[:start] + bytes(end - start) + content[end:]


def _hole(content: bytes, random: np.random.Generator) -> bytes:
    start, end = sorted(random.integers(0, len(content) + 1, 2).tolist())
    return content[:start] + content[end:]


def _twice(content: bytes, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(content)))
    return content[:place] + content


DAMAGES = (_one_bit, _bytes, _cut, _zeros, _hole, _twice)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def replaced(image: np.ndarray, place: tuple[int, int], value: int) -> np.ndarray:
    changed = image.copy()
    changed[place] = value
    return changed


def flipped(content: bytes, place: int, bits: int = 1) -> bytes:
    return content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]


def saved(image: np.ndarray | Image.Image, suffix: str, **more: object) -> bytes:
    """Return what Pillow writes."""
    buffer, names = io.BytesIO(), {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM"}
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        buffer, names.get(suffix, suffix.upper()), **more
    )
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(values: np.ndarray, colour: int, key: tuple[int, ...] = (), exif: bytes = b"", interlace: int = 0) -> bytes:
    """Return a PNG of 8 or 16 bits as Pillow cannot write it; colour: type of PNG. key: the transparent colour."""
    bits = 8 * values.dtype.itemsize
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour, 0, 0, interlace)
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in values)
    more = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    more += chunk(b"eXIf", exif) if exif else b""
    return SIGNATURE + chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pnm(values: np.ndarray, white: int) -> bytes:
    """Return a binary PGM or PPM of 16 bits."""
    kind = "P5" if values.ndim == 2 else "P6"
    return f"{kind}\n{values.shape[1]} {values.shape[0]}\n{white}\n".encode() + values.astype(">u2").tobytes()


def tiff(values: np.ndarray, byteorder: str, kind: int, white: int = 1) -> bytes:
    """Return a TIFF; kind: SampleFormat, 1 unsigned or 2 signed. white: PhotometricInterpretation."""
    bits, channels = 8 * values.dtype.itemsize, 1 if values.ndim == 2 else values.shape[2]
    pixels = values.astype(values.dtype.newbyteorder(byteorder)).tobytes()
    entries = [
        (256, 4, values.shape[1]), (257, 4, values.shape[0]), (258, 3, bits), (259, 3, 1), (262, 3, white),
        (273, 4, 8), (277, 3, channels), (278, 4, values.shape[0]), (279, 4, len(pixels)), (339, 3, kind),
    ]  # fmt: skip
    after = b""
    head = (b"II*\0" if byteorder == "<" else b"MM\0*") + struct.pack(f"{byteorder}I", 8 + len(pixels))
    end = 8 + len(pixels) + 2 + 12 * len(entries) + 4
    packed = b""
    for tag, form, value in entries:
        if tag in (258, 339) and channels > 1:
            packed += struct.pack(f"{byteorder}HHII", tag, form, channels, end + len(after))
            after += struct.pack(f"{byteorder}{channels}H", *[value] * channels)
        else:
            packed += struct.pack(f"{byteorder}HHI" + ("I" if form == 4 else "H2x"), tag, form, 1, value)
    return head + pixels + struct.pack(f"{byteorder}H", len(entries)) + packed + bytes(4) + after


def resized_tiff(content: bytes, side: int) -> bytes:
    """Return a TIFF of Pillow's that claims to have side x side pixels."""
    changed, (start,) = bytearray(content), struct.unpack_from("<I", content, 4)
    for number in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * number
        if struct.unpack_from("<H", content, place)[0] in (256, 257):
            changed[place : place + 12] = struct.pack("<HHII", *struct.unpack_from("<H", content, place), 4, 1, side)
    return bytes(changed)
