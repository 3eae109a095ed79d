"""Which code, on which machine, in which environment; what could not be captured says why.

Providers are independent: one that fails is recorded as unavailable and the others stand. Nothing
here imports torch; what it knows is recorded if it has been imported already. What cannot change
while a process lives (packages, interpreter, machine, this package's sources) is found out once a
process; git is asked each time, because only git can tell whether the tree has moved.
"""

import importlib.metadata
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import repro
from repro import digest
from repro.ledger import machine, store
from repro.ledger.privacy import cleaned, cleaned_command, code_holds_secret, secret_name
from repro.ledger.records import Artifact, Facts, Provenance

ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "KMP_AFFINITY",
    "LANG",
    "LC_ALL",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTHONOPTIMIZE",
    "PYTORCH_CUDA_ALLOC_CONF",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_PROCID",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_CUDNN_V8_API_DISABLED",
    "TZ",
)
"""The variables that are recorded: those that can move a number, and where a cluster ran it."""

BY_NAME = "its name says that it holds secrets"
BY_CONTENT = "it holds what looks like a secret"
MAX_PATCH_BYTES = 32 << 20
MAX_UNTRACKED_BYTES = 1 << 20
MAX_UNTRACKED_TOTAL_BYTES = 16 << 20
SOURCE_SUFFIXES = frozenset(
    {
        *(".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".ipynb", ".py", ".pyi", ".sh", ".sql"),
        *(".cfg", ".ini", ".toml", ".yaml", ".yml"),
    }
)

LOCK_FILES = (
    *("uv.lock", "poetry.lock", "pdm.lock", "pixi.lock", "Pipfile.lock", "pylock*.toml"),
    *("conda-lock.yml", "environment.yml", "requirements*.txt"),
)
"""Patterns of the files that pin the packages of a project."""

_TIMEOUT_S = 30.0
_Provider = Callable[[], Provenance]


def capture(root: Path, *, cwd: Path) -> list[Provenance | Artifact]:
    """Records of everything that is known; code that no commit holds is stored in `root`."""
    providers: Mapping[str, _Provider] = {
        "command": lambda: _command(cwd),
        "locks": lambda: _locks(cwd),
        "packages": _packages,
        "python": _python,
        "system": _system,
        "processor": _processor,
        "gpu": _gpu,
        "environment": _environment,
    }
    git = _git(root, cwd)
    return [
        *git,
        *_source(root, keep=not git[0].value.get("holds_package") or git[0].status != "ok"),
        *(_attempted(name, provider) for name, provider in providers.items()),
    ]


def torch() -> Provenance:
    """What torch knows of itself and the switches as they are now, if it has been imported."""
    module = sys.modules.get("torch")
    if module is None:
        return _unavailable("torch", "torch is not imported")
    cuda, backends = module.cuda.is_available(), module.backends
    return _ok(
        "torch",
        {
            "version": str(module.__version__),
            "git_version": module.version.git_version,
            "cuda": module.version.cuda,
            "cudnn": backends.cudnn.version() if cuda else None,
            "devices": [module.cuda.get_device_name(i) for i in range(module.cuda.device_count())],
            "cpu_capability": backends.cpu.get_cpu_capability(),
            "num_threads": module.get_num_threads(),
            "num_interop_threads": module.get_num_interop_threads(),
            "deterministic_algorithms": module.are_deterministic_algorithms_enabled(),
            "cudnn_deterministic": backends.cudnn.deterministic,
            "cudnn_benchmark": backends.cudnn.benchmark,
            "cudnn_tf32": backends.cudnn.allow_tf32,
            "matmul_tf32": backends.cuda.matmul.allow_tf32,
            "matmul_fp16_reduction": backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
            "matmul_bf16_reduction": backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
            "float32_matmul_precision": module.get_float32_matmul_precision(),
            "default_dtype": str(module.get_default_dtype()),
        },
    )


def _attempted(name: str, provider: _Provider) -> Provenance:
    try:
        return provider()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return _unavailable(name, cleaned(f"{type(error).__name__}: {error}"))


def _ok(provider: str, value: Facts, *missing: str) -> Provenance:
    """Partial if anything is missing."""
    status: Any = "partial" if missing else "ok"
    return Provenance(provider=provider, status=status, value=value, reason="; ".join(missing))


def _unavailable(provider: str, reason: str) -> Provenance:
    return Provenance(provider=provider, status="unavailable", reason=reason)


def _command(cwd: Path) -> Provenance:
    command = cleaned_command(sys.argv)
    return _ok("command", {"arguments": list(command), "cwd": cleaned(str(cwd.absolute()))})


def _source(root: Path, *, keep: bool) -> list[Provenance | Artifact]:
    """This package's own files: their digest, and they themselves where no commit tells them."""
    names, archive = _sources()
    kept, missing = [], tuple[str, ...]()
    if keep:
        told, missing = _told_sources()
        kept = [_stored(root, told, role="source", name="repro.tar", type_="application/x-tar")]
    value = {
        "version": repro.__version__,
        "sha256": digest.sha256(archive),
        "num_files": len(names),
        "artifacts": {each.role: each.sha256 for each in kept},
    }
    return [_ok("source", value, *missing), *kept]


def _locks(cwd: Path) -> Provenance:
    """The lock files of the working folder, and of those above it that its repository holds."""
    folders = [cwd, *cwd.parents]
    tops = [number for number, folder in enumerate(folders) if (folder / ".git").exists()]
    found: dict[str, str] = {}
    for folder in folders[: tops[0] + 1 if tops else 1]:
        for path in sorted(each for pattern in LOCK_FILES for each in folder.glob(pattern)):
            if path.is_file():
                found.setdefault(path.name, digest.sha256_file(path))
    if not found:
        return _unavailable("locks", "there is no lock file in the working folder or above it")
    return _ok("locks", found)


@cache
def _sources() -> tuple[tuple[str, ...], bytes]:
    folder = Path(repro.__file__).parent
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))]
    return tuple(names), _archive(folder, names)


