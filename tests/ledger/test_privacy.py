"""Secrets and home folders do not leave the machine."""

from pathlib import Path

import pytest

import repro
from repro.ledger.privacy import (
    cleaned,
    cleaned_command,
    code_holds_secret,
    holds_secret,
    secret_name,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@host/x", "https://host/x"),
        ("https://me:p@ss@host/x", "https://host/x"),
        ("https://me:p/ss@host/x", "https://host/x"),
        ("https://host:8080/x@2", "https://host:8080/x@2"),
        ("git+ssh://token@host/x and more", "git+ssh://host/x and more"),
        ("https://host/x?access_token=abc&y=1", "https://host/x?access_token=(removed)&y=1"),
        (
            "https://host/x?X-Amz-Signature=abc&sig=d",
            "https://host/x?X-Amz-Signature=(removed)&sig=(removed)",
        ),
        ("https://host/#access_token=abc", "https://host/#access_token=(removed)"),
        ("https://host/?page=2&tokens=3", "https://host/?page=2&tokens=3"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer (removed)"),
        (f"no such repository: ghp_{36 * 'x'}", "no such repository: (removed)"),
        (f"hf_{34 * 'x'}, sk-{40 * 'x'}", "(removed), (removed)"),
        ("AKIAABCDEFGHIJKLMNOP", "(removed)"),
        (
            "login failed: password=correcthorse, try again",
            "login failed: password=(removed), try again",
        ),
        ("token_dim=5 is odd", "token_dim=5 is odd"),
        ("file:///home/bob/x", "file://~/x"),
        ("it is sesame99!", "it is (removed)!"),
        ("by accuracy", "by accuracy"),
        ("/srv/alice/x", "~/x"),
        ("-I/srv/alice/include", "-I~/include"),
        ("/srv/aliceside/x", "/srv/aliceside/x"),
        ("/home/bob/x: gone", "~/x: gone"),
        ("'/Users/bob'", "'~'"),
        ("/data/home/x", "/data/home/x"),
        ("it is hunter2hunter2!", "it is (removed)!"),
        ("short", "short"),
        ("me@host", "me@host"),
    ],
)
def test_text_is_cleaned(monkeypatch, text, expected):
    """Logins, keys, values of secret variables and home folders do not leave the machine."""
    monkeypatch.setenv("HOME", "/srv/alice")
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("SHORT_TOKEN", "short")
    monkeypatch.setenv("MYSQL_PWD", "sesame99")
    monkeypatch.setenv("SORT_KEY", "accuracy")

    assert cleaned(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("../home/alice/toy.toml", "~/toy.toml"),
        ("--out=../home/alice/runs", "--out=~/runs"),
        ("../home/alice/..", "{top}/home"),
        ("../home/alice/../bob/x", "{top}/home/bob/x"),
        ("{top}/jobs/../home/alice/x", "~/x"),
        ("cannot read '../home/alice/x': gone", "cannot read '~/x': gone"),
        ("{top}/home/alice: no file", "~: no file"),
        ("../specs/toy.toml", "../specs/toy.toml"),
        ("specs/alice.toml", "specs/alice.toml"),
    ],
)
def test_a_path_through_the_home_folder_is_cleaned(tmp_path, monkeypatch, text, expected):
    """A relative path that climbs into or through the home folder does not tell its name."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", f"{tmp_path}/home/alice")

    assert cleaned(text.format(top=tmp_path)) == expected.format(top=tmp_path)


def test_a_command_is_cleaned():
    """The values of options that are named like secrets are removed."""
    command = [
        *("run", "a.toml", "--api-key", "abc", "--token=abc", "HF_TOKEN=abc", "--set", "a=1"),
        *("--set=store.password=a b", "--header", "X-Api-Key: abc", "--tokenizer=bpe"),
        *("--set", "num_tokens=5"),
    ]

    assert cleaned_command(command) == (
        *("run", "a.toml", "--api-key", "(removed)", "--token=(removed)"),
        *("HF_TOKEN=(removed)", "--set", "a=1"),
        *("--set=store.password=(removed)", "--header", "X-Api-Key: (removed)"),
        *("--tokenizer=bpe", "--set", "num_tokens=5"),
    )


@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".env.local.py", "secrets.toml", "my_token.yaml", ".netrc", "_netrc", ".pypirc"),
        *("id_ed25519", "server.pem", "AWS_SECRET_ACCESS_KEY", "PRIVATE_KEY_FILE"),
    ],
)
def test_names_of_secrets(name):
    """Files and variables that say they hold secrets are known by name."""
    assert secret_name(name)


@pytest.mark.parametrize(
    "name", ["train.py", "tokenizer.py", "keys.py", "compass.toml", "num_tokens"]
)
def test_names_of_no_secrets(name):
    """Names that only look a little like those of secrets are left alone."""
    assert not secret_name(name)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'KEY = "ghp_' + 36 * b"x" + b'"', True),
        (b"-----BEGIN OPENSSH " + b"PRIVATE KEY-----", True),
        (b"postgresql://me:correcthorse@host/db", True),
        (b"https://me:sesame@host/x", True),
        (b"https://" + 20 * b"a1" + b"@host/x.git", True),
        (b"it is hunter2hunter2!", True),
        (b'token = read("TOKEN")', False),
        (b"https://me@host/x", False),
        (b'url = f"https://{user}:{password}@host/x"', False),
    ],
)
def test_content_with_secrets(monkeypatch, data, expected):
    """Code that holds a key, a login, or the value of a secret variable is told from other code."""
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2hunter2")

    assert holds_secret(data) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'+DB_PASSWORD = "correcthorse"', True),
        (b'{"api_key": "abcdefgh12345678"}', True),
        (b"export AWS_SECRET_ACCESS_KEY=abcd1234abcd1234", True),
        (b"it is hunter2hunter2!", True),
        (b'token = "<mask>"; token_type = "subword"', False),
        (b"token = tokens[3]; secret = load_secret(path_v2)", False),
        (b'password = os.environ["DATABASE_PASSWORD"]', False),
    ],
)
def test_code_with_secrets(monkeypatch, data, expected):
    """A literal beside a name that says so is a secret; what the code computes is none."""
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2hunter2")

    assert code_holds_secret(data) is expected


def test_this_package_holds_no_secret():
    """Its own sources are stored with executions, so they must never look like secrets."""
    files = [path for path in Path(repro.__file__).parent.rglob("*.py") if path.is_file()]

    assert [path for path in files if code_holds_secret(path.read_bytes())] == []


@pytest.mark.parametrize("word", ["a", "token", "a/", "://a:", "--token"])
def test_a_long_text_takes_no_time_that_grows_with_its_square(word):
    """A parameter of a tracker may be a megabyte without a space; a square would take hours."""
    text = word * (200_000 // len(word))

    assert cleaned(text) == text
    assert not code_holds_secret(text.encode())
