"""The gate: which measurements may be evidence.

Every rule is a function from a measurement to the reason why it is refused, or None. A rule reads
what the evaluator recorded and what the ledger proves now (digests read again, chains followed, the
value computed again). It never reads what a run declares about itself, such as
`weights = "standard"`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from repro.errors import IntegrityError, SpecError
from repro.ledger.privacy import cleaned
from repro.metrics import standard
from repro.metrics.image_set import set_digest
from repro.metrics.protocol import protocol_facts, protocol_id
from repro.report.archive import Archive
from repro.report.rows import Calibration, Row
from repro.spec.sample import FromCheckpoint, OneStep

SMALLEST_DISTANCE = -1e-6
"""A Frechet distance below this is no rounding error."""

POOL3_METRICS = ("fid", "kid", "precision", "recall")
STANDARD_EXTRACTOR: Mapping[str, Any] = {
    "name": "inception-v3-compat",
    "dtype": "float32",
    "tf32": False,
    "autocast": False,
    "layer": "2048",
    "code": standard.CODE,
}
POINT_METRICS = ("kid", "precision", "recall")
"""These need reference features, not moments alone."""

FILES = {
    "samples": "sample",
    "features": "evaluate",
    "influence": "evaluate",
    "reference": "reference",
}
"""Which kind of stage leaves each file of a measurement."""


@frozen(kw_only=True)
class Terms:
    """What a claim asks of its evidence beyond the rules, and the deviations that it knows of."""

    min_samples: int = 1
    deviations: tuple[str, ...] = ()


@frozen(kw_only=True)
class Refusal:
    """A rule that refused a measurement, and why."""

    rule: str
    reason: str


Rule = Callable[[Row, Archive, Terms], str | None]


def weights(row: Row, archive: Archive, terms: Terms) -> str | None:
    """The tensors that were loaded are the standard Inception's."""
    del archive, terms
    if row.metric not in POOL3_METRICS:
        return f"no standard digest is known of the layer that {row.metric} reads"
    found = row.fact("extractor", "weights_digest")
    if found != standard.POOL3_DIGEST:
        return (
            f"the extractor's tensors have digest {_short(found)},"
            f" the standard Inception's {_short(standard.POOL3_DIGEST)}"
        )
    return None


def probe(row: Row, archive: Archive, terms: Terms) -> str | None:
    """The four known images gave the known features, just before and just after the real ones."""
    del archive, terms
    return _failed_probe(row.facts, "the images")


def protocol(row: Row, archive: Archive, terms: Terms) -> str | None:
    """Precision and preprocessing are standard, the reference's too, and the protocol says so."""
    del terms
    for side, facts in (("the images", row.facts), ("the reference", row.fact("reference") or {})):
        if problem := _unlike_standard(facts, side):
            return problem
    if row.fact("images", "quantisation") not in standard.EXACT:
        return f"images were quantised by {row.fact('images', 'quantisation')!r}"
    if row.fact("reference", "extractor", "weights_digest") != standard.POOL3_DIGEST:
        return "the reference was made by another network"
    return _failed_probe(row.fact("reference"), "the reference") or misnamed(row, archive)


def recomputed(row: Row, archive: Archive, terms: Terms) -> str | None:
    """Value, error, influence values and extrapolation follow from the stored features."""
    del terms
    if row.value is None or not math.isfinite(row.value):
        return f"the value is {row.value}, not a finite number"
    if row.metric == "fid" and row.value < SMALLEST_DISTANCE:
        return f"{row.value} is negative, so it is no distance"
    return another_result(row, archive)


def samples(row: Row, archive: Archive, terms: Terms) -> str | None:
    """Enough unique, lossless images on both sides; all files are here, from where they should be.

    Raises:
        IntegrityError: a file is missing or changed.
    """
    needed = max(standard.MIN_SAMPLES, terms.min_samples)
    if row.num_samples < needed:
        return f"{row.num_samples} images; evidence needs {needed}"
    if row.fact("images", "lossless") is not True:
        return "the images were not kept losslessly"
    for sha256 in archive.rests_on(row).values():
        archive.check(sha256)
    return (
        _other_images(row, archive)
        or _poor_reference(row)
        or _misplaced(row, archive)
        or _other_weights(row, archive)
    )


def sealed(row: Row, archive: Archive, terms: Terms) -> str | None:
    """The execution ended and its records verify, those that it builds on too; code is known.

    One that was killed cannot seal itself: then a sealed one must have found the stage done.
    """
    del terms
    if not archive.closed(row):
        return f"execution {row.execution_id} is not sealed, and none that is builds on it"
    for execution_id in archive.lineage(row):
        problem = archive.chain_problem(execution_id) or _unknown_code(archive, execution_id)
        if problem:
            return f"execution {execution_id}: {problem}"
    return None


