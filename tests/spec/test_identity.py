import json
import math
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro import digest
from repro.errors import SpecError
from repro.spec import Spec, canonical_spec, dump, load, run_id, spec_of, stages, structure, toml
from repro.spec.data import ImageFolder, StandIn
from repro.spec.document import SCHEMA
from repro.spec.evaluate import Fid
from repro.spec.fields import OUTSIDE_IDENTITY, added
from repro.spec.identity import identity_data
from repro.spec.train import ConstantEma, WarmupEma
from tests.spec.strategies import specs, toml_texts

SPECS = Path(__file__).parents[2] / "specs"
VALID = Path(__file__).parent.parent / "data" / "valid"


@given(specs())
@settings(max_examples=60, deadline=None)
def test_structure_undoes_dump(spec: Spec):
    """A spec goes to plain data and comes back the same."""
    assert structure(dump(spec)) == spec


@given(specs())
@settings(max_examples=50, deadline=None)
def test_canonical_bytes_give_the_spec_back(spec: Spec):
    """What the ledger stores is the whole spec but its notes."""
    again = spec_of(canonical_spec(spec), recorded_id=run_id(spec))

    assert again == attrs.evolve(spec, title="", notes="")


@given(specs(), st.data())
@settings(max_examples=50, deadline=None)
def test_the_way_of_writing_never_moves_an_id(spec: Spec, data: st.DataObject):
    """Key order, comments, 7 against 7.0, inline tables and headers name one run."""
    text = data.draw(toml_texts(dump(spec)))

    assert run_id(structure(toml.parse(text, "text"))) == run_id(spec)


