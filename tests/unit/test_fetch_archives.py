"""Archives that are good, damaged and hostile: what is unpacked, and that nothing else is ever written."""

import errno
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.fetch import ArchiveError, Limits, unpack
from pipelines.fetch.archive import Names, clean_name
from tests.fetch_server import png, tarred, zipped

FILES = {f"set/films/{number}.png": png(number) for number in range(4)} | {"set/labels.csv": b"a,b\n1,2\n"}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(tmp_path: Path, content: bytes, words: str, **limits: int) -> None:
    """An archive is refused with these words, and neither its folder nor the one around it changed."""
    archive = tmp_path / "set.archive"
    archive.write_bytes(content)
    folder = tmp_path / "deep" / "root"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(ArchiveError, match=words):
        unpack(archive, folder, limits=Limits(**limits))
    assert tree(tmp_path) == {"set.archive": content, "deep/root/mine.txt": b"mine"}
    assert [path.name for path in folder.iterdir()] == ["mine.txt"], "no folder is left either"


@pytest.mark.parametrize("mode", ["zip", "w:", "w:gz", "w:bz2", "w:xz"])
def test_what_was_packed_comes_out(tmp_path: Path, mode: str) -> None:
    archive = tmp_path / "films.bin"
    archive.write_bytes(zipped(FILES) if mode == "zip" else tarred(FILES, mode))
    seen: list[tuple[int, int]] = []
    out = unpack(archive, tmp_path / "root", progress=lambda done, total: seen.append((done, total)))
    assert tree(tmp_path / "root") == FILES
    assert (out.files, out.some) == (5, list(FILES))
    assert seen == sorted(seen)
    assert all(done <= total == archive.stat().st_size for done, total in seen)


def test_unpacking_again_over_equal_files_is_fine_and_over_a_changed_one_is_not(tmp_path: Path) -> None:
    archive = tmp_path / "films.zip"
    archive.write_bytes(zipped(FILES))
    unpack(archive, tmp_path / "root")
    (tmp_path / "root" / "set" / "films" / "0.png").unlink()
    unpack(archive, tmp_path / "root")
    assert tree(tmp_path / "root") == FILES
    (tmp_path / "root" / "set" / "labels.csv").write_text("corrected by hand")
    (tmp_path / "root" / "set" / "films" / "0.png").unlink()
    with pytest.raises(ArchiveError, match=r"labels.csv differs from the one in films.zip: move it away"):
        unpack(archive, tmp_path / "root")
    assert "set/films/0.png" not in tree(tmp_path / "root"), "nothing was moved"
    assert (tmp_path / "root" / "set" / "labels.csv").read_text() == "corrected by hand"