def calibrated(row: Row, archive: Archive, terms: Terms) -> str | None:
    """A real run, whose sampler gave its known answer, and deviates only as the claim lists."""
    purpose = archive.executions[row.execution_id].purpose
    if purpose != "run":
        return f"execution {row.execution_id} is a {purpose}, not a run"
    if uncalibrated := _never_calibrated(row, archive):
        return uncalibrated
    for stage in archive.upstream(row):
        if stage.kind == "calibrate" and "allow_biased" not in terms.deviations:
            found = archive.calibrations.get(stage.stage_id, ())
            if not found or not all(_gave_known_answer(each) for each in found):
                return f"sampler {stage.name!r} did not give its known answer"
    unlisted = archive.deviations(row) - set(terms.deviations)
    if unlisted:
        return f"the claim does not list the recorded deviation: {', '.join(sorted(unlisted))}"
    return None


def not_selected_on_itself(row: Row, archive: Archive, terms: Terms) -> str | None:
    """It was not chosen among several by these very samples."""
    del terms
    for chosen, primary in archive.chosen:
        if archive.shares_samples(row, chosen):
            return (
                f"these samples of {chosen.evaluation!r} were chosen by {primary}; "
                "evaluate the choice again with a fresh sampling seed"
            )
    return None


RULES: Mapping[str, Rule] = {
    "weights": weights,
    "probe": probe,
    "protocol": protocol,
    "recomputed": recomputed,
    "samples": samples,
    "sealed": sealed,
    "calibrated": calibrated,
    "not-selected-on-itself": not_selected_on_itself,
}


def refusals(row: Row, archive: Archive, terms: Terms) -> tuple[Refusal, ...]:
    """Every rule that refuses a measurement; one whose proof is broken or gone refuses it too."""
    return tuple(_refused(row, archive, terms))


def _refused(row: Row, archive: Archive, terms: Terms) -> Iterator[Refusal]:
    for name, rule in RULES.items():
        try:
            reason = rule(row, archive, terms)
        except (IntegrityError, SpecError) as error:
            reason = cleaned(str(error))  # it may name a folder of this machine
        if reason:
            yield Refusal(rule=name, reason=reason)


def _failed_probe(facts: Any, side: str) -> str | None:
    for moment in ("before", "after"):
        deviation = _at(facts, "probe", moment)
        if not isinstance(deviation, float):
            return f"{side}: no known-answer probe is recorded {moment} them"
        if not deviation <= standard.PROBE_TOLERANCE:
            return (
                f"{side}: the known-answer probe {moment} them was off by {deviation:.2g};"
                f" {standard.PROBE_TOLERANCE:.0e} is allowed"
            )
    return None


def _unlike_standard(facts: Any, side: str) -> str | None:
    for name, expected in STANDARD_EXTRACTOR.items():
        found = _at(facts, "extractor", name)
        if found != expected:
            return f"{side}: {name} of the extractor is {found!r}, standard is {expected!r}"
    if _at(facts, "resize") != standard.RESIZE:
        return f"{side}: resize is {_at(facts, 'resize')!r}, standard is {standard.RESIZE!r}"
    return None


def misnamed(row: Row, archive: Archive) -> str | None:
    """Whether the protocol's id stands for its facts, and they are those of the measurement."""
    named = archive.protocols.get(row.protocol_id)
    if named is None:
        return f"protocol {row.protocol_id} is not in the ledger"
    if protocol_id(named) != row.protocol_id:
        return f"protocol {row.protocol_id} was changed: its facts give another id"
    own = protocol_facts(row.metric, num_samples=row.num_samples, facts=row.facts)
    for name in own.keys() | named.keys():
        if named.get(name) != own.get(name):
            return f"{name} of the protocol is {named.get(name)!r}, measured was {own.get(name)!r}"
    return None


def another_result(row: Row, archive: Archive) -> str | None:
    """How a measurement differs from what the stored features give, if it does.

    Raises:
        IntegrityError: a file that it rests on is missing or changed.
    """
    from repro.metrics import measure

    again = archive.recomputed(row)
    for name, setting in again.settings.items():
        if row.fact("formula", name) != setting:
            return f"recorded {name} is {row.fact('formula', name)!r}, but it is {setting!r}"
    extrapolated = again.outcome.get("extrapolated")
    for name, recorded, expected, scale in (
        ("value", row.value, again.value, 0.0),
        ("error", row.se, again.se, 0.0),
        ("extrapolation", row.fact("formula", "extrapolated"), extrapolated, again.value),
    ):
        if not measure.agrees(recorded, expected, scale=scale):
            return f"recorded {name} is {recorded!r}, but the stored features give {expected!r}"
    influence = archive.influence(row) if row.influence else None
    if again.influence is not None and not measure.influence_agrees(influence, again.influence):
        return "the stored influence values are not those of the stored features"
    return None


