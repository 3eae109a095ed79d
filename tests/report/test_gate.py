"""Each rule of the gate refuses exactly what breaks it, and the gate admits the rest."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from repro.digest import canonical, xxh3_128
from repro.ledger import store
from repro.ledger.records import Decision, Provenance, Start
from repro.ledger.segment import begin
from repro.metrics.influence import encode_influences
from repro.metrics.standard import POOL3_DIGEST
from repro.report import gate
from repro.report.archive import Archive
from repro.report.gate import RULES, Terms
from repro.report.rows import Row
from tests.report.conftest import Project, noise_spec, trained_spec
from tests.report.fake import CALIBRATION, COMMITTED, RANDOM_DIGEST, Attempt, Made

VALID = Path(__file__).parents[1] / "data" / "valid"
BROKEN = {
    "random-weights": ("weights", Made(facts={"extractor.weights_digest": RANDOM_DIGEST})),
    "probe-before": ("probe", Made(facts={"probe.before": 8.7e-3})),
    "probe-after": ("probe", Made(facts={"probe.after": math.inf})),
    "no-probe": ("probe", Made(facts={"probe": {}})),
    "half-precision": ("protocol", Made(facts={"extractor.dtype": "bfloat16"})),
    "tensor-float": ("protocol", Made(facts={"extractor.tf32": True})),
    "mixed-precision": ("protocol", Made(facts={"extractor.autocast": True})),
    "other-layer": ("protocol", Made(facts={"extractor.layer": "768"})),
    "other-resize": ("protocol", Made(facts={"resize": "half-pixel"})),
    "truncated": ("protocol", Made(facts={"images.quantisation": "truncation"})),
    "reference-resize": ("protocol", Made(reference_facts={"resize": "half-pixel"})),
    "reference-network": (
        "protocol",
        Made(reference_facts={"extractor.weights_digest": RANDOM_DIGEST}),
    ),
    "reference-probe": ("protocol", Made(reference_facts={"probe.after": 0.1})),
    "other-protocol": ("protocol", Made(fields={"protocol_id": "0" * 32})),
    "no-quantisation": ("protocol", Made(facts={"images.quantisation": None})),
    "negative": ("recomputed", Made(fields={"value": -1.0})),
    "edited-value": ("recomputed", Made(shift=1.0, fields={"value": 3.0})),
    "edited-error": ("recomputed", Made(shift=1.0, fields={"se": 1e-6})),
    "not-finite": ("recomputed", Made(fields={"value": math.nan})),
    "other-reference": (
        "recomputed",
        Made(facts={"reference.split": "train"}),
    ),
    "screening": ("samples", Made()),
    "other-code": ("protocol", Made(facts={"extractor.code.torch-fidelity": "0.5.0"})),
    "reference-code": ("protocol", Made(reference_facts={"extractor.code": {}})),
    "no-influence": ("recomputed", Made(fields={"influence": None})),
    "edited-extrapolation": ("recomputed", Made(facts={"formula.extrapolated": 9.0})),
    "no-extrapolation": ("recomputed", Made(facts={"formula.extrapolated": None})),
    "edited-formula": ("recomputed", Made(facts={"formula.ddof": 0})),
    "small-reference": ("samples", Made(reference_count=2048)),
    "repetitive-reference": ("samples", Made(reference_facts={"images.unique": 4095})),
    "lossy-reference": ("samples", Made(reference_facts={"images.lossless": False})),
    "other-set": ("samples", Made(facts={"images.set_digest": "sha256:0"})),
    "other-pairing": ("samples", Made(fields={"pairing": "sha256:0"})),
    "duplicates": ("samples", Made(duplicates=7)),
    "lossy": ("samples", Made(facts={"images.lossless": False})),
}


@pytest.fixture(scope="module")
def archive(shared: Project) -> Archive:
    spec = noise_spec("sound", *BROKEN, num_samples={"screening": 2000})
    made: dict[str, Any] = {name: each for name, (_, each) in BROKEN.items()}
    shared.run(spec, **made)
    return Archive(shared.root)


def rules(row: Row, archive: Archive, terms: Terms | None = None) -> list[str]:
    return [refusal.rule for refusal in gate.refusals(row, archive, terms or Terms())]


def test_the_gate_has_the_eight_rules_of_the_design():
    """They are named so in verdicts, pages and this list."""
    assert list(RULES) == [
        "weights",
        "probe",
        "protocol",
        "recomputed",
        "samples",
        "sealed",
        "calibrated",
        "not-selected-on-itself",
    ]


def test_a_sound_measurement_is_admitted(shared: Project, archive: Archive):
    """No rule refuses what is as it should be."""
    assert rules(shared.row("sound", archive), archive) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_refuses_exactly_what_breaks_it(name: str, shared: Project, archive: Archive):
    """Each measurement is sound but for one thing, and one rule says so."""
    assert rules(shared.row(name, archive), archive) == [BROKEN[name][0]]


def test_a_claim_may_ask_for_more_images(shared: Project, archive: Archive):
    """2,049 images are evidence in general, not for a claim that wants 10,000."""
    row = shared.row("sound", archive)

    assert rules(row, archive, Terms(min_samples=10_000)) == ["samples"]


def test_the_word_standard_proves_nothing(shared: Project, archive: Archive):
    """A row that declares standard weights is refused for the weights that it loaded."""
    row = shared.row("random-weights", archive)

    (refusal,) = gate.refusals(row, archive, Terms())

    assert row.fact("extractor", "weights") == "standard"
    assert refusal.reason == (
        f"the extractor's tensors have digest {RANDOM_DIGEST[:19]}…,"
        f" the standard Inception's {POOL3_DIGEST[:19]}…"
    )


def test_a_metric_of_another_layer_has_no_standard(shared: Project, archive: Archive):
    """Only pool3 is pinned, so an inception score is shown and refused."""
    row = evolve(shared.row("sound", archive), metric="isc")

    assert "no standard digest" in (RULES["weights"](row, archive, Terms()) or "")


def test_a_protocol_of_another_measurement_is_refused(project: Project):
    """The protocol is in the ledger and its id is its digest, but it is not what was done."""
    project.run(noise_spec("sound", "larger", num_samples={"larger": 2100}))
    archive = Archive(project.root)
    sound, larger = (project.row(name, archive) for name in ("sound", "larger"))
    borrowed = evolve(sound, protocol_id=larger.protocol_id)

    (refusal,) = gate.refusals(borrowed, archive, Terms())

    assert refusal.rule == "protocol"
    assert refusal.reason == "num_samples of the protocol is 2100, measured was 2049"


def test_a_reference_is_held_to_its_own_facts(project: Project):
    """Statistics exchanged for others of the same shape are not what was measured against."""
    project.run(noise_spec("sound"))
    archive = Archive(project.root)
    row = project.row("sound", archive)
    other = Project(folder=project.folder / "other")
    other.run(noise_spec("sound"), sound=Made(reference_facts={"split": "train"}))
    others = Archive(other.root)
    stranger = other.row("sound", others).reference or ""
    store.put_file(project.root, store.locate(other.root, stranger))
    found = rules(evolve(row, reference=stranger), archive)

    assert found == ["recomputed", "samples"]


def test_an_error_of_its_own_influence_is_refused(project: Project):
    """Influence values that are not those of the features prove no error, however they agree."""
    project.run(noise_spec("sound"))
    archive = Archive(project.root)
    row = project.row("sound", archive)
    small = encode_influences({"fid": 1e-6 * archive.influence(row)})
    stored = store.put_bytes(project.root, small).sha256
    forged = evolve(row, influence=stored, se=1e-6 * (row.se or 0.0))

    reasons = {each.rule: each.reason for each in gate.refusals(forged, archive, Terms())}

    assert reasons["recomputed"].startswith("recorded error is ")
    honest_error = RULES["recomputed"](evolve(row, influence=stored), archive, Terms())
    assert honest_error == "the stored influence values are not those of the stored features"


@pytest.mark.parametrize(("num_features", "expected"), [(2100, []), (2048, ["samples"])])
def test_points_need_enough_reference_features(
    num_features: int, expected: list[str], project: Project
):
    """Moments of 4,096 images do not help a metric that is made of points."""
    spec = noise_spec("sound").replace('kind = "fid"', 'kind = "kid"')
    project.run(spec, sound=Made(num_features=num_features))
    archive = Archive(project.root)

    assert rules(project.row("sound", archive), archive) == expected


@pytest.mark.parametrize("role", ["samples", "features", "influence"])
def test_a_file_of_another_stage_is_refused(role: str, project: Project):
    """Files are evidence of what their own stage did, even if their bytes are as they were."""
    project.run(noise_spec("other", "good"), other=Made(shift=3.0))
    archive = Archive(project.root)
    good, other = (project.row(name, archive) for name in ("good", "other"))
    forged = evolve(good, **{role: getattr(other, role)})

    assert "samples" in rules(forged, archive)


def test_borrowed_features_are_refused(project: Project):
    """The value of another stage, with that stage's own files, is consistent, and not of these."""
    project.run(noise_spec("good", "bad"), bad=Made(shift=3.0))
    archive = Archive(project.root)
    good, bad = (project.row(name, archive) for name in ("good", "bad"))
    names = ("value", "se", "features", "influence")
    forged = evolve(
        bad,
        facts={**bad.facts, "formula": good.facts["formula"]},
        **{name: getattr(good, name) for name in names},
    )

    (refusal,) = gate.refusals(forged, archive, Terms())

    assert (refusal.rule, refusal.reason.split()[0]) == ("samples", "features")


