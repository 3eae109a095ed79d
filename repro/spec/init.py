"""Starting a training from what another run left.

    [init]
    from = "step600.toml"
    mode = "weights"
    checkpoint = 550

The file is read when the spec is; its whole spec becomes the value `run`, so the identity of a run
holds the identity of the one it begins with. What that run needs for its weights joins the plan.
Going on with an interrupted training is no matter of a spec: run the same one again.
"""

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from repro.spec.fields import MAX_STEPS, count
from repro.spec.train import checkpoint_steps

if TYPE_CHECKING:
    from repro.spec.document import Spec

Mode = Literal["full", "weights_and_ema", "weights"]


@frozen(kw_only=True)
class Init:
    """The `checkpoint` of another run that a training begins with (by default its last), by `mode`.

    - `full`: everything; updates are counted on from those done, and so are schedules, random
      numbers and `train.steps`. Only what the spec says itself, such as its rates, is its own.
    - `weights_and_ema`: the weights and their average; moments and all counts begin anew.
    - `weights`: the weights, from which the average begins, too.
    """

    run: "Spec"
    mode: Mode
    checkpoint: int | None = count(default=None, least=0, most=MAX_STEPS)

    @property
    def step(self) -> int:
        """The updates that the checkpoint had seen."""
        if self.checkpoint is not None:
            return self.checkpoint
        return max(saved_steps(self.run), default=0)

    @property
    def first_step(self) -> int:
        """The updates that count as done when this training begins."""
        return self.step if self.mode == "full" else 0


def first_step(init: Init | None) -> int:
    """The updates that count as done when a training begins."""
    return init.first_step if init else 0


def saved_steps(spec: "Spec") -> tuple[int, ...]:
    """The updates after which the training of a spec leaves a checkpoint; none without one."""
    if spec.train is None:
        return ()
    return checkpoint_steps(spec.train, first=first_step(spec.init))