@cache
def _told_sources() -> tuple[bytes, tuple[str, ...]]:
    """The archive without the files that hold secrets, and why they are not in it."""
    names, archive = _sources()
    folder = Path(repro.__file__).parent
    secret = {name for name in names if code_holds_secret((folder / name).read_bytes())}
    if not secret:
        return archive, ()
    reasons = tuple(f"{name}: {BY_CONTENT}" for name in names if name in secret)
    return _archive(folder, [name for name in names if name not in secret]), reasons


@cache
def _packages() -> Provenance:
    """The installed distributions; one that came from a URL, or from a folder, says so."""
    versions: dict[str, str] = {}
    unnamed = 0
    for each in importlib.metadata.distributions():
        metadata = each.metadata
        name = metadata["Name"]
        if name:
            origin = each.read_text("direct_url.json")
            versions.setdefault(
                name.lower(), metadata["Version"] + (_origin(origin) if origin else "")
            )
        else:
            unnamed += 1
    missing = [f"{unnamed} distributions without a name"] if unnamed else []
    return _ok("packages", versions, *missing)


def _origin(direct_url: str) -> str:
    """` @ <where from>`, of a package that no index gave (PEP 610)."""
    value = json.loads(direct_url)
    commit = value.get("vcs_info", {}).get("commit_id")
    return f" @ {cleaned(str(value.get('url')))}" + (f"@{commit}" if commit else "")


@cache
def _python() -> Provenance:
    return _ok(
        "python",
        {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "compiler": platform.python_compiler(),
            "executable": cleaned(sys.executable),
            "optimize": sys.flags.optimize,
        },
    )


@cache
def _system() -> Provenance:
    libc = " ".join(platform.libc_ver())
    return _ok(
        "system",
        {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "libc": libc,
            "distribution": _distribution(),
        },
    )


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # not a Linux system
        return None