def test_images_without_their_checkpoint_are_refused(project: Project):
    """What made them must be on record, not only named."""
    project.run(trained_spec(("trained", 2, 0)), attempt=Attempt(checkpoints=(0,)))
    archive = Archive(project.root)

    (refusal,) = gate.refusals(project.row("trained", archive), archive, Terms())

    assert (refusal.rule, "no checkpoint of step 2" in refusal.reason) == ("samples", True)


def test_images_of_other_weights_are_refused(project: Project):
    """The checkpoint of the step is there, but another file was loaded."""
    loaded = Made(facts={"sample.weights": RANDOM_DIGEST})
    project.run(trained_spec(("trained", 2, 0)), trained=loaded)
    archive = Archive(project.root)

    assert rules(project.row("trained", archive), archive) == ["samples"]


def test_a_plan_that_cannot_be_read_refuses_nothing_else(project: Project):
    """An execution of a plug-in that is gone is listed, and takes no other row with it."""
    project.run(noise_spec("sound"))
    gone = canonical({"schema": 1, "spec": {"plugin": {"kind": "gone"}}})
    start = Start(purpose="run", run_id=xxh3_128(gone), canonical_spec=gone.decode())
    segment = begin(project.root, start)
    segment.seal("done")
    archive = Archive(project.root)

    assert rules(project.row("sound", archive), archive) == []
    assert list(archive.unreadable()) == [segment.execution_id]


