"""Hold a bundle to the validator of its profile, without a network.

    python3 -m venv V
    V/bin/pip install roc-validator==0.13.0
    V/bin/pip download --no-deps --dest V rocrate==0.13.0
    V/bin/python tools/crate/validate.py V/rocrate-0.13.0-py3-none-any.whl BUNDLE...

The validator reads the vocabulary of RO-Crate 1.1 from the web. The wheel of `rocrate` 0.13 carries
the same document; it is put into the validator's cache here. What a crate must have is
checked; the exit status is 0 if every bundle has it.
"""

import importlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def main() -> int:
    """Validate each bundle; returns the number of those that do not conform."""
    wheel, *bundles = (Path(each) for each in sys.argv[1:])
    with zipfile.ZipFile(wheel) as archive:
        context = archive.read("rocrate/data/ro-crate.jsonld")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        _fill(cache, context)
        return sum(_validate(bundle, cache) for bundle in bundles)


def _validate(bundle: Path, cache: Path) -> bool:
    """Whether a bundle does not conform; the validator says why."""
    command = [
        *(str(Path(sys.executable).with_name("rocrate-validator")), "validate", str(bundle)),
        *("--profile-identifier", "process-run-crate-0.5"),
        *("--requirement-severity", "required"),
        *("--offline", "--cache-path", str(cache), "--verbose", "--no-paging"),
    ]
    return subprocess.run(command, check=False).returncode != 0


def _fill(cache: Path, context: bytes) -> None:
    """Answer the one request from the wheel, and let the validator's cache keep the answer."""
    requests: Any = importlib.import_module("requests")
    requests_cache: Any = importlib.import_module("requests_cache")
    urllib3: Any = importlib.import_module("urllib3")
    answer = urllib3.HTTPResponse(
        body=io.BytesIO(context),
        headers={"Content-Type": "application/ld+json"},
        status=200,
        preload_content=False,
        request_url=CONTEXT,
    )
    adapter = requests.adapters.HTTPAdapter()
    adapter.send = lambda request, **_: adapter.build_response(request, answer)
    with requests_cache.CachedSession(cache_name=str(cache), backend="sqlite") as session:
        session.mount(CONTEXT, adapter)
        session.get(CONTEXT)


if __name__ == "__main__":
    sys.exit(main())
