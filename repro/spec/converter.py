"""Plain data to a spec and back, without coercion: `18.9`, `true` and `"1"` are not whole numbers.

Every mistake in the data is found, not only the first.
"""

import math
from collections.abc import Callable, Iterator
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from attrs import NOTHING, Attribute, fields, has
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from repro.spec import kinds
from repro.spec.document import OUTSIDE_SPEC, Spec
from repro.spec.fields import ADDED, OUTSIDE_IDENTITY
from repro.spec.problems import KeyPath, Mistake, Problem, choice, shown

Hook = Callable[[Any, Any], Any]
INT64 = range(-(2**63), 2**63)
NOT_RECORDED = "(not recorded)"
"""The path in a spec that was read from a record: it says what was run, not where it lay."""


def make_reader(*, recorded: bool = False, thorough: bool = True) -> Converter:
    """A converter from plain data: of a file, or *recorded* ones, from canonical bytes.

    A *thorough* one goes on after a mistake and raises all of them together; the other is faster
    and stops at the first.
    """
    reader = Converter(forbid_extra_keys=True, detailed_validation=thorough)
    reader.register_structure_hook(str, _exactly(str))
    reader.register_structure_hook(bool, _exactly(bool))
    reader.register_structure_hook(int, _whole_number)
    reader.register_structure_hook(float, _recorded_number if recorded else _number)
    reader.register_structure_hook_factory(_is_tuple, lambda type_: _array(reader, type_))
    reader.register_structure_hook_factory(_is_literal, _one_of)
    reader.register_structure_hook_factory(
        has, lambda type_: _table(reader, type_, recorded=recorded)
    )
    reader.register_structure_hook_factory(_is_union, lambda type_: _optional(reader, type_))
    for slot, members in kinds.SLOTS.items():
        reader.register_structure_hook_func(
            _same(members), _by_kind(slot, reader, recorded=recorded)
        )
    return reader


def make_writer(*, identity: bool) -> Converter:
    """A converter to plain data: all of it, or what an identity is made of."""
    writer = Converter(unstruct_collection_overrides={tuple: list})
    writer.register_unstructure_hook_factory(has, lambda type_: _dumped(writer, type_, identity))
    writer.register_unstructure_hook_factory(_is_union, lambda _: writer.unstructure)
    return writer


def problems(error: BaseException, path: KeyPath = ()) -> Iterator[Problem]:
    """Every mistake inside what a converter raised."""
    match error:
        case ForbiddenExtraKeysError():
            for key in sorted(error.extra_fields):
                yield _unknown_key(key, error.cl, path)
        case BaseValidationError():
            for inner in error.exceptions:
                yield from problems(inner, path + _step(inner))
        case KeyError():
            yield Problem(path, f"missing, expected {_described(_note(error).type)}")
        case Mistake():
            yield Problem(path + error.below, str(error))
        case _:
            yield Problem(path, str(error))


def _step(error: BaseException) -> KeyPath:
    match _note(error):
        case AttributeValidationNote(name=name):
            return (name,)
        case IterableValidationNote(index=index):
            return (index,)
        case _:
            return ()


