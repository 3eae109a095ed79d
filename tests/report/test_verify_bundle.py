"""The verifier of one file: needs only Python, finds every change, says what `verify` says."""

import ast
import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.ledger import records, verify
from repro.ledger.chain import Tip, Tree, parse, render
from repro.ledger.segment import utc_now
from repro.report.bundle import verify_bundle
from tests.ledger import ledgers
from tests.report import bundles

SOURCE = Path(verify_bundle.__file__).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle of an execution and of one that reused its stages."""
    root = tmp_path_factory.mktemp("made") / "ledger"
    return bundles.make(root, ledgers.reuse(root, ledgers.execute(root)))


@pytest.fixture
def copy(made, tmp_path):
    """The bundle, for an attacker."""
    return bundles.writable(made.folder, copy=tmp_path / "copy")


def segment_of(folder):
    """The segment of the execution that did the work, relative to the bundle."""
    return min(folder.glob("ledger/segments/*")).relative_to(folder).as_posix()


@given(st.binary(max_size=1100))
def test_its_xxh3_is_xxh3(data):
    """The ids of runs come out as the C library gives them, whatever the length."""
    assert verify_bundle.xxh3_128(data) == xxhash.xxh3_128_hexdigest(data)


@pytest.mark.parametrize(
    "size", [0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025, 2048, 9000]
)
def test_its_xxh3_is_xxh3_where_the_algorithm_changes(size):
    """The lengths at which XXH3 takes another way."""
    data = bytes(i * 7 % 251 for i in range(size))

    assert verify_bundle.xxh3_128(data) == xxhash.xxh3_128_hexdigest(data)


def test_it_imports_the_standard_library_only():
    """So a reader needs no environment."""
    nodes = list(ast.walk(ast.parse(SOURCE)))
    imported = {
        *(alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names),
        *(str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)),
    }

    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def test_it_reads_the_formats_that_the_program_reads():
    """A segment of a new format is broken to neither or to both."""
    assert verify_bundle._FORMATS == records.FORMATS


def test_it_is_written_for_python_3_9():
    """No syntax of a later version."""
    ast.parse(SOURCE, feature_version=(3, 9))


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_byte_is_named(made, tmp_path_factory, data):
    """Whichever byte of whichever file: the first finding names the file, and the record in it."""
    paths = sorted(path for path in made.folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(paths))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    folder = bundles.writable(made.folder, copy=tmp_path_factory.mktemp("changed") / "copy")
    name = path.relative_to(made.folder).as_posix()
    (folder / name).write_bytes(content)

    found = verify_bundle.verify(folder).findings

    assert named(found, name, path.read_bytes(), at)


def test_a_changed_list_of_what_was_left_out_is_named(tmp_path):
    """Each byte of it; that artifacts are not there is no finding of its own then."""
    root = tmp_path / "ledger"
    made = bundles.make(root, ledgers.execute(root), leave_out=["weights"])
    copy = bundles.writable(made.folder, copy=tmp_path / "copy")
    content = (copy / "bundle.json").read_bytes()
    for at in range(len(content)):
        (copy / "bundle.json").write_bytes(content[:at] + b"#" + content[at + 1 :])

        assert {each.file for each in verify_bundle.verify(copy).findings} == {"bundle.json"}


@pytest.mark.slow
def test_every_changed_byte_is_named(made, copy):
    """All of them, one after the other: some 40,000, in minutes."""
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        name, content = path.relative_to(copy).as_posix(), path.read_bytes()
        for at in range(len(content)):
            changed = bytearray(content)
            changed[at] ^= 1 << at % 8
            path.write_bytes(changed)

            assert named(verify_bundle.verify(copy).findings, name, content, at)
        path.write_bytes(content)


def named(found, file, content, at):
    """Whether the findings name the file alone, and first the record that holds the byte.

    Without its last newline a segment has no seal; then it is the file that is named.
    """
    files = {each.file for each in found}
    if not file.startswith("ledger/segments/") or at == len(content) - 1:
        return files == {file}
    return files == {file} and found[0].record == content.count(b"\n", 0, at)


def edited(lines):
    return [each.replace(b"12.5", b"11.5") for each in lines]


def removed(lines):
    return [*lines[:4], *lines[5:]]


def repeated(lines):
    return [*lines[:4], lines[3], *lines[4:]]


def moved(lines):
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def added_after_the_seal(lines):
    last = parse(lines[-1][:-1], record=0)
    raw = render(seq=last.seq + 1, time=utc_now(), kind="claim", data=b"{}", prev=last.hash)
    return [*lines, raw + b"\n"]


def no_json(lines):
    return [*lines[:4], b'{"seq":4,\n', *lines[5:]]


def no_start(lines):
    return lines[1:]


def other_seal(lines):
    last = parse(lines[-1][:-1], record=0)
    data = json.dumps({**last.data, "num_records": 3}).encode()
    raw = render(seq=last.seq, time=utc_now(), kind="seal", data=data, prev=last.prev)
    return [*lines[:-1], raw + b"\n"]


def other_spec(lines):
    first = json.loads(lines[0])
    first["data"]["canonical_spec"] = '{"title":"two"}'
    return rewritten(lines, first["data"])


def rewritten(lines, start):
    """The segment as its author could have written it: with another start, and all links right."""
    tip, tree, result = Tip(), Tree(), []
    for each in lines:
        line = parse(each[:-1], record=0)
        said = start if line.seq == 0 else line.data
        if line.kind == "seal":
            said = {**said, "merkle_root": f"sha256:{tree.root()}"}
        data = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        raw = render(seq=line.seq, time=utc_now(), kind=line.kind, data=data, prev=tip.hash)
        tip, tree = tip.after(raw, kind=line.kind), tree.add(raw)
        result.append(raw + b"\n")
    return result


@pytest.mark.parametrize(
    "attack",
    [
        edited,
        removed,
        repeated,
        moved,
        added_after_the_seal,
        no_start,
        other_seal,
        other_spec,
    ],
)
def test_it_says_what_verify_says(copy, attack):
    """A broken segment gets the same sentence from both programs."""
    said, ours = said_of(copy, attack)

    assert said == ours


def test_it_says_what_verify_says_of_a_line_that_is_no_json(copy):
    """Also there, but for the words of the two readers of JSON."""
    said, ours = said_of(copy, no_json)

    assert said.partition(", found")[0] == ours.partition(", found")[0]


def said_of(folder, attack):
    """What the verifier and what the program says first of a segment after an attack."""
    name = segment_of(folder)
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    (folder / name).write_bytes(b"".join(attack(lines)))
    said = bundles.findings(folder)
    ours = [f"ledger/{each}" for each in verify(folder / "ledger")]
    return said[0], next(each for each in ours if each.startswith(f"{name}: "))


def test_it_says_what_verify_says_of_an_artifact(copy):
    """Also of a file that was replaced by another of its size."""
    path = min(copy.glob("ledger/objects/*/*"))
    path.write_bytes(bytes(path.stat().st_size))
    (said,) = bundles.findings(copy)

    findings = verify(copy / "ledger")

    assert said in [f"ledger/{each}" for each in findings]


def test_two_artifacts_with_swapped_names_are_both_named(copy):
    """Each holds the other's bytes."""
    first, second = sorted(copy.glob("ledger/objects/*/*"))
    first.rename(copy / "aside")
    second.rename(first)
    (copy / "aside").rename(second)

    files = [each.file for each in verify_bundle.verify(copy).findings]

    assert files == [each.relative_to(copy).as_posix() for each in (first, second)]