@pytest.mark.parametrize("role", ["samples", "features", "influence", "reference"])
def test_a_changed_file_is_refused(role: str, project: Project):
    """A file that no longer gives its digest proves nothing."""
    project.run(noise_spec("sound"))
    row = project.row("sound", Archive(project.root))
    path = store.locate(project.root, getattr(row, role))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    found = rules(row, Archive(project.root))

    assert "samples" in found
    assert set(found) <= {"samples", "recomputed", "sealed"}


def test_changed_weights_are_refused(project: Project):
    """The checkpoint that made the images must still be the one that was recorded."""
    project.run(trained_spec(("trained", 2, 0)))
    archive = Archive(project.root)
    row = project.row("trained", archive)
    weights = archive.rests_on(row)["train weights after step 2"]
    store.locate(project.root, weights).unlink()

    assert "samples" in rules(row, Archive(project.root))


@pytest.mark.parametrize(
    "file",
    ["exported encoder", "masked-autoencoding weights after step 2", "train weights after step 2"],
)
def test_what_a_pretrained_encoder_left_must_still_be_there(project: Project, file: str):
    """Its training and the file between the two count among what a value rests on."""
    spec = trained_spec(("trained", 2, 0)).replace(
        'kind = "drifting"', 'kind = "drifting"\nfeatures = ["encoder"]'
    )
    project.write(spec + '[encoder]\nkind = "pretrained"\nfrom = "mae.toml"\n')
    shutil.copy(VALID / "mae.toml", project.spec.parent)
    project.run()
    archive = Archive(project.root)
    row = project.row("trained", archive)
    files = archive.rests_on(row)
    assert len(set(files.values())) == len(files)
    assert not rules(row, archive)

    store.locate(project.root, files[file]).unlink()

    assert "samples" in rules(row, Archive(project.root))


