"""Text that may leave the machine: no credentials, no home folder."""

import re
from collections.abc import Sequence
from pathlib import Path

REMOVED = "(removed)"

_SECRET = r"[\w.-]*(?:token|secret|passw|credential|api[_-]?key|signature)[\w.-]*"
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
_URL_SECRET = re.compile(rf"([?&;]{_SECRET}=)[^&;\s]+", re.IGNORECASE)
_OPTION = re.compile(rf"(-{{0,2}}{_SECRET})(=.*)?", re.IGNORECASE | re.DOTALL)


def cleaned(text: str) -> str:
    """The text without logins and secrets in URLs, with the home folder as `~`."""
    text = _URL_SECRET.sub(rf"\1{REMOVED}", _URL_LOGIN.sub("", text))
    home = str(Path.home())
    return re.sub(rf"{re.escape(home)}(?=/|$)", "~", text) if len(home) > 1 else text


def cleaned_command(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command line without the values of options that are named like secrets."""
    result: list[str] = []
    secret_follows = False
    for argument in arguments:
        option = _OPTION.fullmatch(argument)
        if secret_follows:
            result.append(REMOVED)
            secret_follows = False
        elif option is not None and option[2] is not None:
            result.append(f"{option[1]}={REMOVED}")
        else:
            result.append(cleaned(argument))
            secret_follows = option is not None and argument.startswith("-")
    return tuple(result)


def secret_name(name: str) -> bool:
    """Whether a file's name says that it holds secrets."""
    return name.startswith(".env") or re.search(_SECRET, name, re.IGNORECASE) is not None