@pytest.mark.parametrize("keep", [1, 5, -1])
def test_a_cut_segment_is_named(copy, keep):
    """A tail that was cut off at the end of a record follows its chain; the head knows better."""
    name = segment_of(copy)
    lines = (copy / name).read_bytes().splitlines(keepends=True)
    (copy / name).write_bytes(b"".join(lines[:keep]))

    found = [each for each in verify_bundle.verify(copy).findings if each.file == name]

    assert "is not as it was when head" in found[0].problem


def test_a_removed_file_is_named(copy):
    """A segment that is gone is missing from the list."""
    name = segment_of(copy)
    (copy / name).unlink()

    assert any(each.startswith(f"{name}: ") for each in bundles.findings(copy))


def test_an_added_file_is_named(copy):
    """What the list does not have was not in the bundle."""
    (copy / "more.txt").write_text("more")

    (finding,) = bundles.findings(copy)
    assert finding.startswith("more.txt: is not listed in SHA256SUMS")


def test_a_link_is_no_file(copy):
    """A link would show whatever it leads to."""
    (copy / "README.md").unlink()
    (copy / "README.md").symlink_to(Path(__file__))

    (finding,) = bundles.findings(copy)
    assert "found a link" in finding


def test_a_bundle_made_anew_has_another_digest(made, copy):
    """Whoever lists a changed file again agrees with themselves, not with what was published."""
    (copy / "README.md").write_text("Believe me.")
    listed_again(copy)

    assert bundles.findings(copy) == []
    (finding,) = bundles.findings(copy, digest=made.digest)
    assert "the digest of this bundle is not the one that was given" in finding