def _other_images(row: Row, archive: Archive) -> str | None:
    """Whether the stored images are not all different, or not the ones that were measured."""
    found = archive.image_set(row)
    count, unique = len(found.names), len(found.different)
    if (count, unique) != (row.num_samples, row.num_samples):
        return f"{row.num_samples} images were measured; stored are {count}, {unique} different"
    if row.fact("images", "set_digest") != set_digest(found.names):
        return "the stored images are not those that were measured"
    if row.pairing != found.pairing:
        return "the stored images have other seeds or labels than the measurement says"
    return None


def _poor_reference(row: Row) -> str | None:
    """Whether the reference is too small, repeats images, or lost some of their bytes."""
    count, unique = row.fact("reference", "count"), row.fact("reference", "images", "unique")
    if not isinstance(count, int) or count < standard.MIN_SAMPLES:
        return f"the reference has {count} images; evidence needs {standard.MIN_SAMPLES}"
    if unique != count:
        return f"of the {count} images of the reference, {unique} are different"
    if row.fact("reference", "images", "lossless") is not True:
        return "the images of the reference were not kept losslessly"
    points = row.fact("formula", "reference_count")
    if row.metric in POINT_METRICS and not (
        isinstance(points, int) and points >= standard.MIN_SAMPLES
    ):
        return f"the reference has features of {points} images; needed are {standard.MIN_SAMPLES}"
    return None


def _misplaced(row: Row, archive: Archive) -> str | None:
    """Which file was not left by the stage that should have made it, if one was not."""
    upstream = archive.upstream(row)  # its own stages first; what chose a checkpoint may have some
    stages = {stage.kind: stage for stage in reversed(upstream)}
    for role, sha256 in archive.own_files(row).items():
        stage = stages[FILES[role]]  # type: ignore[index]
        if not archive.left_by(row, stage, role=role, sha256=sha256):
            return f"{role} {_short(sha256)} were not left by {stage.kind} stage {stage.stage_id}"
    return None


def _other_weights(row: Row, archive: Archive) -> str | None:
    """Whether images of a network were made by weights that are not on record."""
    part = archive.sampling(row).spec
    if not isinstance(part.sample, FromCheckpoint):
        return None
    step = archive.step_read(row)
    if row.checkpoint_step != step:
        return f"step {row.checkpoint_step} was measured, step {step} is in the plan"
    if archive.checkpoint(row) is None:
        loaded = _short(row.fact("sample", "weights"))
        return f"no checkpoint of step {step} with weights {loaded} is on record"
    return None


def _never_calibrated(row: Row, archive: Archive) -> str | None:
    """Whether steps were taken by a sampler that was held against nothing; one call takes none."""
    sampling = archive.sampling(row)
    sampler = getattr(sampling.spec.sample, "sampler", None)
    if sampler is None or isinstance(sampler, OneStep):
        return None
    if any(stage.kind == "calibrate" for stage in archive.upstream(row)):
        return None
    return f"sampler {sampler.kind!r} was never held against a known answer"


def _gave_known_answer(found: Calibration) -> bool:
    """Whether both errors of a calibration are within their tolerance."""
    errors = (
        (found.facts.get(f"{name}_error"), found.facts.get(f"{name}_tolerance"))
        for name in ("mean", "std")
    )
    return found.passed and all(
        isinstance(error, int | float)
        and isinstance(allowed, int | float)
        and abs(error) <= allowed
        for error, allowed in errors
    )


def _unknown_code(archive: Archive, execution_id: str) -> str | None:
    """Why nobody could tell which code ran, if so: it is neither committed nor stored."""
    known = archive.provenance.get(execution_id, {})
    if "source" in known and (kept := known["source"].value.get("artifacts", {})):
        if known["source"].status != "ok":
            return f"its code is not wholly known: {known['source'].reason}"
        for sha256 in kept.values():
            archive.check(sha256)
        return None
    git = known.get("git")
    if git is None or git.status == "unavailable":
        return f"its code is unknown: {git.reason if git else 'nothing was recorded'}"
    if not git.value.get("commit") or git.status != "ok":
        return f"its code is not wholly known: {git.reason}"
    stored = git.value.get("artifacts", {})
    if git.value.get("dirty") and "patch" not in stored:
        return "its code had changes that are not stored"
    for sha256 in stored.values():
        archive.check(sha256)
    return None


def _at(facts: Any, *path: str) -> Any:
    for key in path:
        facts = facts.get(key) if isinstance(facts, Mapping) else None
    return facts


def _short(sha256: Any) -> str:
    return f"{sha256[:19]}…" if isinstance(sha256, str) else "unknown"
