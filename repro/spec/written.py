"""A spec as the text of one TOML file, without `extends` and `[sweep]`."""

import json
from collections.abc import Mapping
from typing import Any

from repro.spec.document import Spec
from repro.spec.structure import dump


def as_toml(spec: Spec) -> str:
    """A text that `load` reads as this very spec, notes and paths included."""
    said = {key: value for key, value in dump(spec).items() if value is not None}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in said.items())


def _toml(value: Any) -> str:
    match value:
        case Mapping():
            pairs = (
                f"{_text(key)} = {_toml(each)}" for key, each in value.items() if each is not None
            )
            return f"{{ {', '.join(pairs)} }}"
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case str():
            return _text(value)
        case bool():
            return str(value).lower()
        case _:
            return repr(value)


def _text(value: str) -> str:
    """A JSON string is a basic string of TOML, but for the one control character above 31."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