def listed_again(folder):
    """Make SHA256SUMS fit the files again."""
    names = [each.split("  ")[1] for each in (folder / "SHA256SUMS").read_text().split("\n")[1:-1]]
    lines = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    )
    own = hashlib.sha256(lines.encode()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"# sha256:{own}\n{lines}")


def test_artifacts_cannot_go_unsaid(copy):
    """Without the file that says what was left out, listed or not, nothing counts as left out."""
    (copy / "bundle.json").unlink()
    listed = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(each for each in listed if "bundle.json" not in each))
    listed_again(copy)

    (finding,) = bundles.findings(copy)

    assert finding.startswith("bundle.json: does not say which artifacts were left out")


def test_a_segment_written_anew_contradicts_the_head(copy):
    """Its chain, its seal and the list fit; the head holds the seal that it had."""
    name = segment_of(copy)
    lines = (copy / name).read_bytes().splitlines(keepends=True)
    start = json.loads(lines[0])["data"]
    (copy / name).write_bytes(b"".join(rewritten(lines, {**start, "command": ["repro", "gc"]})))
    listed_again(copy)

    (finding,) = bundles.findings(copy)

    assert finding.startswith(f"{name}: is not as it was when head sha256:")


def test_another_head_than_the_published_one_is_named(made, copy):
    """A bundle of a ledger that was made up has another head."""
    published = made.head.replace(made.head[-1], "0" if made.head[-1] != "0" else "1")

    (finding,) = bundles.findings(copy, head=published)

    assert "the head of this bundle is not the one that was given" in finding


def test_the_published_head_and_digest_are_accepted(made):
    """Both are what the command printed."""
    assert bundles.findings(made.folder, head=made.head, digest=made.digest) == []


@pytest.mark.parametrize(
    ("change", "status"), [(lambda folder: None, 0), (lambda folder: (folder / "x").touch(), 1)]
)
def test_the_exit_status_says_whether_something_is_broken(copy, change, status):
    """0: nothing; 1: something."""
    change(copy)

    assert verify_bundle.main([str(copy)]) == status


def test_a_folder_that_is_no_bundle_cannot_be_checked(tmp_path, capsys):
    """Exit status 2, and one line that says why."""
    status = verify_bundle.main([str(tmp_path)])

    assert status == 2
    assert "no bundle here" in capsys.readouterr().err


def test_a_bundle_can_move(made, tmp_path):
    """Nothing in it depends on where it lies."""
    shutil.copytree(made.folder, tmp_path / "elsewhere")

    assert bundles.findings(tmp_path / "elsewhere") == []