def test_two_archives_share_a_folder(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.tgz").write_bytes(tarred({f"images/{number}.png": png(number), "images/READ": b"me"}))
        unpack(tmp_path / f"{number}.tgz", tmp_path / "root")
    assert sorted(tree(tmp_path / "root")) == ["images/1.png", "images/2.png", "images/READ"]


def test_what_a_mac_adds_is_left_out(tmp_path: Path) -> None:
    junk = {"__MACOSX/set/films/._0.png": b"x", "set/films/._1.png": b"x", "set/.DS_Store": b"x"}
    (tmp_path / "films.zip").write_bytes(zipped(FILES | junk))
    unpack(tmp_path / "films.zip", tmp_path / "root")
    assert tree(tmp_path / "root") == FILES


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../outside.txt", "leads out of the folder"),
        ("set/../../outside.txt", "leads out of the folder"),
        ("set\\..\\..\\outside.txt", "leads out of the folder"),
        ("/tmp/outside.txt", "absolute"),
        ("\\\\server\\share\\outside.txt", "absolute"),
        ("C:\\outside.txt", "absolute"),
        ("c:outside.txt", "absolute"),
        ("set/\x1b[2J.txt", "control characters"),
        ("/".join(["a"] * 40), "too many folders"),
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_no_name_escapes(tmp_path: Path, pack: Callable[..., bytes], name: str, words: str) -> None:
    refused(tmp_path, pack({"set/good.png": png(1), name: b"bad"}), words)


def _tar_with(kind: bytes, target: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        info = tarfile.TarInfo("set/thing")
        info.type, info.linkname = kind, target
        packed.addfile(info)
        inside = tarfile.TarInfo("set/thing/passwd")
        inside.size = 3
        packed.addfile(inside, io.BytesIO(b"bad"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.SYMTYPE, "../../.."),
        (tarfile.SYMTYPE, "films"),
        (tarfile.LNKTYPE, "../../../mine.txt"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    refused(tmp_path, _tar_with(kind, target), "is a link, a device")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        info = zipfile.ZipInfo("set/films")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc")
        packed.writestr("set/films/passwd", "bad")
    refused(tmp_path, out.getvalue(), "is a link, a device")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_not_unpacked(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    content = pack({f"zeros/{number}": bytes(2_000_000) for number in range(3)})
    assert len(content) < 6_000_000 / 100
    refused(tmp_path, content, "which no films do", floor=1_000_000)


def test_a_zip_that_says_it_is_smaller_than_it_is(tmp_path: Path) -> None:
    honest = zipped({"zeros": bytes(3_000_000)})
    lying = honest.replace((3_000_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    assert lying != honest
    refused(tmp_path, lying, "damaged", floor=1_000_000)


def test_overlapping_members_are_counted_each(tmp_path: Path) -> None:
    """One compressed body listed many times in the directory, as the densest bombs do."""
    single = zipped({"a0": bytes(500_000)})
    at = single.index(b"PK\x01\x02")
    end = single.index(b"PK\x05\x06")
    entry, tail = single[at:end], bytearray(single[end:])
    entries = b"".join(entry.replace(b"a0", f"a{number}".encode()) for number in range(10))
    tail[8:10] = tail[10:12] = (10).to_bytes(2, "little")
    tail[12:16] = len(entries).to_bytes(4, "little")
    refused(tmp_path, single[:at] + entries + bytes(tail), "which no films do", floor=1_000_000)


def test_too_many_members(tmp_path: Path) -> None:
    many = {f"set/{number}": b"" for number in range(30)}
    refused(tmp_path / "a", _made(tmp_path / "a", zipped(many)), "more than 20 members", files=20)
    refused(tmp_path / "b", _made(tmp_path / "b", tarred(many)), "more than 20 members", files=20)


def _made(folder: Path, content: bytes) -> bytes:
    folder.mkdir()
    return content


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("set/Film.png", "set/film.PNG"), "one name where case does not count"),
        (("Set/1.png", "set/2.png"), "one name where case does not count"),
        (("set/e\u0301.png", "set/\u00e9.png"), "one name where case does not count"),
        (("set/1.png", "set/1.png/inside"), "both a file and a folder"),
    ],
)
def test_names_that_meet_on_some_system(
    tmp_path: Path, pack: Callable[..., bytes], names: tuple[str, str], words: str
) -> None:
    refused(tmp_path, pack(dict.fromkeys(names, b"x")), words)


def test_a_name_twice(tmp_path: Path) -> None:
    names = Names(Path("a.zip"))
    names.add("set/1.png", folder=False)
    names.add("set", folder=True)
    with pytest.raises(ArchiveError, match=r"set/1\.png is in it twice"):
        names.add("set/1.png", folder=False)


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    content = bytearray(zipped({"set/secret.png": png(1)}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    refused(tmp_path, bytes(content), r"set/secret\.png in it is encrypted")


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    content = bytearray(zipped(FILES))
    at = content.index(b"2.png") + 200
    content[at] ^= 0xFF
    refused(tmp_path, bytes(content), r"set/films/2\.png in it is damaged")


@pytest.mark.parametrize("mode", ["zip", "w:", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.65])
def test_an_archive_that_was_cut_off(tmp_path: Path, mode: str, share: float) -> None:
    whole = zipped(FILES) if mode == "zip" else tarred(FILES, mode)
    refused(tmp_path, whole[: int(len(whole) * share)], "damaged|before its end mark")


def test_a_tar_that_ends_between_two_members(tmp_path: Path) -> None:
    """Python's tarfile takes that for the end of the archive."""
    whole = tarred({"a.png": bytes(512), "b.png": bytes(512)}, "w:")
    cut = whole[:1024]
    with tarfile.open(fileobj=io.BytesIO(cut)) as packed:
        assert packed.getnames() == ["a.png"]
    refused(tmp_path, cut, "before its end mark")


def test_a_tar_with_a_damaged_header_in_the_middle(tmp_path: Path) -> None:
    """And that, too."""
    whole = bytearray(tarred({"a.png": png(1), "b.png": png(2), "c.png": png(3)}, "w:"))
    whole[whole.index(b"b.png") + 120] ^= 0xFF
    with tarfile.open(fileobj=io.BytesIO(bytes(whole))) as packed:
        assert packed.getnames() == ["a.png"]
    refused(tmp_path, bytes(whole), "damaged")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<html>login</html>", bytes(2000), b"\x1f\x8bgarbage", b"PK\x03\x04bad"]
)
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path, content, "expected a zip or tar archive|damaged")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.fetch import unpacking

    def full(_archive: Path, member: object, _most: int) -> bytes:
        if "2.png" in str(member):
            raise OSError(errno.ENOSPC, "No space left on device")
        return b""

    monkeypatch.setattr(unpacking, "read_member", full)
    refused(tmp_path, zipped(FILES), "the disk is full; nothing of it was unpacked")


def test_a_disk_without_room_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.fetch import unpacking

    monkeypatch.setattr(unpacking, "free_bytes", lambda _folder: 10_000)
    refused(tmp_path, tarred(FILES), r"more than the 10\.0 kB that the disk has to spare")


def test_an_interruption_leaves_nothing_and_a_killed_run_is_cleared_away(tmp_path: Path) -> None:
    archive = tmp_path / "films.zip"
    archive.write_bytes(zipped(FILES))
    (tmp_path / "root" / ".cxr-unpack-films.zip" / "set").mkdir(parents=True)
    (tmp_path / "root" / ".cxr-unpack-films.zip" / "set" / "half.png").write_bytes(b"half")

    def press(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "root", progress=press)
    assert tree(tmp_path / "root") == {}
    unpack(archive, tmp_path / "root")
    assert tree(tmp_path / "root") == FILES


@pytest.mark.parametrize(
    ("name", "clean"),
    [("./set//films/./1.png", "set/films/1.png"), ("set\\1.png", "set/1.png"), ("./", ""), ("..a/b", "..a/b")],
)
def test_names_are_brought_to_one_form(name: str, clean: str) -> None:
    assert clean_name(Path("a.zip"), name) == clean
