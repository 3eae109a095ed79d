"""Which code, on which machine, in which environment; what could not be captured says why.

Providers are independent: one that fails is recorded as unavailable and the others stand. Nothing
here imports torch; what it knows is recorded if it has been imported already.
"""

import importlib.metadata
import io
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import repro
from repro import digest
from repro.ledger import store
from repro.ledger.privacy import cleaned, cleaned_command, secret_name
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

MAX_PATCH_BYTES = 32 << 20
MAX_UNTRACKED_BYTES = 1 << 20
MAX_UNTRACKED_TOTAL_BYTES = 16 << 20
SOURCE_SUFFIXES = frozenset(
    {
        *(".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".ipynb", ".py", ".pyi", ".sh", ".sql"),
        *(".cfg", ".ini", ".toml", ".yaml", ".yml"),
    }
)

_TIMEOUT_S = 30.0
_Provider = Callable[[], Provenance]


def capture(root: Path, *, cwd: Path) -> list[Provenance | Artifact]:
    """Records of everything that is known; code that no commit holds is stored in `root`."""
    providers: Mapping[str, _Provider] = {
        "command": lambda: _command(cwd),
        "packages": _packages,
        "python": _python,
        "system": _system,
        "processor": _processor,
        "gpu": _gpu,
        "environment": _environment,
        "torch": torch,
    }
    git = _git(root, cwd)
    return [
        *git,
        *_source(root, keep=not git[0].value.get("holds_package") or git[0].status != "ok"),
        *(_attempted(name, provider) for name, provider in providers.items()),
    ]


def torch() -> Provenance:
    """What torch knows of itself, if it has been imported."""
    module = sys.modules.get("torch")
    if module is None:
        return _unavailable("torch", "torch is not imported")
    cuda = module.cuda.is_available()
    return _ok(
        "torch",
        {
            "version": str(module.__version__),
            "cuda": module.version.cuda,
            "cudnn": module.backends.cudnn.version() if cuda else None,
            "devices": [module.cuda.get_device_name(i) for i in range(module.cuda.device_count())],
            "num_threads": module.get_num_threads(),
            "deterministic_algorithms": module.are_deterministic_algorithms_enabled(),
            "cudnn_deterministic": module.backends.cudnn.deterministic,
            "cudnn_benchmark": module.backends.cudnn.benchmark,
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
    folder = Path(repro.__file__).parent
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))]
    archive = _archive(folder, names)
    kept = (
        [_stored(root, archive, role="source", name="repro.tar", type_="application/x-tar")]
        if keep
        else []
    )
    value = {
        "version": repro.__version__,
        "sha256": digest.sha256(archive),
        "num_files": len(names),
        "artifacts": {each.role: each.sha256 for each in kept},
    }
    return [_ok("source", value), *kept]


def _packages() -> Provenance:
    versions: dict[str, str] = {}
    unnamed = 0
    for each in importlib.metadata.distributions():
        name = each.metadata["Name"]
        if name:
            versions.setdefault(name.lower(), each.version)
        else:
            unnamed += 1
    missing = [f"{unnamed} distributions without a name"] if unnamed else []
    return _ok("packages", versions, *missing)


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


def _system() -> Provenance:
    libc = " ".join(platform.libc_ver())
    return _ok(
        "system",
        {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "libc": libc,
        },
    )


def _processor() -> Provenance:
    model = _cpu_model()
    value = {
        "model": model,
        "num_cores": os.cpu_count(),
        "num_cores_allowed": _num_cores_allowed(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }
    return _ok("processor", value, *([] if model else ["the system does not tell the model"]))


def _num_cores_allowed() -> int | None:
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


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
    patch = (
        _run_git(top, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv")
        if commit
        else b""
    )
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
        "branch": _git_text(top, "symbolic-ref", "--short", "HEAD"),
        "remote": cleaned(_git_text(top, "config", "--get", "remote.origin.url") or "") or None,
        "dirty": bool(patch),
        "holds_package": _git_text(top, "ls-files", "--error-unmatch", repro.__file__) is not None,
        "untracked": names,
        "artifacts": {each.role: each.sha256 for each in artifacts},
    }
    return (_ok("git", value, *missing), *artifacts)


def _untracked(top: Path) -> tuple[list[str], list[str]]:
    """The names of untracked sources to keep, and why others are not kept."""
    listed = _run_git(top, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")[:-1]
    names, reasons, total = [], [], 0
    for name in sorted(os.fsdecode(each) for each in listed):
        path = top / name
        if path.suffix not in SOURCE_SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        size_bytes = path.stat().st_size
        if secret_name(path.name):
            reasons.append(f"{name}: its name says that it holds secrets")
        elif size_bytes > MAX_UNTRACKED_BYTES or total + size_bytes > MAX_UNTRACKED_TOTAL_BYTES:
            reasons.append(f"{name}: {size_bytes} bytes are too many to keep")
        else:
            names.append(name)
            total += size_bytes
    return names, reasons


def _archive(top: Path, names: list[str]) -> bytes:
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