@cache
def _processor() -> Provenance:
    model = _cpu_model()
    value = {
        "model": model,
        "num_cores": os.cpu_count(),
        "num_cores_allowed": machine.num_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    return _ok("processor", value, *([] if model else ["the system does not tell the model"]))


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


@cache
def _gpu() -> Provenance:
    columns = ("name", "driver_version", "memory_total_mib")
    query = "--query-gpu=name,driver_version,memory.total"
    try:
        output = _run("nvidia-smi", query, "--format=csv,noheader,nounits")
    except FileNotFoundError:
        return _unavailable("gpu", "there is no nvidia-smi on this machine")
    rows = [[cell.strip() for cell in line.split(",")] for line in output.decode().splitlines()]
    return _ok("gpu", {"gpus": [dict(zip(columns, row, strict=False)) for row in rows]})


def _environment() -> Provenance:
    return _ok(
        "environment",
        {name: cleaned(os.environ[name]) for name in ENVIRONMENT if name in os.environ},
    )


def _git(root: Path, cwd: Path) -> tuple[Provenance, *tuple[Artifact, ...]]:
    """Commit, what differs from it as a patch, and the sources that git does not know."""
    try:
        top = Path(os.fsdecode(_run_git(cwd, "rev-parse", "--show-toplevel")).rstrip("\n"))
        return _git_facts(root, top)
    except FileNotFoundError:
        return (_unavailable("git", "git, or the working folder, is not there"),)
    except subprocess.CalledProcessError as error:
        reason = os.fsdecode(error.stderr).strip() or f"git ended with {error.returncode}"
        return (_unavailable("git", cleaned(reason)),)
    except (OSError, subprocess.SubprocessError) as error:
        return (_unavailable("git", cleaned(str(error))),)


def _git_facts(root: Path, top: Path) -> tuple[Provenance, *tuple[Artifact, ...]]:
    commit = _git_text(top, "rev-parse", "--verify", "HEAD")
    missing = [] if commit else ["the repository has no commit yet"]
    artifacts: list[Artifact] = []
    dirty, patch, secret = _patch(top) if commit else (False, b"", [])
    missing += secret
    if len(patch) > MAX_PATCH_BYTES:
        missing.append(f"the patch has {len(patch)} bytes, {MAX_PATCH_BYTES} are stored at most")
    elif patch:
        artifacts.append(
            _stored(root, patch, role="patch", name="dirty.patch", type_="text/x-diff")
        )
    names, left_out = _untracked(top)
    missing += left_out
    if names:
        archive = _archive(top, names)
        artifacts.append(
            _stored(
                root, archive, role="untracked", name="untracked.tar", type_="application/x-tar"
            )
        )
    value = {
        "commit": commit,
        "branch": cleaned(_git_text(top, "symbolic-ref", "--short", "HEAD") or "") or None,
        "remote": cleaned(_git_text(top, "config", "--get", "remote.origin.url") or "") or None,
        "dirty": dirty,
        "holds_package": _git_text(top, "ls-files", "--error-unmatch", repro.__file__) is not None,
        "untracked": names,
        "artifacts": {each.role: each.sha256 for each in artifacts},
    }
    return (_ok("git", value, *missing), *artifacts)


def _patch(top: Path) -> tuple[bool, bytes, list[str]]:
    """Whether anything differs from the commit; it as a patch; what the patch leaves out, and why.

    Changes of a file that holds secrets, by its name or by what it adds, are left out.
    """
    patch = _diff(top, [])
    if not patch:
        return False, b"", []
    listed = _run_git(top, "diff", "HEAD", "--name-only", "--no-renames", "-z")
    names = [os.fsdecode(each) for each in listed.split(b"\0")[:-1]]
    reasons = {name: BY_NAME for name in names if _secret_path(name)}
    if code_holds_secret(patch):
        reasons |= {
            name: BY_CONTENT
            for name in names
            if code_holds_secret(_diff(top, [f":(literal){name}"]))
        }
    if reasons:
        patch = _diff(top, [".", *(f":(exclude,literal){name}" for name in reasons)])
    return True, patch, [f"changes of {name}: {reason}" for name, reason in reasons.items()]


def _diff(top: Path, paths: list[str]) -> bytes:
    options = ("--binary", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
    return _run_git(top, "diff", "HEAD", *options, "--", *paths)


def _secret_path(name: str) -> bool:
    return any(secret_name(part) for part in Path(name).parts)


def _untracked(top: Path) -> tuple[list[str], list[str]]:
    """The names of untracked sources to keep, and why others are not kept."""
    listed = _run_git(top, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")[:-1]
    names, reasons, total = [], [], 0
    for name in sorted(os.fsdecode(each) for each in listed):
        path = top / name
        if path.suffix not in SOURCE_SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        size_bytes = path.stat().st_size
        if _secret_path(name):
            reasons.append(f"{name}: {BY_NAME}")
        elif size_bytes > MAX_UNTRACKED_BYTES or total + size_bytes > MAX_UNTRACKED_TOTAL_BYTES:
            reasons.append(f"{name}: {size_bytes} bytes are too many to keep")
        elif code_holds_secret(path.read_bytes()):
            reasons.append(f"{name}: {BY_CONTENT}")
        else:
            names.append(name)
            total += size_bytes
    return names, reasons


def _archive(top: Path, names: Sequence[str]) -> bytes:
    """A tar of these files that depends on nothing but their names and bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            data = (top / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _stored(root: Path, data: bytes, *, role: str, name: str, type_: str) -> Artifact:
    stored = store.put_bytes(root, data)
    return Artifact(
        role=role,
        name=name,
        sha256=stored.sha256,
        xxh3_128=stored.xxh3_128,
        size_bytes=stored.size_bytes,
        media_type=type_,
    )


def _git_text(top: Path, *arguments: str) -> str | None:
    try:
        return os.fsdecode(_run_git(top, *arguments)).strip()
    except subprocess.CalledProcessError:
        return None


def _run_git(folder: Path, *arguments: str) -> bytes:
    return _run("git", "-C", str(folder), *arguments)


def _run(*command: str) -> bytes:
    """Standard output of a program that must not ask, lock or translate anything.

    Raises:
        subprocess.SubprocessError: it failed or took too long.
        OSError: it is not there.
    """
    environment = {
        **os.environ,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=environment,
        timeout=_TIMEOUT_S,
    )
    return done.stdout