def test_a_reason_tells_no_home_folder(project: Project, monkeypatch):
    """Where a missing file should lie is written as from the home folder."""
    project.run(noise_spec("sound"))
    archive = Archive(project.root)
    row = project.row("sound", archive)
    store.locate(project.root, row.samples).unlink()
    monkeypatch.setenv("HOME", str(project.root.parent))

    (reason,) = (
        each.reason
        for each in gate.refusals(row, Archive(project.root), Terms())
        if each.rule == "samples"
    )

    assert reason.startswith(f"~/{project.root.name}/objects")


def test_an_edited_record_is_refused(project: Project):
    """A changed byte in a segment breaks its chain."""
    execution_id = project.run(noise_spec("sound"))
    path = project.root / "segments" / f"{execution_id}.jsonl"
    path.chmod(0o644)
    path.write_text(
        path.read_text(encoding="utf-8").replace('"se_kind":"influence"', '"se_kind":"Influence"'),
        encoding="utf-8",
    )
    archive = Archive(project.root)
    rows = [row for found in archive.rows.values() for row in found]

    assert all("sealed" in rules(row, archive) for row in rows)


def test_a_killed_execution_is_no_evidence_by_itself(project: Project):
    """Nobody has sealed what it recorded."""
    spec = noise_spec("first", "second")
    project.run(spec, attempt=Attempt(until="second"))
    archive = Archive(project.root)

    assert rules(project.row("first", archive), archive) == ["sealed"]


def test_a_sealed_execution_vouches_for_what_it_reuses(project: Project):
    """After a kill, the same command finishes the run, and its evidence stands."""
    spec = noise_spec("first", "second")
    killed = project.run(spec, attempt=Attempt(until="second"))
    project.run(attempt=Attempt(reused={"first": killed}))
    archive = Archive(project.root)

    assert rules(project.row("first", archive), archive) == []


@pytest.mark.parametrize(
    "found",
    [{}, {**CALIBRATION, "std_error": -0.4}, {**CALIBRATION, "mean_error": "nan"}],
    ids=["nothing recorded", "spread too small", "not a number"],
)
def test_a_calibration_is_judged_by_its_errors(found: dict[str, Any], project: Project):
    """The word "passed" proves nothing."""
    spec = trained_spec(("trained", 2, 0), sampler=ddpm(allow_biased=False))
    project.run(spec, attempt=Attempt(calibration=found))
    archive = Archive(project.root)

    assert rules(project.row("trained", archive), archive) == ["calibrated"]


@pytest.mark.parametrize(
    "git",
    [
        None,
        Provenance(provider="git", status="unavailable", reason="not a repository"),
        Provenance(provider="git", status="partial", value={"commit": None}, reason="no commit"),
        Provenance(provider="git", status="partial", value=COMMITTED.value, reason="too large"),
        Provenance(
            provider="git",
            status="ok",
            value={"commit": "c" * 40, "dirty": True, "artifacts": {}},
        ),
        Provenance(
            provider="git",
            status="ok",
            value={
                "commit": "c" * 40,
                "dirty": True,
                "artifacts": {"patch": f"sha256:{'0' * 64}"},
            },
        ),
    ],
    ids=["not recorded", "no repository", "no commit", "not all kept", "no patch", "patch is gone"],
)
def test_code_that_nobody_can_tell_is_refused(git: Provenance | None, project: Project):
    """It was neither committed nor is its patch stored."""
    known = () if git is None else (git,)
    project.run(noise_spec("sound"), attempt=Attempt(provenance=known))
    archive = Archive(project.root)

    assert rules(project.row("sound", archive), archive) == ["sealed"]


