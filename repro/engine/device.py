"""Which device computes: an option of the command, recorded on the execution, never in an id."""

import os

from repro.errors import RunError
from repro.ledger import provenance
from repro.ledger.records import Provenance

COMPUTING = "computing"
"""The provider that says where an execution computed."""


def resolve(name: str) -> str:
    """The torch device that *name* means here; `auto` is the first CUDA device, or the CPU.

    Raises:
        RunError: when torch does not know the device or this machine does not have it.
    """
    # Threads that wait by spinning took 2.3 times the CPU of a step where two others computed too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads OpenMP
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        msg = f"--device {name}: not usable here ({str(error).splitlines()[0]}); try auto or cpu"
        raise RunError(msg) from error
    return name


def computing(device: str) -> Provenance:
    """Where this process computes: what must be equal for equal work to give equal bits."""
    import torch

    cuda = torch.device(device).type == "cuda"
    return Provenance(
        provider=COMPUTING,
        status="ok",
        value={
            "device": device,
            "kernels_for": (
                torch.cuda.get_device_name(device)
                if cuda
                else torch.backends.cpu.get_cpu_capability()
            ),
            "num_threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
        },
    )


def torch_as_used() -> Provenance:
    """What torch knows of itself, with the switches under which stages compute."""
    from repro.engine.determinism import deterministic

    with deterministic():
        return provenance.torch()