@given(specs(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_field_moves_the_id(spec: Spec, data: st.DataObject):
    """One other value anywhere, the notes apart, names another run."""
    path = data.draw(st.sampled_from(list(leaves(spec))))

    assert run_id(changed(spec, path)) != run_id(spec)


@given(specs(), st.text(max_size=9), st.text(max_size=9))
@settings(max_examples=10, deadline=None)
def test_notes_never_move_an_id(spec: Spec, title: str, notes: str):
    """A title and notes are for people."""
    assert run_id(attrs.evolve(spec, title=title, notes=notes)) == run_id(spec)


@given(st.lists(specs(), max_size=10))
@settings(max_examples=15, deadline=None)
def test_different_specs_have_different_ids(some: list[Spec]):
    """Two specs share an id only if they are equal but for their notes."""
    bare = {attrs.evolve(spec, title="", notes="") for spec in some}

    assert len({run_id(spec) for spec in some}) == len(bare)


def test_a_thousand_seeds_have_a_thousand_ids():
    """Neighbouring values do not collide."""
    data = dump(load(VALID / "drifting.toml")[0])
    ids = {run_id(structure({**data, "train": {**data["train"], "seed": n}})) for n in range(1000)}

    assert len(ids) == 1000


def test_a_changed_kind_moves_the_id():
    """Two components with equal fields are two components."""
    assert identity_data(ConstantEma()) != identity_data(WarmupEma())


@pytest.mark.parametrize(("rule", "floor"), [("official", 1e-6), ("algorithm-2", 0.0)])
def test_a_default_that_follows_another_field_is_hashed_as_its_value(rule: str, floor: float):
    """Left out or written, the floor of a drifting rule names one run."""
    toy = SPECS / "toy" / "swiss-roll.toml"
    left_out, written = (
        load(toy, overrides=[f'objective.rule="{rule}"', *more])[0]
        for more in ([], [f"objective.affinity_floor={floor}"])
    )

    assert left_out.objective == written.objective
    assert run_id(left_out) == run_id(written)


def test_minus_zero_is_zero():
    """-0.0 and 0.0 are one value, so they name one run."""
    data = dump(load(VALID / "drifting.toml")[0])
    data["train"]["weight_decay"] = -0.0

    train = structure(data).train
    assert train
    assert str(train.weight_decay) == "0.0"


FOLDER = {"kind": "image-folder", "digest": f"sha256:{'0' * 64}"}
FILE = {"kind": "file", "digest": f"sha256:{'0' * 64}"}


def located(path: str) -> Spec:
    """A spec with a folder to learn from, files to measure, and a file of reference statistics."""
    data = dump(load(VALID / "denoise.toml")[0])
    tensors = {**FOLDER, "kind": "tensor-file", "path": f"{path}.safetensors"}
    real = {"name": "real", "sample": {"kind": "dataset", "data": tensors, "num_samples": 2049}}
    return structure(
        {
            **data,
            "data": {**FOLDER, "path": path},
            "protocol": {"reference": {**FILE, "path": f"{path}.reference"}},
            "evaluate": [real],
        }
    )


def test_a_path_is_in_no_id():
    """The same content in another folder is the same run of the same stages."""
    here, there = located("/home/a/photos"), located("photos")

    assert run_id(here) == run_id(there)
    assert [each.stage_id for each in stages(here)] == [each.stage_id for each in stages(there)]
    assert "photos" not in str([each.payload for each in stages(here)])


def test_content_that_a_path_leads_to_is_in_the_id():
    """Other content at the same path is another run."""
    data = dump(located("photos"))
    data["data"]["digest"] = f"sha256:{'1' * 64}"

    assert run_id(structure(data)) != run_id(located("photos"))


def test_a_record_says_that_it_holds_no_path():
    """A recorded spec is read without its paths; nothing can mistake what stands for them."""
    spec = spec_of(canonical_spec(located("photos")))

    assert isinstance(spec.data, ImageFolder)
    assert spec.data.path == "(not recorded)"
    assert run_id(spec) == run_id(located("photos"))


def test_a_file_must_say_its_paths(tmp_path: Path):
    """Only a record may leave them out."""
    path = tmp_path / "a.toml"
    path.write_text(
        f'schema = 1\n\n[reference.data]\nkind = "image-folder"\n'
        f'digest = "{FOLDER["digest"]}"\n[reference]\nkind = "dataset"',
        encoding="utf-8",
    )

    with pytest.raises(SpecError, match=r"a\.toml:3: reference\.data\.path: missing, .* a string"):
        load(path)


def test_a_late_field_leaves_old_ids_alone():
    """A field that came late is in the id only when it is used."""

    @attrs.frozen(kw_only=True)
    class Grown:
        old: int = 1
        late: float = added(0.0)

    given_default, given_other = identity_data(Grown()), identity_data(Grown(late=0.5))

    assert given_default == {"old": 1}
    assert given_other == {"old": 1, "late": 0.5}


def test_the_schema_number_is_hashed():
    """A change of meaning raises it, and so moves every id."""
    spec = load(VALID / "drifting.toml")[0]

    assert json.loads(canonical_spec(spec))["schema"] == SCHEMA


def test_a_record_under_another_id_is_refused():
    """A recorded spec must give the id it was recorded under."""
    bytes_ = canonical_spec(load(VALID / "drifting.toml")[0])

    with pytest.raises(SpecError, match="recorded as run 0000"):
        spec_of(bytes_, recorded_id="0" * 32)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda text: text.replace('"seed":', '"seed": '), "it was altered"),
        (lambda text: text.replace('"accumulate":1,', ""), "it was altered"),
        (lambda text: text.replace('"steps":', '"stepz":'), "unknown key"),
        (lambda text: text[:-1], "expected canonical JSON"),
        (lambda _: "[" * 100_000, "expected canonical JSON"),
        (lambda _: "7", "expected a table"),
    ],
)
def test_an_altered_record_is_refused(edit: Any, reason: str):
    """Bytes that this spec would not give are refused, even under their own digest."""
    text = edit(canonical_spec(load(VALID / "drifting.toml")[0]).decode())

    with pytest.raises(SpecError, match=reason):
        spec_of(text.encode(), recorded_id=digest.xxh3_128(text.encode()))


def test_dump_leaves_out_what_is_absent():
    """TOML has no null, so an absent table is absent from the data."""
    spec = structure({"schema": 1, "reference": {"kind": "dataset", "data": {"kind": "stand-in"}}})

    assert dump(spec)["reference"]["data"] == {"kind": "stand-in", **attrs.asdict(StandIn())}
    assert "train" not in dump(spec)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    """The place of every value in a spec that is no table, the notes apart.

    For an array of any length there is one place more, past its end.
    """
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif attrs.has(type(value)):
        for each in attrs.fields(type(value)):
            inner, inner_path = getattr(value, each.name), (*path, each.name)
            if not each.metadata.get(OUTSIDE_IDENTITY):
                yield from leaves(inner, inner_path)
            if inner and get_args(each.type)[-1:] == (...,):
                yield (*inner_path, len(inner))
    else:
        yield path


def changed(value: Any, path: tuple[str | int, ...]) -> Any:
    """The same spec but for another value at *path*; past the end, the last entry once more."""
    if not path:
        return other(value)
    step, *rest = path
    if isinstance(step, int):
        items = list(value)
        items[step : step + 1] = [
            changed(items[step], (*rest,)) if step < len(items) else items[-1]
        ]
        return tuple(items)
    with attrs.validators.disabled():
        return attrs.evolve(value, **{step: changed(getattr(value, step), (*rest,))})


def other(value: Any) -> Any:
    match value:
        case None:
            return Fid()
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2 if 0 < abs(value) < math.inf else 1e-300
        case _:
            return f"{value}x"
