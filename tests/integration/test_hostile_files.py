"""What a folder of films may hold besides films: n names in, n rows out, in bounded time and memory.

Each trap goes through `read_radiograph` in this process and through `predict_films` with processes.
"""

import csv
import os
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_facts, read_radiograph
from pipelines.inference import collect_inputs, predict_films
from tests.inference_films import tiny_package, write_dicom, write_png
from tests.unit.dicom_films import film, ramp, write

HOME = Path(__file__).resolve().parents[2]
TERABYTE = 1 << 40
MEMORY_MIB = 1300
"""Peak of a process that reads every trap: twice the largest inflated data set (512 MiB), and what is imported."""

Trap = Callable[[Path], object]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(columns: int, rows: int, pixels: bytes, bits: int = 8) -> bytes:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def hole(path: Path, make: Trap, size: int) -> None:
    """A film that goes on as a hole in the file, which takes no room on the disk."""
    make(path)
    os.truncate(path, size)


def tiff(path: Path, **entries: tuple[int, int, int]) -> None:
    """One little-endian directory of (type, count, value) entries, then a kilobyte of pixels."""
    tags = {"columns": 256, "rows": 257, "bits": 258, "compression": 259, "photometric": 262, "offset": 273}
    tags |= {"samples": 277, "strip": 278, "bytes": 279}
    default = {"columns": (4, 1, 128), "rows": (4, 1, 128), "bits": (3, 1, 8), "compression": (3, 1, 1)}
    default |= {"photometric": (3, 1, 1), "offset": (4, 1, 1024), "samples": (3, 1, 1), "strip": (4, 1, 128)}
    default |= {"bytes": (4, 1, 16384)}
    listed = sorted((tags[name], *entry) for name, entry in (default | entries).items())
    body = struct.pack("<H", len(listed)) + b"".join(struct.pack("<HHII", *entry) for entry in listed)
    following = struct.pack("<I", entries.get("next", (0, 0, 0))[2]) if "next" in entries else b"\0\0\0\0"
    path.write_bytes((b"II*\0" + struct.pack("<I", 8) + body + following).ljust(1024, b"\0") + bytes(range(256)) * 64)


def lying_dicom(path: Path, syntax: str | None = None, **attributes: object) -> None:
    dataset = film(ramp(12), bits_stored=12, **attributes)
    if syntax is None:
        write(path, dataset)
    else:
        write(path, dataset, syntax)


def encapsulated(path: Path, syntax: str, fragments: bytes) -> None:
    """A film of 65535 x 65535 whose compressed pixels are what is given."""
    write(path, film(ramp(12), bits_stored=12, Rows=65535, Columns=65535))
    whole = path.read_bytes()
    at = whole.index(b"\xe0\x7f\x10\x00")
    meta = whole.replace(b"1.2.840.10008.1.2.1\0", syntax.encode().ljust(20, b"\0"), 1)
    path.write_bytes(meta[:at] + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0" + fragments)


def deflate_bomb(path: Path) -> None:
    """640 MiB of zeros in 3, as one private element before the pixels."""
    write(path, film(ramp(12), bits_stored=12))
    whole = path.read_bytes()
    begin = whole.index(b"\x08\x00\x16\x00")
    old = b"1.2.840.10008.1.2.1\0"
    new = str(DeflatedExplicitVRLittleEndian).encode().ljust(22, b"\0")
    meta = whole[:begin]
    at = meta.index(old) - 2
    meta = meta[:at] + struct.pack("<H", len(new)) + new + meta[at + 2 + len(old) :]
    length_at = meta.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    meta = meta[:length_at] + struct.pack("<I", len(meta) - length_at - 4) + meta[length_at + 4 :]
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", 640 << 20))
    block = bytes(16 << 20)
    for _ in range(40):
        body += deflater.compress(block)
    path.write_bytes(meta + body + deflater.flush())


def endless_sequences(path: Path) -> None:
    """Sequences of undefined length, one inside the other, until the file ends."""
    write(path, film(ramp(12), bits_stored=12))
    whole = path.read_bytes()
    at = whole.index(b"\x28\x00\x02\x00")
    level = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(whole[:at] + level * 100_000)


def bound_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's whole name may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def locked(path: Path) -> None:
    write_png(path, 1)
    path.chmod(0)


BIG = zlib.compress(bytes(1 << 20), 9)
NOISE = np.random.default_rng(5).integers(0, 256, 4096, np.uint8).tobytes()
FRAGMENT = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(NOISE)) + NOISE + b"\xfe\xff\xdd\xe0\0\0\0\0"
NO_FILM = frozenset({Reason.UNREADABLE_FILE, Reason.NOT_AN_IMAGE})
BOMB = zlib.compress(bytes(1 << 28), 1)
REFUSED = frozenset({Reason.CORRUPT, Reason.TRUNCATED, Reason.TOO_LARGE, Reason.UNSUPPORTED_IMAGE})

