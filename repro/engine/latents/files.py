"""The two files of a trained autoencoder: a folder of the user's, or the hub's own cache.

Nothing here loads torch. Files that are not there are brought by the hub's client, into the cache
and by the rules that the user has set for it (`HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`).
"""

import re
from pathlib import Path

from repro import digest
from repro.errors import ResourceError
from repro.spec.autoencoder import AutoencoderKl

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FILES = (CONFIG, WEIGHTS)


def locate(spec: AutoencoderKl) -> Path | None:
    """The folder on this machine that holds both files; None if one is missing."""
    folder = Path(spec.repository)
    if not folder.is_dir():
        return _cached(spec)
    return folder if all((folder / name).is_file() for name in FILES) else None


def fetch(spec: AutoencoderKl) -> Path:
    """The folder that holds both files, downloaded from the hub if they are not here.

    Raises:
        ResourceError: they cannot be had; says every way to get them.
    """
    from huggingface_hub import hf_hub_download

    if found := locate(spec):
        return found
    try:
        paths = [
            Path(hf_hub_download(spec.repository, name, revision=spec.revision)) for name in FILES
        ]
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ResourceError(f"{name_of(spec)}: {reason}", how_to_get(spec)) from error
    return paths[0].parent


def verified(spec: AutoencoderKl) -> Path:
    """The folder of the files, of which the weights are those that the spec pins.

    Raises:
        ResourceError: they are not here, or are others.
    """
    folder = locate(spec)
    if folder is None:
        raise ResourceError(f"{name_of(spec)}: not here", how_to_get(spec))
    found = digest.sha256_file(folder / WEIGHTS)
    if found != spec.weights:
        msg = f"{folder / WEIGHTS}: its content is {found}, the spec pins {spec.weights}"
        raise ResourceError(f"{msg}; remove the file and get it again, or pin the other")
    return folder


def on_hub(spec: AutoencoderKl) -> bool:
    """Whether the files are to be had from the hub: its names are not those of a folder here."""
    named = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", spec.repository, re.ASCII)
    return named is not None and not Path(spec.repository).is_dir()


def name_of(spec: AutoencoderKl) -> str:
    """What a person calls it."""
    return f"autoencoder {spec.repository}"


def how_to_get(spec: AutoencoderKl) -> str:
    """One line that says how a person gets the files."""
    if not on_hub(spec):
        return f"{spec.repository}: put {CONFIG} and {WEIGHTS} there, or correct the path"
    return (
        f"run `hf download {spec.repository} {' '.join(FILES)} --revision {spec.revision}`, or "
        "copy the hub's cache (HF_HOME) of another machine, or put both files into a folder and "
        "name it with `--set data.autoencoder.repository=FOLDER`"
    )


def _cached(spec: AutoencoderKl) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if not on_hub(spec):
        return None
    config, weights = (
        try_to_load_from_cache(spec.repository, name, revision=spec.revision) for name in FILES
    )
    return Path(config).parent if isinstance(config, str) and isinstance(weights, str) else None