def test_changed_code_whose_patch_is_stored_is_admitted(project: Project):
    """A dirty tree is evidence as long as the ledger holds the difference."""
    patch = store.put_bytes(project.root, b"diff").sha256
    value = {"commit": "c" * 40, "dirty": True, "artifacts": {"patch": patch}}
    git = Provenance(provider="git", status="ok", value=value)
    project.run(noise_spec("sound"), attempt=Attempt(provenance=(git,)))
    archive = Archive(project.root)

    assert rules(project.row("sound", archive), archive) == []


def test_code_outside_of_any_repository_is_admitted_when_it_is_stored(project: Project):
    """An installed package is known by its own files, if the ledger holds them."""
    kept = store.put_bytes(project.root, b"sources").sha256
    source = Provenance(provider="source", status="ok", value={"artifacts": {"source": kept}})
    project.run(noise_spec("sound"), attempt=Attempt(provenance=(source,)))
    archive = Archive(project.root)

    assert rules(project.row("sound", archive), archive) == []


def test_code_of_which_a_part_is_stored_is_refused(project: Project):
    """What held a secret was left out, so nobody can tell all that ran."""
    kept = store.put_bytes(project.root, b"sources").sha256
    value = {"artifacts": {"source": kept}}
    source = Provenance(provider="source", status="partial", value=value, reason="a secret")
    project.run(noise_spec("sound"), attempt=Attempt(provenance=(source,)))
    archive = Archive(project.root)

    assert rules(project.row("sound", archive), archive) == ["sealed"]


@pytest.mark.parametrize("purpose", ["rehearsal", "import"])
def test_only_a_real_run_is_evidence(purpose: str, project: Project):
    """A rehearsal, and what another tool measured, are refused whatever their numbers."""
    project.run(noise_spec("sound"), attempt=Attempt(purpose=purpose))
    archive = Archive(project.root)

    assert rules(project.row("sound", archive), archive) == ["calibrated"]


def ddpm(*, allow_biased: bool) -> str:
    flag = str(allow_biased).lower()
    return f'{{ kind = "ddpm", steps = 10, allow_biased = {flag} }}'


def test_a_biased_sampler_is_refused(project: Project):
    """A sampler that missed its known answer makes no evidence, though its spec allows it."""
    spec = trained_spec(("trained", 2, 0), sampler=ddpm(allow_biased=True))
    project.run(spec, attempt=Attempt(calibrated=False))
    archive = Archive(project.root)

    row = project.row("trained", archive)

    assert rules(row, archive) == ["calibrated"]
    assert rules(row, archive, Terms(deviations=("allow_biased",))) == []


def test_a_calibrated_sampler_is_admitted(project: Project):
    """One that gave its known answer is not held up."""
    project.run(trained_spec(("trained", 2, 0), sampler=ddpm(allow_biased=False)))
    archive = Archive(project.root)

    assert rules(project.row("trained", archive), archive) == []


def test_a_recorded_deviation_must_be_listed(project: Project):
    """A claim stands on a run that deviates only if it says so."""
    decision = Decision(topic="deviation", facts={"name": "fewer-classes"})
    project.run(noise_spec("sound"), attempt=Attempt(decisions=(decision,)))
    archive = Archive(project.root)

    row = project.row("sound", archive)

    assert rules(row, archive) == ["calibrated"]
    assert rules(row, archive, Terms(deviations=("fewer-classes",))) == []


SELECTED = """
[select]
among = ["one", "two"]
primary = "fid:min"
"""


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Archive]:
    project = Project(folder=tmp_path_factory.mktemp("selected"))
    rows = (("one", 2, 0), ("two", 2, 10_000), ("overlapping", 2, 2_048), ("fresh", 2, 20_000))
    spec = trained_spec(*rows) + SELECTED
    project.run(spec, one=Made(shift=1.0), two=Made(shift=2.0))
    return project, Archive(project.root)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one", ["not-selected-on-itself"]),
        ("overlapping", ["not-selected-on-itself"]),
        ("two", []),
        ("fresh", []),
    ],
)
def test_a_choice_is_not_evidence_for_itself(
    name: str, expected: list[str], selected: tuple[Project, Archive]
):
    """The chosen samples, or any of their seeds again, are refused; fresh seeds are not."""
    project, archive = selected

    assert rules(project.row(name, archive), archive) == expected