TRAPS: dict[str, tuple[Trap, frozenset[Reason]]] = {
    "fifo": (os.mkfifo, frozenset({Reason.UNREADABLE_FILE})),
    "socket": (bound_socket, frozenset({Reason.UNREADABLE_FILE})),
    "device-zero": (lambda path: path.symlink_to("/dev/zero"), frozenset({Reason.UNREADABLE_FILE})),
    "device-tty": (lambda path: path.symlink_to("/dev/tty"), frozenset({Reason.UNREADABLE_FILE})),
    "proc-mem": (
        lambda path: path.symlink_to("/proc/self/mem"),
        REFUSED | {Reason.UNREADABLE_FILE, Reason.NOT_AN_IMAGE},
    ),
    "loop": (lambda path: path.symlink_to(path.name), frozenset({Reason.UNREADABLE_FILE})),
    "dead-link": (lambda path: path.symlink_to("nowhere"), frozenset({Reason.MISSING})),
    "empty": (Path.touch, frozenset({Reason.NOT_AN_IMAGE})),
    "one-byte": (lambda path: path.write_bytes(b"\x89"), frozenset({Reason.NOT_AN_IMAGE})),
    "hole.png": (lambda path: hole(path, lambda p: write_png(p, 1), TERABYTE), frozenset({Reason.TOO_LARGE})),
    "hole.dcm": (lambda path: hole(path, lambda p: write_dicom(p, 1), TERABYTE), frozenset({Reason.TOO_LARGE})),
    "hole.tif": (lambda path: hole(path, tiff, TERABYTE), frozenset({Reason.TOO_LARGE})),
    "hole": (lambda path: hole(path, Path.touch, TERABYTE), REFUSED | {Reason.NOT_AN_IMAGE}),
    "lying.png": (lambda path: path.write_bytes(png(65535, 65535, BIG)), REFUSED),
    "lying-16.png": (lambda path: path.write_bytes(png(2**31 - 1, 2**31 - 1, BIG, 16)), REFUSED),
    "bomb.png": (
        lambda path: path.write_bytes(png(64, 64, zlib.compress(bytes(1 << 28), 9))),
        REFUSED | {Reason.BLANK},
    ),
    "lying.tif": (lambda path: tiff(path, columns=(4, 1, 65535), rows=(4, 1, 65535)), REFUSED),
    "samples.tif": (lambda path: tiff(path, samples=(3, 1, 65535)), REFUSED),
    "lying.dcm": (lambda path: lying_dicom(path, Rows=65535, Columns=65535), REFUSED),
    "lying-rle.dcm": (lambda path: encapsulated(path, RLELossless, FRAGMENT), REFUSED),
    "lying-j2k.dcm": (lambda path: encapsulated(path, JPEG2000Lossless, FRAGMENT), REFUSED),
    "frames.dcm": (lambda path: lying_dicom(path, NumberOfFrames="2147483647"), frozenset({Reason.SEVERAL_FRAMES})),
    "deflate-bomb.dcm": (deflate_bomb, REFUSED),
    "endless.dcm": (endless_sequences, REFUSED),
}
EXPECTED = {name: reasons for name, (_, reasons) in TRAPS.items()}


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "films"
    folder.mkdir()
    for name, (make, _) in TRAPS.items():
        make(folder / name)
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    tiny_package(folder)
    return folder


