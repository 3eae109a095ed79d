from pathlib import Path

import attrs
from hypothesis import given, settings

from repro import digest
from repro.spec import Spec, Stage, checkpoint_steps, load, run_id, stages
from repro.spec.data import Cifar10
from repro.spec.evaluate import Checkpoints, InceptionV3Compat, ShippedReference
from repro.spec.plan import Evaluation, Instrument, Sampling, Statistics, Training
from repro.spec.sample import FromCheckpoint
from repro.spec.train import Train
from tests.spec.strategies import specs

VALID = Path(__file__).parents[1] / "data" / "valid"


def spec_of(name: str, *overrides: str) -> Spec:
    [spec] = load(VALID / f"{name}.toml", overrides=overrides)
    return spec


def plan(name: str, *overrides: str) -> list[Stage]:
    return list(stages(spec_of(name, *overrides)))


def ids(some: list[Stage], kind: str) -> list[str]:
    return [stage.stage_id for stage in some if stage.kind == kind]


def test_stages_of_a_drifting_spec():
    """Training, then what is evaluated, then the choice; equal work once."""
    expected = [
        ("prepare", "cifar10-train"),
        ("encoder", "conv-encoder"),
        ("train", "drifting"),
        ("prepare", "cifar10-test"),
        ("reference", "cifar10-test"),
        ("sample", "trained"),
        ("evaluate", "trained"),
        ("sample", "last-k@2000"),
        ("evaluate", "last-k@2000"),
        ("evaluate", "last-k@3000"),
        ("sample", "untrained"),
        ("evaluate", "untrained"),
        ("sample", "real"),
        ("evaluate", "real"),
        ("sample", "noise"),
        ("evaluate", "noise"),
        ("select", "fid:min"),
    ]

    assert [(stage.kind, stage.name) for stage in plan("drifting")] == expected


def test_stages_of_a_denoising_spec():
    """Each sampler is calibrated once, before it samples."""
    expected = ["prepare", "train", "prepare", "reference"]
    expected += ["calibrate", "sample", "evaluate"]
    expected += ["calibrate", "sample", "evaluate", "sample", "evaluate"]

    assert [stage.kind for stage in plan("denoise")] == expected


def test_a_reference_alone_is_two_stages():
    """A spec may only make reference statistics."""
    assert [stage.kind for stage in plan("reference")] == ["prepare", "reference"]


def test_a_toy_is_two_stages():
    """A spec may only train."""
    assert [stage.kind for stage in plan("toy")] == ["prepare", "train"]


@given(specs())
@settings(max_examples=50, deadline=None)
def test_inputs_come_first(spec: Spec):
    """Stages stand in an order in which they can run."""
    seen: set[str] = set()
    for stage in stages(spec):
        assert set(stage.inputs) <= seen
        seen.add(stage.stage_id)


@given(specs())
@settings(max_examples=30, deadline=None)
def test_a_stage_id_is_the_digest_of_its_payload(spec: Spec):
    """The id of a stage can be recomputed from what is recorded of it."""
    for stage in stages(spec):
        named = {
            "schema": 1,
            "stage": stage.kind,
            "spec": stage.payload,
            "inputs": list(stage.inputs),
        }

        assert stage.stage_id == digest.xxh3_128(digest.canonical(named))


def test_an_evaluation_leaves_the_training_alone():
    """Another sample count makes new samples of the same weights."""
    before, after = plan("drifting"), plan("drifting", "evaluate.trained.sample.num_samples=4096")

    assert ids(before, "train") == ids(after, "train")
    assert ids(before, "reference") == ids(after, "reference")
    assert ids(before, "sample")[0] != ids(after, "sample")[0]


def test_a_metric_leaves_the_samples_alone():
    """Measuring more looks at the same images again."""
    before, after = plan("denoise"), plan("denoise", "protocol.metrics=[{kind='kid'}]")

    assert ids(before, "sample") == ids(after, "sample")
    assert set(ids(before, "evaluate")).isdisjoint(ids(after, "evaluate"))