def _note(error: BaseException) -> Any:
    """The innermost cattrs note: where in its parent the error is."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote | IterableValidationNote):
            return note
    return None


def _unknown_key(key: str, owner: Any, path: KeyPath) -> Problem:
    valid = [each.name for each in fields(owner)]
    if owner is Spec:
        valid.extend(OUTSIDE_SPEC)
    return Problem((*path, key), f"unknown key, {choice(key, valid)}", unknown=True)


def _described(type_: Any) -> str:
    plain = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    if _is_tuple(type_):
        return "an array"
    if _is_literal(type_):
        return f"one of: {', '.join(get_args(type_))}"
    return plain.get(type_, "a table")


def _exactly(expected: type) -> Hook:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not expected:
            msg = f"expected {_described(expected)}, got {shown(value)}"
            raise Mistake(msg)
        return value

    return structure


def _whole_number(value: Any, _: Any) -> int:
    if type(value) is not int:
        msg = f"expected a whole number, got {shown(value)}"
        raise Mistake(msg)
    if value not in INT64:
        msg = "expected a whole number of at most 64 bits, got a longer one"
        raise Mistake(msg)
    return value


def _number(value: Any, _: Any) -> float:
    """A float, or a whole number in its place. NaN equals nothing; -0.0 is 0.0.

    Raises:
        Mistake: for anything else.
    """
    if type(value) is float and not math.isnan(value):
        return value + 0.0
    if type(value) is int and value in INT64:
        return float(value)
    msg = f"expected a number, got {shown(value)}"
    raise Mistake(msg)


def _recorded_number(value: Any, type_: Any) -> float:
    """A float as canonical bytes hold it: JSON has no infinities, they are strings there."""
    return float(value) if value in ("inf", "-inf") else _number(value, type_)


def _one_of(type_: Any) -> Hook:
    valid = get_args(type_)

    def structure(value: Any, _: Any) -> Any:
        if isinstance(value, str) and value in valid:
            return value
        msg = f"got {shown(value)}, {choice(value, valid)}"
        raise Mistake(msg)

    return structure


def _array(reader: Converter, type_: Any) -> Hook:
    element, *rest = get_args(type_)
    length = None if rest == [...] else 1 + len(rest)
    structure_element = reader.get_structure_hook(element)

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            msg = f"expected an array, got {shown(value)}"
            raise Mistake(msg)
        if length is not None and len(value) != length:
            msg = f"expected {length} entries, got {len(value)}"
            raise Mistake(msg)
        if reader.detailed_validation:
            return tuple(_elements(value, element, structure_element))
        return tuple(structure_element(each, element) for each in value)

    return structure


def _elements(values: list[Any], element: Any, structure: Hook) -> list[Any]:
    done, errors = [], []
    for index, value in enumerate(values):
        try:
            done.append(structure(value, element))
        except (Mistake, ValueError, BaseValidationError) as error:
            error.add_note(IterableValidationNote("", index, element))
            errors.append(error)
    if errors:
        msg = "array"
        raise IterableValidationError(msg, errors, tuple)
    return done


def _table(reader: Converter, type_: Any, *, recorded: bool) -> Hook:
    structure_fields = _fields_of(reader, type_, recorded=recorded)

    def structure(value: Any, cls: Any) -> Any:
        if not isinstance(value, dict):
            msg = f"expected a table, got {shown(value)}"
            raise Mistake(msg)
        return structure_fields(value, cls)

    return structure


def _fields_of(reader: Converter, type_: Any, *, recorded: bool) -> Hook:
    hooks: Any = {
        each.name: override(struct_hook=_checked(reader.get_structure_hook(each.type), each))
        for each in fields(type_)
        if each.validator and reader.detailed_validation
    }
    structure: Hook = make_dict_structure_fn(type_, reader, _cattrs_forbid_extra_keys=True, **hooks)
    absent = dict.fromkeys(_locations(type_), NOT_RECORDED) if recorded else {}
    if not absent:
        return structure
    return lambda value, cls: structure({**absent, **value}, cls)


def _locations(type_: Any) -> Iterator[str]:
    """The fields that a file must have and canonical bytes do not."""
    for each in fields(type_):
        if each.metadata.get(OUTSIDE_IDENTITY) and each.default is NOTHING:
            yield each.name


def _checked(structure: Hook, attribute: "Attribute[Any]") -> Hook:
    """Validate with the field, not with the class: a class stops at its first bad field."""

    def check(value: Any, type_: Any) -> Any:
        structured = structure(value, type_)
        if attribute.validator:
            attribute.validator(None, attribute, structured)
        return structured

    return check


def _optional(reader: Converter, type_: Any) -> Hook:
    present = reduce(or_, (each for each in get_args(type_) if each is not type(None)))
    structure_present = reader.get_structure_hook(present)

    def structure(value: Any, _: Any) -> Any:
        return None if value is None else structure_present(value, present)

    return structure


def _by_kind(slot: str, reader: Converter, *, recorded: bool) -> Hook:
    members: dict[str, tuple[type, Hook]] = {}

    def structure(value: Any, _: Any) -> Any:
        kind = _kind_of(slot, value)
        if kind not in members:
            type_ = _class_of(slot, kind)
            members[kind] = type_, _fields_of(reader, type_, recorded=recorded)
        type_, structure_fields = members[kind]
        return structure_fields({key: value[key] for key in value if key != "kind"}, type_)

    return structure


def _kind_of(slot: str, value: Any) -> str:
    if not isinstance(value, dict):
        msg = f"expected a table with a kind, one of: {', '.join(kinds.names(slot))}"
        raise Mistake(f"{msg}; got {shown(value)}")
    if "kind" not in value:
        msg = f"needs a kind, one of: {', '.join(kinds.names(slot))}"
        raise Mistake(msg)
    if not isinstance(kind := value["kind"], str):
        msg = f"expected a string, got {shown(kind)}"
        raise Mistake(msg, below=("kind",))
    return kind


def _class_of(slot: str, kind: str) -> type:
    try:
        return kinds.find(slot, kind)
    except Mistake as error:
        raise Mistake(str(error), below=("kind",)) from error


def _dumped(writer: Converter, type_: Any, identity: bool) -> Callable[[Any], dict[str, Any]]:  # noqa: FBT001
    rules = {each.name: _rule(each, identity=identity) for each in fields(type_)}
    dump_fields = make_dict_unstructure_fn(type_, writer, **rules)
    kind = getattr(type_, "kind", None)
    if kind is None:
        return dump_fields
    return lambda value: {"kind": kind, **dump_fields(value)}


def _rule(attribute: "Attribute[Any]", *, identity: bool) -> Any:
    if identity:
        return override(
            omit=attribute.metadata.get(OUTSIDE_IDENTITY, False),
            omit_if_default=attribute.metadata.get(ADDED, False),
        )
    return override(omit_if_default=attribute.default is None)


def _is_tuple(type_: Any) -> bool:
    return get_origin(type_) is tuple


def _is_literal(type_: Any) -> bool:
    return get_origin(type_) is Literal


def _is_union(type_: Any) -> bool:
    return get_origin(type_) in (UnionType, Union)


def _same(members: Any) -> Callable[[Any], bool]:
    return lambda type_: type_ == members
