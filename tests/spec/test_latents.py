"""What a spec says of latents without opening anything."""

from attrs import evolve

from repro.spec import rehearsal, run_id, stages
from repro.spec.autoencoder import AutoencoderKl, UntrainedAutoencoderKl
from repro.spec.data import Cifar10, ImageFolder, Latents, StandIn
from repro.spec.layout import Layout, layout
from repro.spec.sample import FromCheckpoint
from repro.spec.structure import dump, structure
from tests.spec.test_plan import spec_of

CODER = AutoencoderKl(repository="a/b", weights=f"sha256:{'0' * 64}")


def test_cifar_enlarged_has_the_latents_of_imagenet():
    """256 pixels a side are 32 x 32 x 4, whatever they were before."""
    data = Latents(images=Cifar10(), autoencoder=CODER, enlarge_to=256)

    expected = Layout(height=32, width=32, channels=4, num_classes=10, num_images=50_000)
    assert layout(data) == expected


def test_latents_of_unopened_files_have_no_known_layout():
    """Nor does a size to enlarge to tell how many classes there are."""
    folder = ImageFolder(path="photos", digest=f"sha256:{'0' * 64}")

    assert layout(Latents(images=folder, autoencoder=CODER)) is None
    assert layout(Latents(images=folder, autoencoder=CODER, enlarge_to=256)) is None


def test_images_are_prepared_encoded_and_then_learnt_from():
    """A training builds on the encoding alone, which builds on the images."""
    by_kind = {each.kind: each for each in reversed(stages(spec_of("latents")))}

    assert by_kind["train"].inputs == (by_kind["encode"].stage_id,)
    assert by_kind["encode"].inputs == (by_kind["prepare"].stage_id,)


def test_latents_of_a_generator_and_its_encoder_are_made_once():
    """A masked autoencoder learns from the same encoding, and its export is below the training."""
    every = stages(spec_of("pretrained-latents"))

    assert [each.kind for each in every] == ["prepare", "encode", "train", "export", "train"]
    assert every[-1].inputs == (every[1].stage_id, every[3].stage_id)


def test_a_rehearsed_encoder_has_seen_the_latents_of_its_generator():
    """Both have the same small autoencoder in the place of the trained one."""
    small = rehearsal(spec_of("pretrained-latents"))

    assert structure(dump(small)) == small


def test_two_scales_share_the_images_and_no_more():
    """Whatever moves a latent moves the encoding and all above it."""
    spec = spec_of("latents")
    assert isinstance(spec.data, Latents)
    other = evolve(spec, data=evolve(spec.data, scaling_factor=0.2))

    shared = {each.stage_id for each in stages(spec)} & {each.stage_id for each in stages(other)}

    kinds = [each.kind for each in stages(spec) if each.stage_id in shared]
    assert kinds == ["prepare", "prepare", "reference"]


def test_the_usual_rounding_is_in_no_id():
    """It came late: specs that do not name it keep their ids, another rule has its own."""
    spec = spec_of("drifting")
    (first, *others) = spec.evaluate
    assert isinstance(first.sample, FromCheckpoint)

    def with_rule(rule):
        sample = evolve(first.sample, quantisation=rule)
        return run_id(evolve(spec, evaluate=(evolve(first, sample=sample), *others)))

    assert with_rule("round-half-even") == run_id(spec)
    assert with_rule("truncate") != run_id(spec)


def test_a_rehearsal_has_latents_of_the_same_shape():
    """The generator is held to the real size; of a thousand classes ten have several images."""
    spec = spec_of("latents")
    small = rehearsal(spec)

    assert isinstance(spec.data, Latents)
    assert isinstance(small.data, Latents)
    assert isinstance(small.data.autoencoder, UntrainedAutoencoderKl)
    assert isinstance(small.data.images, StandIn)
    before, after = layout(spec.data), layout(small.data)
    assert before
    assert after == evolve(before, num_images=64, num_classes=10)
