"""Where the real examples of a drifting step come from, and which of them are taken."""

from typing import ClassVar, Literal

from attrs import frozen

from repro.spec.fields import count, text


@frozen(kw_only=True)
class NoQueue:
    """Reals are drawn from the whole data set, for distinct classes.

    They are all different while the class, or the data set, holds enough; with fewer the draw is
    with replacement, and counted (`underflow/class`, `underflow/any`).
    """

    kind: ClassVar = "none"


@frozen(kw_only=True)
class Banks:
    """Reals are drawn from ring buffers of the newest ones (Deng et al. 2026, appendix A.8).

    Every step pushes `pushes_per_step` examples, the next of the data in random order, into the
    bank of their class, of `class_size`, and into one of `global_size` for unconditional reals.
    The step's classes are those of random examples just pushed (`labels` is `pushed`, as in the
    released code: a class may come twice) or `distinct` ones of those held. `prefilled` banks are
    full before the first step; the released code starts with empty ones. Draws are all different;
    where a bank holds too few, that is an `error`, or the draw is `with-replacement` and counted.
    """

    kind: ClassVar = "banks"

    class_size: int = count(default=128, rehearsal=8)
    global_size: int = count(default=1000, rehearsal=32)
    pushes_per_step: int = count(default=64, rehearsal=16)
    prefilled: bool = True
    labels: Literal["pushed", "distinct"] = "pushed"
    underflow: Literal["error", "with-replacement"] = "error"


Queue = NoQueue | Banks


@frozen(kw_only=True)
class NearestPositives:
    """Of `num_candidates` reals of a class, those nearest to what was generated of it.

    A candidate is as near as its nearest generated sample, by the Euclidean distance of the
    vectors under the key `feature`. The last `num_random` positives are taken from the other
    candidates, whatever their distance (an ablation of the port `yhsure/drifting-models-pytorch`
    took 48 of 128, and 16 at random).
    """

    num_candidates: int = count(default=128, rehearsal=8)
    num_random: int = count(default=0, rehearsal=1, least=0)
    feature: str = text(".+", default="pixels")
