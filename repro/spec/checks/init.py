"""What a training must agree on with the run that it begins with."""

from collections.abc import Iterator

from repro.spec.document import Spec
from repro.spec.init import saved_steps
from repro.spec.problems import Problem


def _there_is_a_training(spec: Spec) -> Iterator[Problem]:
    if spec.init is None:
        return
    if spec.train is None:
        yield Problem(("train",), "missing, [init] needs it", asked_by=("init",))
    if spec.init.run.train is None:
        msg = "the run trains nothing; expected one with [train]"
        yield Problem(("init", "run"), msg, asked_by=("init", "from"))


def _checkpoint_exists(spec: Spec) -> Iterator[Problem]:
    if spec.init is None or spec.init.run.train is None:
        return
    existing = saved_steps(spec.init.run)
    if spec.init.checkpoint is not None and spec.init.checkpoint not in existing:
        listed = ", ".join(map(str, existing[:8])) + (", …" if len(existing) > 8 else "")  # noqa: PLR2004
        msg = f"the run leaves no checkpoint at {spec.init.checkpoint}, expected one of: {listed}"
        yield Problem(("init", "checkpoint"), msg)
    elif spec.train and spec.train.steps <= spec.init.first_step:
        msg = f"mode full counts on from {spec.init.first_step}; expected more than that"
        yield Problem(("train", "steps"), f"{msg}, got {spec.train.steps}")


def _what_is_loaded_fits(spec: Spec) -> Iterator[Problem]:
    if spec.init is None:
        return
    for table in ("network", "objective"):
        if table == "objective" and spec.init.mode != "full":
            continue  # nothing of it is loaded
        ours, theirs = getattr(spec, table), getattr(spec.init.run, table)
        if ours and theirs and ours.kind != theirs.kind:
            msg = f"the run to begin with has {theirs.kind}; expected that"
            yield Problem((table, "kind"), f"{msg}, got {ours.kind}")


CHECKS = (
    (("train", "init"), _there_is_a_training),
    (("train", "init"), _checkpoint_exists),
    (("network", "objective", "init"), _what_is_loaded_fits),
)
