"""The cache: what is in it is what is pinned, wherever it came from."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repro.engine import resources
from repro.engine.resources import Resource
from repro.engine.resources.tensors import (
    Arrays,
    part_digests,
    read_tensors,
    tensors_digest,
    write_tensors,
)
from repro.errors import ResourceError
from tests.engine.small_resource import CONTENT, TENSORS, Notices, Shelf, part_of, small_resource


def bring(table: dict[str, Resource], cache: Path, **options) -> Path:
    return resources.fetch(
        "small", cache=cache, notify=options.pop("notify", Notices()), table=table, **options
    )


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_first_fetch_stores_the_tensors(tmp_path: Path) -> None:
    """What a source gave lies decoded in the cache."""
    path = bring(small_resource(Shelf("first")), tmp_path)

    found = read_tensors(path)
    assert tensors_digest(found) == tensors_digest(TENSORS)


def test_second_fetch_asks_no_source(tmp_path: Path) -> None:
    """What is in the cache is not brought again."""
    shelf = Shelf("first")
    bring(small_resource(shelf), tmp_path)
    bring(small_resource(shelf), tmp_path)

    assert len(shelf.calls) == 1


def test_next_source_takes_over(tmp_path: Path) -> None:
    """A source that fails costs one notice, and the next one is asked."""
    notices = Notices()

    bring(small_resource(Shelf("first", None), Shelf("second")), tmp_path, notify=notices)

    assert notices.lines[:3] == [
        "small: trying first",
        "small: first is closed",
        "small: trying second",
    ]


def test_other_content_is_refused(tmp_path: Path) -> None:
    """A source that gives something else is passed over, and nothing of it stays."""
    path = bring(small_resource(Shelf("liar", b"other"), Shelf("second")), tmp_path)

    assert tensors_digest(read_tensors(path)) == tensors_digest(TENSORS)
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == []


def test_every_failure_is_named(tmp_path: Path) -> None:
    """When nothing helps, the error lists each source, its reason and the way out."""
    table = small_resource(Shelf("first", None), Shelf("liar", b"other"))

    with pytest.raises(ResourceError) as caught:
        bring(table, tmp_path)

    text = str(caught.value)
    assert "small.safetensors: No such file" in text
    assert "first: first is closed" in text
    assert "liar: " in text
    assert "expected content sha256:" in text
    assert "fetch small --from PATH" in text


def test_given_path_comes_first(tmp_path: Path) -> None:
    """A path that the user gives is taken before any source is asked."""
    given = tmp_path / "given"
    given.write_bytes(CONTENT)
    shelf = Shelf("first")

    bring(small_resource(shelf), tmp_path / "cache", given=given)

    assert shelf.calls == []


def test_copy_of_another_cache_is_taken(tmp_path: Path) -> None:
    """A cached file can be carried to another machine; an extra that no pin proves is left out."""
    extra = {"extra.weight": np.ones(3, np.float32)}
    given = tmp_path / "small.safetensors"
    write_tensors({**TENSORS, **extra}, given, metadata={})

    path = bring(small_resource(), tmp_path / "cache", given=given)

    assert tensors_digest(read_tensors(path)) == tensors_digest(TENSORS)


def test_wrong_given_path_has_no_substitute(tmp_path: Path) -> None:
    """A given file with other content is an error, not a reason to look elsewhere."""
    given = tmp_path / "given"
    given.write_bytes(b"other")
    shelf = Shelf("first")

    with pytest.raises(ResourceError, match="expected content sha256:"):
        bring(small_resource(shelf), tmp_path / "cache", given=given)
    assert shelf.calls == []


def test_missing_given_path_is_said(tmp_path: Path) -> None:
    """A given path that does not exist is named, with what could lie there."""
    with pytest.raises(ResourceError, match=r"no such file or folder .expected a genuine"):
        bring(small_resource(), tmp_path, given=tmp_path / "nowhere")


def test_offline_asks_nobody(tmp_path: Path) -> None:
    """Offline, only the cache is looked at, and the error says so."""
    shelf = Shelf("first")

    with pytest.raises(ResourceError, match="offline: no other source was asked"):
        bring(small_resource(shelf), tmp_path, offline=True)
    assert shelf.calls == []


def test_offline_uses_the_cache(tmp_path: Path) -> None:
    """Offline, a cached resource is as good as ever."""
    table = small_resource(Shelf("first"))
    path = bring(table, tmp_path)

    assert bring(table, tmp_path, offline=True) == path


def test_damaged_cache_is_replaced(tmp_path: Path) -> None:
    """One flipped bit in the cached file is noticed, and the file is fetched again."""
    table = small_resource(Shelf("first"))
    path = bring(table, tmp_path)
    damage(path)
    notices = Notices()

    bring(table, tmp_path, notify=notices)

    assert notices.lines[0] == "small: the cached file is damaged and will be replaced"
    assert tensors_digest(read_tensors(path)) == tensors_digest(TENSORS)


def test_damaged_cache_is_named_offline(tmp_path: Path) -> None:
    """Offline, a damaged file is an error that shows both digests."""
    table = small_resource(Shelf("first"))
    damage(bring(table, tmp_path))

    with pytest.raises(ResourceError, match=r"train: expected content sha256:.*, got sha256:"):
        bring(table, tmp_path, offline=True)


def test_reading_finds_damage(tmp_path: Path) -> None:
    """A part is digested when it is read, and the error says what to run."""
    table = small_resource(Shelf("first"))
    damage(bring(table, tmp_path))

    with pytest.raises(ResourceError, match="`python -m repro fetch small` replaces it"):
        resources.read("small", "train", cache=tmp_path, table=table)


def test_reading_takes_one_part(tmp_path: Path) -> None:
    """A part comes under the names within it."""
    table = small_resource(Shelf("first"))
    bring(table, tmp_path)

    found = resources.read("small", "train", cache=tmp_path, table=table)

    assert found.keys() == {"images", "labels"}
    np.testing.assert_array_equal(found["labels"], TENSORS["train.labels"])


def test_reading_an_absent_part_is_said(tmp_path: Path) -> None:
    """A part that this copy lacks is named."""
    table = small_resource(Shelf("first"))
    bring(table, tmp_path)

    with pytest.raises(ResourceError, match="has no part 'fc'"):
        resources.read("small", "fc", cache=tmp_path, table=table)


def test_reading_before_fetching_is_said(tmp_path: Path) -> None:
    """Without a cached file the error says how to get it."""
    with pytest.raises(ResourceError, match="run `python -m repro fetch small`"):
        resources.read("small", "train", cache=tmp_path, table=small_resource())


def test_unpinned_part_is_guarded(tmp_path: Path) -> None:
    """An extra that no pin covers is held to what was recorded when it was cached."""
    table = small_resource(Shelf("first"))
    path = tmp_path / "small.safetensors"
    tensors = {**TENSORS, "extra.weight": np.ones(3, np.float32)}
    write_tensors(tensors, path, metadata=part_digests(tensors, part_of))
    before = bring(table, tmp_path, offline=True)
    tensors["extra.weight"][0] = 2
    write_tensors(tensors, path, metadata={"extra": part_digests(TENSORS, part_of)["train"]})

    assert before == path
    with pytest.raises(ResourceError, match="extra: expected content"):
        bring(table, tmp_path, offline=True)


def test_present_needs_a_complete_file(tmp_path: Path) -> None:
    """Absent, cut short and whole files are told apart without reading them."""
    table = small_resource(Shelf("first"))
    absent = resources.present("small", tmp_path, table=table)
    path = bring(table, tmp_path)
    whole = resources.present("small", tmp_path, table=table)
    path.write_bytes(path.read_bytes()[:-1])

    assert (absent, whole) == (False, True)
    assert not resources.present("small", tmp_path, table=table)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b"\x04\0\0\0\0\0\0\0null"]
)
def test_present_survives_any_file(data: bytes, tmp_path: Path) -> None:
    """A file that is no safetensors file at all is simply not there."""
    (tmp_path / "small.safetensors").write_bytes(data)

    assert not resources.present("small", tmp_path, table=small_resource())


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    """A misspelt resource is answered with the table."""
    with pytest.raises(
        ResourceError, match="expected one of: cifar10, fashion-mnist, stl10, inception"
    ):
        resources.present("cifar", tmp_path)


def test_unwritable_cache_is_said(tmp_path: Path) -> None:
    """A cache that is a file names itself and the option that moves it."""
    (tmp_path / "cache").write_text("not a folder", encoding="utf-8")

    with pytest.raises(ResourceError, match="choose another with --cache"):
        bring(small_resource(Shelf("first")), tmp_path / "cache")


def test_two_processes_bring_it_once(tmp_path: Path) -> None:
    """Whoever waited for another process to bring a resource finds it in the cache."""
    code = """
import sys, time
from pathlib import Path
from repro.engine import resources
from tests.engine.small_resource import Shelf, small_resource
class Slow(Shelf):
    def obtain(self, folder, *, track):
        time.sleep(0.3)
        return super().obtain(folder, track=track)
resources.fetch("small", cache=Path(sys.argv[1]), notify=print, table=small_resource(Slow("slow")))
"""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert "".join(outputs).count("trying slow") == 1


def test_digest_tells_name_shape_and_dtype_apart() -> None:
    """Equal bytes under another name, shape or dtype have another digest."""
    value = np.arange(4, dtype=np.int32)
    variants: list[Arrays] = [
        {"a": value},
        {"b": value},
        {"a": value.reshape(2, 2)},
        {"a": value.view(np.uint32)},
    ]

    assert len({tensors_digest(each) for each in variants}) == 4


def test_digest_ignores_memory_layout() -> None:
    """Order of insertion, strides and byte order are not content."""
    value = np.arange(6, dtype=np.int32).reshape(2, 3)
    plain = {"a": value, "b": value}
    odd = {"b": np.asfortranarray(value), "a": value.astype(">i4")}

    assert tensors_digest(plain) == tensors_digest(odd)
