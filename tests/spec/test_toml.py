from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import SpecError
from repro.spec import Spec, dump, load, toml
from tests.spec.strategies import specs, toml_texts

DATA = Path(__file__).parents[1] / "data" / "valid"
TEXT = """\
schema = 1
a.b = 2
"quo.ted" . 'x' = { y = [
  1, # ]
  { z = "}" },
], w = '''
'''}

[table]   # [no]
key = \"\"\"
[not.a.table]
\\\" \"\"\"\"
[[array]]
k = 1
[array.inner]
k = 2
[[array]]
[[array.deep]]
k = 3
"""


def test_every_key_has_its_line():
    """Headers, arrays of tables, inline tables, dotted and quoted keys are found."""
    expected = {
        ("schema",): 1,
        ("a",): 2,
        ("a", "b"): 2,
        ("quo.ted",): 3,
        ("quo.ted", "x"): 3,
        ("quo.ted", "x", "y"): 3,
        ("quo.ted", "x", "y", 0): 4,
        ("quo.ted", "x", "y", 1): 5,
        ("quo.ted", "x", "y", 1, "z"): 5,
        ("quo.ted", "x", "w"): 6,
        ("table",): 9,
        ("table", "key"): 10,
        ("array",): 13,
        ("array", 0): 13,
        ("array", 0, "k"): 14,
        ("array", 0, "inner"): 15,
        ("array", 0, "inner", "k"): 16,
        ("array", 1): 17,
        ("array", 1, "deep"): 18,
        ("array", 1, "deep", 0): 18,
        ("array", 1, "deep", 0, "k"): 19,
    }

    assert toml.lines(TEXT) == expected


@given(specs(), st.data())
@settings(max_examples=40, deadline=None)
def test_the_locator_sees_what_the_parser_sees(spec: Spec, data: st.DataObject):
    """However a spec is written, its keys have lines, and nothing else has."""
    text = data.draw(toml_texts(dump(spec)))

    assert set(toml.lines(text)) == set(paths(toml.parse(text, "text")))


@given(specs(), st.data())
@settings(max_examples=20, deadline=None)
def test_a_line_holds_its_key(spec: Spec, data: st.DataObject):
    """The line that is named for a key has the key on it."""
    text = data.draw(toml_texts(dump(spec)))
    rows = text.split("\n")

    found = [(path[-1], line) for path, line in toml.lines(text).items()]

    assert all(key in rows[line - 1] for key, line in found if isinstance(key, str))


def paths(data: Any, path: tuple[str | int, ...] = ()) -> Any:
    entries: Any = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


HOSTILE = {
    "ten megabytes of brackets": (b"a = " + b"[" * 10_000_000, "at most 262144 bytes"),
    "nested brackets": (b"a = " + b"[" * 100_000, "nested more than 32 levels deep"),
    "nested tables": (b"a = " + b"{a = " * 40_000, "nested more than 32 levels deep"),
    "a long dotted key": (b"a." * 100_000 + b"a = 1", "nested more than 32 levels deep"),
    "ten thousand keys": (b"".join(b"key%d = 1\n" % n for n in range(10_000)), "and more"),
    "ten thousand tables": (b"".join(b"[t%d]\na=1\n" % n for n in range(10_000)), "and more"),
    "deep but legal": (b"a = " + b"[" * 300 + b"]" * 300, "nested more than 32 levels deep"),
    "a deep sweep": (b"sweep." + b"a." * 40 + b"a = [1]", "nested more than 32 levels deep"),
    "a tower of blocks": (
        b"schema=1\ndata.kind='digits'\nnetwork={kind='unet2d', channels=["
        + b"1," * 20_000
        + b"]}",
        "need sides divisible by",
    ),
    "a long key": (b"k" * 200_000 + b" = 1", "unknown key"),
    "a NUL byte": (b"schema = 1\ntitle = 'a\0b'\n", "a.toml:2: "),
    "a wrong encoding": ("schema = 1\ntitle = 'é'".encode("latin-1"), "a.toml:2: expected UTF-8"),
    "two bytes a character": ("schema = 1".encode("utf-16"), "expected UTF-8"),
    "not a number": (b"schema = 1\ntrain.lr = nan", "train.lr: expected a number, got nan"),
    "past 64 bits": (b"schema = 1\ntrain.seed = 9223372036854775808", "at most 64 bits"),
    "a float past 64 bits": (b"schema = 1\ntrain.lr = 1" + b"0" * 400, "train.lr: expected a num"),
    "a very long number": (b"schema = 1" + b"0" * 5000, "at most 64 bits"),
    "a repeated key": (b"schema = 1\nschema = 1", "a.toml:2: "),
    "an empty file": (b"", "schema: missing"),
    "control characters": (b'"\\u001b[31m" = 1', r"'\\x1b\[31m': unknown key"),
    "a million checkpoints": (
        b"schema=1\ntrain={steps=1000000000,seed=1,lr=1,checkpoint_every=1}",
        "leaves 1000000000 checkpoints",
    ),
    "a million runs": (
        b"sweep={a=" + str([0] * 1000).encode() + b",b=" + str([0] * 1000).encode() + b"}",
        "makes 1000000 runs, expected at most 10000",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_gives_one_clear_error(tmp_path: Path, name: str):
    """What no person wrote is refused in words, and not in too many."""
    content, message = HOSTILE[name]
    path = tmp_path / "a.toml"
    path.write_bytes(content)

    with pytest.raises(SpecError, match=message) as caught:
        load(path)

    assert len(str(caught.value)) < 20_000


def test_what_is_no_file_is_refused(tmp_path: Path):
    """Missing files, folders, devices and loops of links give one clear error."""
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")

    for path in (tmp_path, tmp_path / "none.toml", tmp_path / "loop.toml", Path("/dev/zero")):
        with pytest.raises(SpecError, match=r"expected a file|cannot be read"):
            load(path)
    with pytest.raises(SpecError, match="cannot be read"):
        load(Path("a\0b"))


def test_a_large_sweep_with_one_bad_value_is_refused(tmp_path: Path):
    """One bad value among ten thousand runs is found, and named once."""
    path = tmp_path / "a.toml"
    body = (DATA / "toy.toml").read_text(encoding="utf-8")
    sweep = f"[sweep.train]\nseed = {[*range(100)]}\nweight_decay = {[*range(99), -1]}\n"
    path.write_text(f"{body}\n{sweep}", encoding="utf-8")

    with pytest.raises(SpecError, match=r"weight_decay: expected at least 0, got -1") as caught:
        load(path)

    assert len(caught.value.problems) == 1


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path):
    """Some editors begin a file with one; it says nothing."""
    path = tmp_path / "a.toml"
    path.write_text("\ufeff" + (DATA / "toy.toml").read_text("utf-8"), encoding="utf-8")

    assert load(path) == load(DATA / "toy.toml")


def test_windows_line_ends_are_read(tmp_path: Path):
    """A file with CRLF line ends says the same, and its lines count the same."""
    path = tmp_path / "a.toml"
    path.write_bytes(b"schema = 1\r\n# a\r\ncolour = 1\r\n")

    with pytest.raises(SpecError, match=r"a\.toml:3: colour"):
        load(path)