READ = """
import sys, time
from pathlib import Path
from pipelines.errors import UnreadableImage
from pipelines.imaging import read_facts, read_radiograph
reader = {"facts": read_facts, "film": read_radiograph}[sys.argv[1]]
for name in sys.argv[3:]:
    began = time.perf_counter()
    try:
        reader(Path(sys.argv[2]) / name)
        reason = "read"
    except UnreadableImage as error:
        reason = str(error.reason)
    status = Path('/proc/self/status').read_text()  # getrusage would count the parent before exec
    peak = int(status.partition('VmHWM:')[2].split()[0]) >> 10
    print(name, reason, time.perf_counter() - began, peak, sep="\\t")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory from /proc")
@pytest.mark.parametrize("reader", ["film", "facts"])
def test_every_trap_is_refused_in_bounded_time_and_memory(traps: Path, reader: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ, reader, str(traps), *TRAPS], cwd=HOME, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, *_ in lines] == list(TRAPS)
    if reader == "film":
        assert {name: reason for name, reason, *_ in lines if reason not in EXPECTED[name]} == {}
    assert {name: seconds for name, _, seconds, _ in lines if float(seconds) > 10} == {}
    assert {name: peak for name, _, _, peak in lines if int(peak) > MEMORY_MIB} == {}


def test_n_traps_among_films_are_n_rows(traps: Path, package: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_png(tmp_path / "good" / f"film{number}.png", number)
    inputs = collect_inputs([tmp_path / "good", traps])
    assert len(inputs) == 3 + len(TRAPS)
    predict_films(inputs, package, tmp_path / "out", workers=2)
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert table["path"].tolist() == [film.path for film in inputs.films]
    assert (table["status"] == "ok").tolist() == [True] * 3 + [False] * len(TRAPS)
    found = dict(zip(table["path"], table["reason"], strict=True))
    assert {name: found[name] for name in TRAPS if found[name] not in EXPECTED[name]} == {}
    assert table.loc[table["status"] != "ok", "detail"].str.len().between(1, 200).all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read a file whatever its permissions")
def test_permission(tmp_path: Path) -> None:
    locked(tmp_path / "film.png")
    with pytest.raises(UnreadableImage) as refusal:
        read_radiograph(tmp_path / "film.png")
    assert refusal.value.reason is Reason.UNREADABLE_FILE


def test_films_that_become_something_else_after_they_were_listed(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "films"
    for name in ("a", "b", "c", "d", "e"):
        write_png(folder / f"{name}.png", 1).rename(folder / name)
    inputs = collect_inputs([folder])
    for name in ("a", "b", "c", "d"):
        (folder / name).unlink()
    os.mkfifo(folder / "a")
    (folder / "b").symlink_to("b")
    (folder / "c").mkdir()
    predict_films(inputs, package, tmp_path / "out", workers=1)
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert table["reason"].tolist()[:4] == ["unreadable_file"] * 3 + ["missing"]
    assert table["status"].tolist()[4] == "ok"


NAMES = [
    b"line\nbreak.png",
    b"return\r.png",
    b"\x1b[31mred\x1b]0;title\x07.png",
    b"not-utf8-\xff\xfe.png",
    "turned-\u202egnp.exe".encode(),
    "separator-\u2028.png".encode(),
    b"=cmd|calc.png",
    b'quote"comma,.png',
    b"..png",
    b"-rf",
    b"~",
    b"a" * 251 + b".png",
    b"back\\slash.png",
    b"%s%n{0}.png",
]


def test_names_stay_names(tmp_path: Path, package: Path) -> None:
    """Every film of a hostile name is read; its row can be told from the others and is safe to print."""
    folder = tmp_path / "films"
    source = write_png(tmp_path / "source.png", 1)
    folder.mkdir()
    for name in NAMES:
        os.link(source, os.fsencode(folder) + b"/" + name)
    hidden = sum(name.startswith(b".") for name in NAMES)
    inputs = collect_inputs([folder])
    assert len(inputs) == len(NAMES) - hidden
    assert inputs.sources[0].skipped == {"hidden": hidden}
    summary = predict_films(inputs, package, tmp_path / "out", workers=1)
    assert summary.ok == len(inputs)
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["image_id"] for row in rows}) == len(rows) == len(inputs)
    printed = "".join(row["image_id"] + row["path"] + row["detail"] for row in rows)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", printed)
    assert not any(row["image_id"].startswith(("=", "-", "+", "@")) for row in rows)


def test_nul_in_a_name_is_a_missing_file() -> None:
    for reader in (read_facts, read_radiograph):
        with pytest.raises(UnreadableImage) as refusal:
            reader(Path("film\0.png"))
        assert refusal.value.reason is Reason.MISSING


def test_a_folder_of_many_entries_is_listed_in_seconds(tmp_path: Path) -> None:
    for number in range(10_000):
        os.mknod(tmp_path / f"film{number}")
    before = time.process_time()
    listed = collect_inputs([tmp_path])
    assert time.process_time() - before < 10
    assert len(listed) == 10_000
    assert listed.films[11].image_id == "film11"
