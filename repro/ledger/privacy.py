"""Text that may leave the machine: no credentials, no home folder.

A secret is known by four signs: it is the login or a query value of a URL, it belongs to a name
that says so, it has the form of a key that a service hands out, or it is the value of an
environment variable whose name says so. A password in plain words, with no name beside it, has none
of them.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

REMOVED = "(removed)"

_WORD = (
    r"token(?!s|iz)|secret|passw|passphrase|credential|signature"
    r"|(?:api|access|private|account|signing|encryption)[_-]?key"
)
_SECRET = rf"[\w.-]{{0,64}}(?:{_WORD})[\w.-]{{0,64}}"
_SECRET_NAME = re.compile(_WORD, re.IGNORECASE)
_SECRET_FILE = re.compile(
    r"\.env.*|[._]?netrc.*|\.pgpass|\.npmrc|\.pypirc|\.htpasswd|\.git-credentials"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)|.*\.(?:pem|key|p12|pfx|kdbx?|keytab)|kubeconfig",
    re.IGNORECASE,
)
_URL_LOGIN = re.compile(r"(?<=://)(?:[^/?#\s]{1,256}|[^/:@\s]{1,64}:(?!\d{1,5}[/?#])\S{1,256})@")
_URL_SECRET = re.compile(
    rf"([?&;#](?:{_SECRET}|key|sig|auth|pwd|pass)=)[^&;#\s\"']+", re.IGNORECASE
)
_VALUE = re.compile(rf"((?:{_WORD})[\w.-]*\s*[=:]\s*).+", re.IGNORECASE | re.DOTALL)
_ASSIGNED = re.compile(
    rf"(?<![\w.-])({_SECRET}=)(?![\d.]+\b|\()[^\s&;,\"')\]]{{6,}}", re.IGNORECASE
)
_LITERAL = re.compile(
    r"(?:passw|passphrase)[\w-]{0,64}[\"']?\]?\s*[=:]\s*([\"'])[^\"'\s{}<>$]{8,}\1"
    rf"|(?:{_WORD})[\w-]{{0,64}}[\"']?\]?\s*[=:]\s*"
    r"(?:([\"'])(?=[^\"'\s]*\d)[^\"'\s{}<>$]{8,}\2"
    r"|(?=[\w+/=-]*\d)(?=[\w+/=-]*[a-z])[\w+/=-]{12,}(?![\w.(\[]))",
    re.IGNORECASE,
)
_HINTS = ("token", "secret", "pass", "credential", "signature", "key")
"""One of them is in every name that says so; looking for them is faster than the pattern."""
_OPTION = re.compile(rf"-{{1,2}}{_SECRET}", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}")
_KEY = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{20,}"
    r"|sk-[\w-]{20,}|xox[abposr]-[\w-]{10,}|A(?:KIA|SIA)[A-Z0-9]{16}|AIza[\w-]{35}|npm_\w{30,}"
    r"|pypi-[\w-]{40,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_STRONG_LOGIN = re.compile(
    r"://(?:[^/:@\s{}]+:[^/@\s{}<>$]{6,}|(?=[\w-]*\d)(?=[\w-]*[a-zA-Z])[\w-]{20,})@"
)
_CLIMB = re.compile(r"(?<![^\s:;,'\"=()])[^\s:;,'\"=()]*\.\.[^\s:;,'\"=()]*")
_OTHER_HOME = re.compile(r"(?:(?<=file://)|(?<![\w.~/-]))/(?:home|Users)/[^/\s:;,'\"=()]+")
_SHORT_NAME = re.compile(r".+_(?:key|pat|pwd|pass|auth)", re.IGNORECASE)
_LEAST_CHARS = 8  # of a variable's value: shorter ones are words that occur anywhere


def cleaned(text: str) -> str:
    """The text without secrets, with home folders as `~`.

    A path that climbs through the home folder is written without the detour.
    """
    text = _URL_SECRET.sub(rf"\1{REMOVED}", _URL_LOGIN.sub("", text))
    text = _BEARER.sub(rf"\1 {REMOVED}", _KEY.sub(REMOVED, text))
    text = _ASSIGNED.sub(rf"\1{REMOVED}", text)
    for value in _values():
        text = text.replace(value, REMOVED)
    return _without_homes(text)


def cleaned_command(command: Sequence[str]) -> tuple[str, ...]:
    """A command line without the program's folder and the values of what is named like a secret."""
    result = [Path(program).name for program in command[:1]]
    secret_follows = False
    for argument in command[1:]:
        if secret_follows:
            result.append(REMOVED)
            secret_follows = False
        else:
            result.append(cleaned(_VALUE.sub(rf"\1{REMOVED}", argument)))
            secret_follows = _OPTION.fullmatch(argument) is not None
    return tuple(result)


def secret_name(name: str) -> bool:
    """Whether the name of a file or a variable says that it holds secrets."""
    return _SECRET_FILE.fullmatch(name) is not None or _SECRET_NAME.search(name) is not None


def holds_secret(data: bytes) -> bool:
    """Whether the content of a file holds what has the form, or is the value, of a secret."""
    text = data.decode("utf-8", "replace")
    return bool(
        _KEY.search(text) or _STRONG_LOGIN.search(text) or any(each in text for each in _values())
    )


def code_holds_secret(data: bytes) -> bool:
    """Whether source code, or a change of it, does; a literal beside a name that says so counts."""
    lines = data.decode("utf-8", "replace").splitlines()
    return holds_secret(data) or any(
        _LITERAL.search(line)
        for line, lowered in zip(lines, map(str.lower, lines), strict=True)
        if any(hint in lowered for hint in _HINTS)
    )


def _values() -> Iterator[str]:
    """The secrets among the values of the environment; a short name is believed less."""
    for name, value in os.environ.items():
        named = _SECRET_NAME.search(name) or (
            _SHORT_NAME.fullmatch(name) and re.search(r"\d", value)
        )
        if named and len(value) >= _LEAST_CHARS:
            yield value


def _without_homes(text: str) -> str:
    home = Path.home()
    if home.name:
        text = _CLIMB.sub(lambda found: _straight(found[0], home), text)
        for folder in {str(home), str(home.resolve())}:
            text = re.sub(rf"{re.escape(folder)}(?![\w-]|\.\w)", "~", text)
    return _OTHER_HOME.sub("~", text)


def _straight(path: str, home: Path) -> str:
    """A path as it is, unless it names the home folder between steps up: then where it leads."""
    if not {"..", home.name} <= set(Path(path).parts):
        return path
    try:
        return os.path.normpath(Path(path).absolute())
    except FileNotFoundError:  # the working folder is gone
        return REMOVED
