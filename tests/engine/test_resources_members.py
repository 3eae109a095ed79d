"""Archives are read by the names wanted of them, however hostile they are."""

import io
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from repro.engine.resources import members
from repro.engine.resources.members import read_members
from repro.errors import ResourceError

FILES = {"a.bin": b"first", "b.bin": b"second", "other.txt": b"not asked for"}
WANTED = ("a.bin", "b.bin", "c.bin")
FOUND = {"a.bin": b"first", "b.bin": b"second"}


def make_tar(path: Path, files: Mapping[str, bytes], *, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_tar_gives_what_is_wanted(tmp_path: Path) -> None:
    """Members of a tar are found by base name, and only those that were asked for."""
    path = make_tar(tmp_path / "x.tgz", {f"package/{name}": FILES[name] for name in FILES})

    assert read_members(path, WANTED) == FOUND


def test_zip_gives_what_is_wanted(tmp_path: Path) -> None:
    """Members of a zip are found by base name, and only those that were asked for."""
    path = make_zip(tmp_path / "x.whl", {f"package/{name}": FILES[name] for name in FILES})

    assert read_members(path, WANTED) == FOUND


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_folder_gives_what_is_wanted(inner: str, tmp_path: Path) -> None:
    """Files of a folder, or of a folder in it, are found by name."""
    (tmp_path / inner).mkdir(exist_ok=True)
    for name, content in FILES.items():
        (tmp_path / inner / name).write_bytes(content)

    assert read_members(tmp_path, WANTED) == FOUND


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_debian_package_gives_what_is_wanted(tmp_path: Path) -> None:
    """Files of a Debian package are read without unpacking it."""
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN" / "control").write_text(
        "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n",
        encoding="utf-8",
    )
    for name, content in FILES.items():
        (source / name).write_bytes(content)
    package = tmp_path / "tiny.deb"
    subprocess.run(["dpkg-deb", "--build", source, package], check=True, capture_output=True)

    assert read_members(package, WANTED) == FOUND


def test_debian_package_needs_its_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where dpkg-deb is missing, the error says that it is needed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "tiny.deb").write_bytes(b"!<arch>")

    with pytest.raises(ResourceError, match="dpkg-deb is needed"):
        read_members(tmp_path / "tiny.deb", WANTED)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_broken_debian_package_is_refused(tmp_path: Path) -> None:
    """A file that only claims to be a Debian package is refused by its name."""
    (tmp_path / "tiny.deb").write_bytes(b"!<arch>")

    with pytest.raises(ResourceError, match=r"tiny\.deb: not a Debian package"):
        read_members(tmp_path / "tiny.deb", WANTED)


@pytest.mark.parametrize("name", ["../../a.bin", "/etc/a.bin"])
def test_member_path_leads_nowhere(name: str, tmp_path: Path) -> None:
    """A path that climbs out of the archive is only a base name; nothing is written."""
    inside = tmp_path / "inside"
    inside.mkdir()
    tar = make_tar(inside / "x.tar", {name: b"content"}, mode="w")
    archive = make_zip(inside / "x.zip", {name: b"content"})
    before = sorted(tmp_path.rglob("*"))

    assert [read_members(path, WANTED) for path in (tar, archive)] == [{"a.bin": b"content"}] * 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_not_files(kind: bytes, tmp_path: Path) -> None:
    """A link or a device under a wanted name is not read."""
    member = tarfile.TarInfo("a.bin")
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.addfile(member)

    assert read_members(tmp_path / "x.tar", WANTED) == {}


def test_link_in_a_zip_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in a zip gives its own bytes, never the file that it names."""
    info = zipfile.ZipInfo("a.bin")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")

    assert read_members(tmp_path / "x.zip", WANTED) == {"a.bin": b"/etc/passwd"}


def test_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    """Two files of one name leave open which is meant."""
    path = make_tar(tmp_path / "x.tgz", {"one/a.bin": b"1", "two/a.bin": b"2"})

    with pytest.raises(ResourceError, match=r"holds a\.bin more than once"):
        read_members(path, WANTED)


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that claims more than any resource needs is not unpacked."""
    monkeypatch.setattr(members, "MEMBER_LIMIT_BYTES", 100)
    path = make_tar(tmp_path / "x.tgz", {"a.bin": bytes(101)})

    with pytest.raises(ResourceError, match="101 bytes, larger than any file of a resource"):
        read_members(path, WANTED)


@pytest.mark.parametrize("cut", [0, 10, 60, 100])
def test_cut_archive_is_refused(cut: int, tmp_path: Path) -> None:
    """An archive that ends too early is damaged, wherever it ends, and said so in one line."""
    path = make_tar(tmp_path / "x.tgz", {"a.bin": bytes(range(256)) * 64})
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(ResourceError, match="damaged or unreadable") as caught:
        read_members(path, WANTED)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("position", range(20, 120, 20))
def test_damaged_tar_is_refused(position: int, tmp_path: Path) -> None:
    """Overwritten bytes of a compressed member are damage, wherever they are."""
    path = make_tar(tmp_path / "x.tgz", {"a.bin": bytes(range(256)) * 64})
    data = bytearray(path.read_bytes())
    data[position : position + 8] = b"\xff" * 8
    path.write_bytes(data)

    with pytest.raises(ResourceError, match="damaged or unreadable"):
        read_members(path, WANTED)


def test_damaged_zip_member_is_refused(tmp_path: Path) -> None:
    """A member whose checksum is wrong is damaged."""
    path = make_zip(tmp_path / "x.zip", {"a.bin": b"content"})
    path.write_bytes(path.read_bytes().replace(b"content", b"CONTENT"))

    with pytest.raises(ResourceError, match="damaged or unreadable: Bad CRC-32"):
        read_members(path, WANTED)


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    """A file that is no archive is named."""
    path = tmp_path / "notes.txt"
    path.write_text("not an archive", encoding="utf-8")

    with pytest.raises(ResourceError, match=r"notes\.txt: damaged or unreadable"):
        read_members(path, WANTED)