@pytest.mark.parametrize("dodge", ["num_samples", "checkpoint_every", "lost images"])
def test_a_choice_under_another_name_is_no_evidence_for_itself(dodge: str, project: Project):
    """Another number of images, or of checkpoints, gives other ids, but the same images."""
    spec = trained_spec(("one", 2, 0), ("two", 2, 10_000))
    project.run(spec + SELECTED, one=Made(shift=1.0), two=Made(shift=2.0))
    again = trained_spec(("one", 2, 0))
    if dodge != "checkpoint_every":
        again = again.replace("num_samples = 2049", "num_samples = 2050")
    if dodge != "num_samples":
        again = again.replace("[train]", "[train]\ncheckpoint_every = 2")
    if dodge == "lost images":
        chosen = project.row("one", Archive(project.root))
        store.locate(project.root, chosen.samples).unlink()
    project.run(again, one=Made(shift=1.0))
    archive = Archive(project.root)

    assert "not-selected-on-itself" in rules(project.row("one", archive), archive)


def test_images_that_were_chosen_are_known_by_their_pixels(selected: tuple[Project, Archive]):
    """Whatever seeds or weights a set says it is from."""
    project, archive = selected
    one, fresh = (project.row(name, archive) for name in ("one", "fresh"))
    copied = evolve(fresh, samples=archive.files[archive.sampling(one).stage_id][0].sha256)

    assert archive.shares_samples(copied, one)
    assert not archive.shares_samples(fresh, one)


def test_a_run_with_another_spec_than_its_id_is_refused(project: Project):
    """The plan is read from the recorded spec, so that must be the one that the id names."""
    project.run(noise_spec("sound"))
    archive = Archive(project.root)
    row = project.row("sound", archive)
    execution = archive.executions[row.execution_id]
    archive.executions[row.execution_id] = evolve(execution, run_id="0" * 32)  # type: ignore[index]

    assert "sealed" in rules(row, archive)


def test_facts_of_a_refusal_are_plain(shared: Project, archive: Archive):
    """Reasons are kept in the ledger, so they are text."""
    row = shared.row("duplicates", archive)

    reasons = [refusal.reason for refusal in gate.refusals(row, archive, Terms())]

    assert json.loads(json.dumps(reasons)) == [
        "2049 images were measured; stored are 2049, 2042 different"
    ]


def test_rules_say_what_they_demand():
    """Every rule has a sentence for people."""
    assert all((rule.__doc__ or "").strip() for rule in RULES.values())


def test_a_protocol_is_held_to_its_id(shared: Project, archive: Archive):
    """Facts that were exchanged under an id give another id."""
    row = shared.row("sound", archive)
    copy = Archive(shared.root)
    copy.protocols = {row.protocol_id: {"metric": "fid"}}

    assert "its facts give another id" in (RULES["protocol"](row, copy, Terms()) or "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"num_samples": 4000}, "num_samples of the protocol is 2049, measured was 4000")],
)
def test_a_protocol_is_held_to_its_measurement(
    changes: dict[str, Any], reason: str, shared: Project, archive: Archive
):
    """A row cannot borrow the protocol of another."""
    row = evolve(shared.row("sound", archive), **changes)

    assert RULES["protocol"](row, archive, Terms()) == reason


def test_a_stage_of_another_run_is_refused(shared: Project, archive: Archive):
    """What a measurement rests on is read from the plan of its run."""
    row = evolve(shared.row("sound", archive), stage_id="0" * 32)

    (refusal, *_) = [each for each in gate.refusals(row, archive, Terms()) if each.rule == "sealed"]

    assert refusal.reason == f"stage {'0' * 32} is no evaluation of the run that recorded it"
