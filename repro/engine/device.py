"""Which device computes: an option of the command, recorded on the execution, never in an id."""

from repro.errors import RunError


def resolve(name: str) -> str:
    """The torch device that *name* means here; `auto` is the first CUDA device, or the CPU.

    Raises:
        RunError: when torch does not know the device or this machine does not have it.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        msg = f"--device {name}: not usable here ({str(error).splitlines()[0]}); try auto or cpu"
        raise RunError(msg) from error
    return name
