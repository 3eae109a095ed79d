"""Text that may leave the machine: no credentials, no home folder."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

REMOVED = "(removed)"

_SECRET = r"[\w.-]*(?:token|secret|passw|credential|api[_-]?key|signature)[\w.-]*"
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
_URL_SECRET = re.compile(rf"([?&;]{_SECRET}=)[^&;\s]+", re.IGNORECASE)
_CLIMB = re.compile(r"[^\s:;,'\"=()]*\.\.[^\s:;,'\"=()]*")
_OPTION = re.compile(rf"(-{{0,2}}{_SECRET})(=.*)?", re.IGNORECASE | re.DOTALL)


def cleaned(text: str) -> str:
    """The text without logins and secrets in URLs, with the home folder as `~`.

    A path that climbs through the home folder is written without the detour.
    """
    text = _URL_SECRET.sub(rf"\1{REMOVED}", _URL_LOGIN.sub("", text))
    home = Path.home()
    if not home.name:
        return text
    text = _CLIMB.sub(lambda found: _straight(found[0], home), text)
    for folder in {str(home), str(home.resolve())}:
        text = re.sub(rf"{re.escape(folder)}(?![\w-]|\.\w)", "~", text)
    return text


def cleaned_command(command: Sequence[str]) -> tuple[str, ...]:
    """A command line without the program's folder and the values of options named like secrets."""
    result = [Path(program).name for program in command[:1]]
    secret_follows = False
    for argument in command[1:]:
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


def _straight(path: str, home: Path) -> str:
    """A path as it is, unless it names the home folder between steps up: then where it leads."""
    if not {"..", home.name} <= set(Path(path).parts):
        return path
    try:
        return os.path.normpath(Path(path).absolute())
    except FileNotFoundError:  # the working folder is gone
        return REMOVED


def secret_name(name: str) -> bool:
    """Whether a file's name says that it holds secrets."""
    return name.startswith(".env") or re.search(_SECRET, name, re.IGNORECASE) is not None