def test_a_seed_moves_everything_that_builds_on_it():
    """Other weights, so other samples and other measurements; the data stay."""
    before, after = plan("denoise"), plan("denoise", "train.seed=1")

    assert ids(before, "prepare") == ids(after, "prepare")
    assert ids(before, "calibrate") == ids(after, "calibrate")
    for kind in ("train", "sample", "evaluate"):
        assert set(ids(before, kind)).isdisjoint(ids(after, kind))


def test_names_are_in_no_stage_id():
    """An evaluation under another name is the same work, in another run."""
    before = spec_of("denoise")
    after = spec_of("denoise", "evaluate.ddim.name=other")

    assert [each.stage_id for each in stages(before)] == [each.stage_id for each in stages(after)]
    assert run_id(before) != run_id(after)


def test_runs_share_stages():
    """Two specs that train alike name one training."""
    sweep = [list(stages(spec)) for spec in load(VALID / "sweep.toml")]

    assert len({ids(each, "train")[0] for each in sweep}) == 6
    assert len({ids(each, "reference")[0] for each in sweep}) == 1


def test_two_names_for_one_measurement_are_two_stages():
    """The same work under two names is done once and shown twice."""
    named = {stage.name: stage.stage_id for stage in plan("drifting") if stage.kind == "evaluate"}

    assert named["trained"] == named["last-k@3000"]


def test_an_extractor_of_its_own_needs_statistics_of_its_own():
    """Statistics of one extractor never meet the features of another."""
    own = "evaluate.noise.extractor={kind='inception-v3-compat', inception_weights='none'}"
    made = [stage for stage in plan("drifting", own) if stage.kind == "reference"]

    extractors = [stage.spec.extractor for stage in made if isinstance(stage.spec, Statistics)]

    assert extractors == [InceptionV3Compat(), InceptionV3Compat(inception_weights="none")]


def test_a_shipped_reference_needs_no_extractor():
    """Ready-made statistics are one stage without inputs, whatever reads them."""
    shipped = ShippedReference(name="cifar10-test", digest=f"sha256:{'0' * 64}")
    spec = spec_of("drifting")
    assert spec.protocol
    spec = attrs.evolve(spec, protocol=attrs.evolve(spec.protocol, reference=shipped))

    [reference] = [stage for stage in stages(spec) if stage.kind == "reference"]

    assert reference.inputs == ()
    assert reference.spec == Statistics(reference=shipped)


def test_a_stage_carries_its_part_of_the_spec():
    """Whoever runs a stage reads typed values, not the payload."""
    by_kind = {stage.kind: stage.spec for stage in plan("denoise")}

    assert by_kind["prepare"] is not None
    assert isinstance(by_kind["train"], Training)
    assert isinstance(by_kind["calibrate"], Instrument)
    assert isinstance(by_kind["evaluate"], Evaluation)
    assert isinstance(by_kind["sample"], Sampling)
    assert isinstance(by_kind["sample"].sample, FromCheckpoint)
    assert by_kind["sample"].checkpoint == 20_000
    assert plan("drifting")[0].spec == Cifar10()


def test_checkpoints_exist_at_multiples_and_at_the_end():
    """Zero only where it is asked for."""
    train = Train(steps=10, seed=0, lr=1.0, checkpoint_every=4)

    assert checkpoint_steps(train) == (4, 8, 10)
    assert checkpoint_steps(attrs.evolve(train, initial_checkpoint=True)) == (0, 4, 8, 10)
    assert checkpoint_steps(attrs.evolve(train, steps=8)) == (4, 8)
    assert checkpoint_steps(attrs.evolve(train, steps=3)) == (3,)


def test_the_final_checkpoint_is_the_default():
    """An evaluation that names no checkpoint reads the last; explicit or not is one sample."""
    implicit = plan("denoise")
    explicit = plan("denoise", "evaluate.ddpm.checkpoints={last=1}")
    listed = plan("denoise", "evaluate.ddpm.checkpoints={steps=[20000]}")

    assert ids(implicit, "sample") == ids(explicit, "sample") == ids(listed, "sample")
    assert Checkpoints() == Checkpoints(last=0, steps=())
