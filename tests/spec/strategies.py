"""Random specs that can be run, and random ways to write one down."""

import json
import math
from typing import Any

from hypothesis import strategies as st

from repro.spec import Spec
from repro.spec.autoencoder import AutoencoderKl, KlArchitecture, UntrainedAutoencoderKl
from repro.spec.checks import check
from repro.spec.conditional import Labels, RandomTable, UNet2DConditional, UNetStl10, VectorTable
from repro.spec.data import (
    Bimodal,
    Checkerboard,
    Cifar10,
    Digits,
    FashionMnist,
    ImageFolder,
    Latents,
    RandomCrops,
    StandIn,
    SwissRoll,
)
from repro.spec.edm import (
    Augmentation,
    Churn,
    Codec,
    Edm,
    Heun,
    Identity,
    LogNormalNoise,
    TorusPyramid,
    UNet2DSigma,
    num_scales,
)
from repro.spec.encoder import (
    LibraryEncoder,
    Member,
    PretrainedEncoder,
    SeveralEncoders,
    mae_taps,
)
from repro.spec.evaluate import (
    Checkpoints,
    DatasetReference,
    Evaluate,
    Fid,
    FileReference,
    InceptionV3Compat,
    Isc,
    Kid,
    Prc,
    Protocol,
    Select,
    ShippedReference,
)
from repro.spec.layout import holds_points
from repro.spec.map_keys import STATISTICS, MapKeys
from repro.spec.network import ConvEncoder, ConvGenerator, Dit, Mae, Mlp, UNet2D
from repro.spec.objective import (
    ClassifierTuning,
    CosineSchedule,
    Denoise,
    Drifting,
    FixedAlpha,
    LinearSchedule,
    MaskedAutoencoding,
    PowerLawAlpha,
    TableAlpha,
)
from repro.spec.path import Arctan, Lead, LeadEach, MatchedLead, Ratio, Sync, Truncated
from repro.spec.reals import Banks, NearestPositives, NoQueue
from repro.spec.sample import (
    AdjacentStrided,
    ClassifierFree,
    Ddim,
    Ddpm,
    FromCheckpoint,
    FromDataset,
    MeanScaled,
    OneStep,
    UniformNoise,
)
from repro.spec.train import ConstantEma, ConstantLr, CosineLr, Train, WarmupEma, checkpoint_steps
from repro.spec.unet_cifar32 import UNetCifar32
from repro.spec.weighting import MinSnr, UniformWeighting

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
POSITIVE = st.floats(1e-9, 1e9)
FRACTION = st.floats(0, 1, exclude_max=True)
SEEDS = st.integers(0, 2**31)
COUNTS = st.integers(2, 10_000)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def lr_schedules(steps: int) -> st.SearchStrategy[Any]:
    warmup = st.integers(0, steps)
    return st.builds(ConstantLr, warmup_steps=warmup) | st.builds(
        CosineLr, warmup_steps=warmup, final_ratio=FRACTION
    )


@st.composite
def trainings(draw: st.DrawFn, *, parts: int = 8) -> Train:
    steps = draw(st.integers(1, 5000))
    return Train(
        steps=steps,
        seed=draw(SEEDS),
        lr=draw(POSITIVE),
        lr_schedule=draw(lr_schedules(steps)),
        betas=draw(st.tuples(FRACTION, FRACTION)),
        eps=draw(POSITIVE),
        weight_decay=draw(st.floats(0, 1)),
        accumulate=draw(st.integers(1, parts)),
        clip_norm=draw(POSITIVE | st.just(math.inf)),
        ema=draw(st.builds(ConstantEma, decay=FRACTION) | st.builds(WarmupEma, decay=FRACTION)),
        checkpoint_every=draw(st.integers(1, 2000)),
        initial_checkpoint=draw(st.booleans()),
    )


def alphas() -> st.SearchStrategy[Any]:
    scale = st.floats(1, 9)
    return (
        st.builds(FixedAlpha, value=scale)
        | st.tuples(scale, scale).map(lambda two: PowerLawAlpha(low=min(two), high=max(two)))
        | st.sets(scale, min_size=2, max_size=2).map(
            lambda two: TableAlpha(values=(*two,), probabilities=(0.25, 0.75))
        )
    )


def readings() -> st.SearchStrategy[dict[str, Any]]:
    """How else a drift field may be read than as it was released."""
    return st.fixed_dictionaries(
        {},
        optional={
            "kernel": st.sampled_from(["laplace", "gaussian"]),
            "normalized_over": st.sampled_from(["both", "targets"]),
            "weights_enter": st.sampled_from(["affinity", "logits"]),
            "attraction": st.floats(0.5, 2),
            "repulsion": st.floats(0, 2),
            "statistics": st.sampled_from(["batch", "class"]),
            "over_locations": st.sampled_from(["mean", "sum"]),
        },
    )


def latents() -> st.SearchStrategy[Any]:
    """Of half the sides of the images, which leaves room for four doublings less one."""
    layers = KlArchitecture(channels=(32, 64))
    coders = st.builds(
        AutoencoderKl, repository=st.just("a/b"), weights=DIGESTS, architecture=st.just(layers)
    ) | st.builds(UntrainedAutoencoderKl, seed=SEEDS, architecture=st.just(layers))
    return st.builds(
        Latents,
        images=st.sampled_from([Cifar10(), StandIn()]),
        autoencoder=coders,
        enlarge_to=st.sampled_from([None, 64]),
        posterior=st.sampled_from(["sample", "mean"]),
        flips=st.booleans(),
        scaling_factor=POSITIVE,
        seed=SEEDS,
        random_crops=st.none() | st.builds(RandomCrops, num=COUNTS, least_area=st.floats(0.1, 1)),
    )


def dits() -> st.SearchStrategy[Dit]:
    """Patches that tile 32 x 32 and 28 x 28, ten classes."""
    return st.builds(
        Dit,
        patch_size=st.sampled_from([1, 2, 4]),
        head_dim=st.integers(1, 64).map(lambda quarter: 4 * quarter),
        num_classes=st.just(10),
        num_registers=st.integers(0, 16),
        num_style_tokens=st.integers(0, 32),
        norm=st.sampled_from(["rms", "layer"]),
        qk_norm=st.sampled_from(["rms", "unit", "none"]),
        rope=st.sampled_from(["1d", "2d", "none"]),
        feed_forward=st.sampled_from(["swiglu", "gelu"]),
        alpha_embedding=st.sampled_from(["sinusoid", "raw", "none"]),
        precision=st.sampled_from(["float32", "bfloat16"]),
    )


@st.composite
def reals(draw: st.DrawFn) -> dict[str, Any]:
    """Where the reals of a drifting step come from, for at most ten classes."""
    num_positive = draw(COUNTS)
    rules = st.builds(
        NearestPositives,
        num_candidates=st.integers(num_positive + 1, 20_000),
        num_random=st.integers(0, num_positive - 1),
    )
    bank: dict[str, Any] = {
        "class_size": st.integers(20_000, 30_000),
        "global_size": st.integers(8, 2000),
        "labels": st.sampled_from(["pushed", "distinct"]),
    }
    underflow = st.sampled_from(["error", "with-replacement"])
    few, enough = st.integers(10, 300), st.integers(200_000, 300_000)
    full, empty = st.just(value=True), st.just(value=False)
    repeating = st.just("with-replacement")
    banks = (
        st.builds(Banks, prefilled=full, underflow=underflow, pushes_per_step=few, **bank)
        | st.builds(Banks, prefilled=empty, underflow=repeating, pushes_per_step=few, **bank)
        | st.builds(Banks, prefilled=empty, underflow=underflow, pushes_per_step=enough, **bank)
    )
    return {
        "num_positive": num_positive,
        "nearest_positives": draw(st.none() | rules),
        "queue": draw(st.just(NoQueue()) | banks),
    }


@st.composite
def masked_autoencoding(draw: st.DrawFn, *, data: Any) -> dict[str, Any]:
    tuned, encoded = draw(st.booleans()), isinstance(data, Latents)
    area, flips = (
        (st.just(1.0), st.sampled_from([False])) if encoded else (st.floats(0.1, 1), st.booleans())
    )
    tuning = st.builds(ClassifierTuning, first_step=st.just(0), weight=FRACTION)
    return {
        "data": data,
        "network": Mae(
            width=draw(COUNTS),
            blocks=draw(st.tuples(*[st.integers(1, 9)] * 4)),
            patch=1 if encoded else draw(st.sampled_from([1, 2])),
            num_classes=10 if tuned else 0,
        ),
        "objective": draw(
            st.builds(
                MaskedAutoencoding,
                mask_ratio=st.floats(0.1, 0.9),
                batch_size=COUNTS,
                least_area=area,
                flip=flips,
                classify=tuning if tuned else st.none(),
            )
        ),
    }


@st.composite
def map_keys(draw: st.DrawFn, taps: st.SearchStrategy[list[str]]) -> tuple[MapKeys, ...]:
    statistics = draw(st.lists(st.sampled_from(STATISTICS), min_size=1, unique=True))
    return (MapKeys(taps=tuple(draw(taps)), statistics=tuple(statistics)),)


@st.composite
def encoders(draw: st.DrawFn, *, data: Any) -> Any:
    """An encoder of such data."""
    upstream = draw(masked_autoencoding(data=data))
    taps = st.lists(st.sampled_from(mae_taps(upstream["network"].blocks)), unique=True)
    every: list[st.SearchStrategy[Any]] = [
        st.builds(
            ConvEncoder,
            seed=SEEDS,
            features=st.just(()) | map_keys(st.just([])),
            flip=st.booleans(),
            precision=st.sampled_from(["float32", "bfloat16"]),
        ),
        st.builds(
            PretrainedEncoder,
            run=trainings().map(lambda train: Spec(schema=1, **upstream, train=train)),
            features=map_keys(taps),
            norm_x=st.booleans(),
        ),
    ]
    if not isinstance(data, FashionMnist | Latents):
        names = st.lists(st.sampled_from(["stages.0", "stages.1"]), min_size=1, unique=True)
        every.append(
            st.builds(
                LibraryEncoder,
                library=st.sampled_from(["torchvision", "timm"]),
                model=st.just("resnet18"),
                path=st.just("weights.safetensors"),
                digest=DIGESTS,
                features=map_keys(names),
                standardize=st.booleans(),
            )
            | st.builds(
                LibraryEncoder,
                library=st.just("timm"),
                model=st.just("resnet18"),
                path=st.just("weights.safetensors"),
                digest=DIGESTS,
                features=st.just((MapKeys(taps=("stages.0",), statistics=("std",)),)),
                standardize=st.just(value=True),
                unstandardized=st.just(("stages.0",)),
            )
        )
    single = st.one_of(every)
    names = st.lists(st.sampled_from(["a", "b-2"]), min_size=1, unique=True)
    several = names.flatmap(
        lambda some: st.tuples(
            *(st.builds(Member, name=st.just(each), encoder=single) for each in some)
        )
    )
    return draw(single | st.builds(SeveralEncoders, members=several))


@st.composite
def drifting_on_images(draw: st.DrawFn) -> dict[str, Any]:
    encoded = draw(st.booleans())
    every: list[Any] = [Cifar10(), FashionMnist(split="test"), StandIn()]
    data = draw(st.sampled_from(every) | latents())
    cropped = not isinstance(data, Latents) and draw(st.booleans())
    return {
        "data": data,
        "network": draw(
            st.builds(
                ConvGenerator,
                channels=st.lists(st.integers(1, 99), min_size=1, max_size=4).map(tuple),
                precision=st.sampled_from(["float32", "bfloat16"]),
            )
            | dits()
        ),
        "encoder": draw(encoders(data=data)) if encoded else None,
        "objective": Drifting(
            features=("pixels", "encoder") if encoded else ("pixels",),
            temperatures=tuple(draw(st.sets(POSITIVE, min_size=1, max_size=4))),
            num_classes_per_step=draw(st.integers(1, 10)),
            num_generated=draw(COUNTS),
            alpha=draw(alphas()),
            **draw(readings()),
            pixels_rule=draw(st.sampled_from([None, "algorithm-2"])),
            least_area=0.2 if cropped else 1.0,
            flip=cropped,
            **draw(reals()),
        ),
    }


@st.composite
def drifting_on_points(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "data": draw(
            st.builds(Checkerboard, noise=FRACTION) | st.builds(SwissRoll) | st.builds(Bimodal)
        ),
        "network": draw(st.builds(Mlp, hidden=st.lists(COUNTS, min_size=1).map(tuple))),
        "objective": Drifting(num_classes_per_step=1, num_unconditional=0, alpha=FixedAlpha()),
    }


def conditions() -> st.SearchStrategy[Any]:
    """What tells ten classes apart."""
    tables = st.builds(
        VectorTable,
        path=st.just("table.npz"),
        digest=DIGESTS,
        num_tokens=st.integers(1, 4),
        dim=COUNTS,
        scaling=st.sampled_from(["raw", "unit", "centred", "standardised"]),
    )
    return st.just(Labels()) | tables | st.builds(RandomTable, dim=COUNTS, seed=SEEDS)


@st.composite
def conditional_denoising(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.integers(1, 32))
    widths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    enters = st.sampled_from(["embedding", "cross-attention"])
    plain = st.builds(
        UNet2DConditional,
        condition=conditions(),
        enters=enters,
        channels=st.just(tuple(groups * width for width in widths)),
        attention=st.just((True,) * len(widths)),
        norm_groups=st.just(groups),
        dropout=FRACTION,
    )
    logged = st.builds(UNetStl10, condition=conditions(), enters=enters)
    return {
        "data": draw(st.sampled_from([Cifar10(), Digits(), FashionMnist()])),
        "network": draw(plain | logged),
        "objective": draw(
            st.builds(
                Denoise,
                prediction=st.sampled_from(["epsilon", "v", "sample"]),
                batch_size=COUNTS,
                condition_dropout=st.floats(0.01, 1),
            )
        ),
    }


@st.composite
def denoising(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.integers(1, 32))
    widths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    linear = st.tuples(st.floats(1e-9, 0.1), st.floats(0.2, 0.9)).map(
        lambda two: LinearSchedule(beta_start=two[0], beta_end=two[1])
    )
    data = draw(st.sampled_from([Cifar10(), Digits(), FashionMnist()]))
    networks: st.SearchStrategy[Any] = st.just(
        UNet2D(
            channels=tuple(groups * width for width in widths),
            attention=tuple(draw(st.booleans()) for _ in widths),
            norm_groups=groups,
            dropout=draw(FRACTION),
        )
    )
    if data != FashionMnist():
        networks |= st.builds(
            UNetCifar32,
            base_channels=st.sampled_from([32, 64]),
            time_embedding=st.sampled_from(["standard", "inverted"]),
        )
    return {
        "data": data,
        "network": draw(networks),
        "objective": draw(
            st.builds(
                Denoise,
                prediction=st.sampled_from(["epsilon", "v", "sample"]),
                schedule=linear | st.builds(CosineSchedule),
                batch_size=COUNTS,
                weighting=st.builds(UniformWeighting)
                | st.builds(MinSnr, gamma=POSITIVE, normalized=st.booleans()),
            )
        ),
    }


@st.composite
def edm_denoising(draw: st.DrawFn) -> dict[str, Any]:
    groups = draw(st.integers(1, 32))
    widths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    codecs: list[Codec] = [Identity(), TorusPyramid(), TorusPyramid(factors=(1, 4))]
    codec = draw(st.sampled_from(codecs))
    augment = draw(st.none() | st.builds(Augmentation, probability=FRACTION))
    return {
        "data": draw(st.sampled_from([Cifar10(), Digits(), FashionMnist()])),
        "network": UNet2DSigma(
            num_scales=num_scales(codec),
            told_changes=augment is not None,
            channels=tuple(groups * width for width in widths),
            attention=tuple(draw(st.booleans()) for _ in widths),
            norm_groups=groups,
        ),
        "objective": Edm(
            codec=codec,
            sigma_data=draw(POSITIVE),
            noise=LogNormalNoise(coupled=draw(st.booleans())),
            flip=augment is None and draw(st.booleans()),
            augment=augment,
        ),
    }


def heuns(objective: Edm) -> st.SearchStrategy[Any]:
    """Down any path that as many scales have."""
    ahead = st.integers(0, 20)
    paths: list[st.SearchStrategy[Any]] = [
        st.just(Sync()),
        *(st.builds(kind, ahead=ahead) for kind in (Lead, Truncated, MatchedLead)),
        st.builds(Ratio, ratio=st.floats(1, 9)),
        st.builds(Arctan, scale=POSITIVE),
    ]
    scales = num_scales(objective.codec)
    if scales > 1:
        paths.append(st.tuples(*[ahead] * (scales - 1)).map(lambda each: LeadEach(ahead=each)))
    circle = isinstance(objective.codec, TorusPyramid)
    return st.builds(
        Heun,
        steps=st.integers(2, 100),
        path=st.one_of(paths),
        prior=st.sampled_from(["gaussian", "unit-circle"] if circle else ["gaussian"]),
        churn=st.none() | st.builds(Churn, amount=POSITIVE),
        allow_biased=st.booleans(),
    )


def samplers(objective: Any) -> st.SearchStrategy[Any]:
    if isinstance(objective, Edm):
        return heuns(objective)
    if isinstance(objective, Drifting):
        return st.builds(OneStep, alpha=POSITIVE)
    steps = st.integers(1, 1000)
    return (
        st.builds(Ddpm, steps=steps)
        | st.builds(Ddim, steps=steps, eta=st.floats(0, 1))
        | st.builds(AdjacentStrided, steps=steps, allow_biased=st.booleans())
        | st.builds(MeanScaled, eta=FRACTION)
    )


def references() -> st.SearchStrategy[Any]:
    return (
        st.builds(ShippedReference, digest=DIGESTS)
        | st.builds(FileReference, path=st.just("a/b.safetensors"), digest=DIGESTS)
        | st.builds(DatasetReference, data=st.just(Cifar10(split="test")), num_features=COUNTS)
    )


@st.composite
def evaluations(draw: st.DrawFn, parts: dict[str, Any], *, num_samples: int) -> list[Evaluate]:
    sets: list[st.SearchStrategy[Any]] = [
        st.builds(UniformNoise, num_samples=st.just(num_samples), seed=SEEDS),
        st.builds(FromDataset, data=st.just(Cifar10()), num_samples=st.just(num_samples)),
    ]
    samples = parts and not holds_points(parts["data"])
    if samples and not isinstance(parts["objective"], MaskedAutoencoding):
        sampler = samplers(parts["objective"])
        scales = st.builds(
            ClassifierFree,
            scale=st.floats(0, 9),
            convention=st.sampled_from(["from-null", "from-condition"]),
        )
        sets.append(
            st.builds(
                FromCheckpoint,
                sampler=sampler,
                num_samples=st.just(num_samples),
                guidance=st.none() | scales
                if hasattr(parts["network"], "condition")
                else st.none(),
            )
        )
    names = draw(st.sets(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,9}", fullmatch=True), max_size=4))
    return [
        Evaluate(
            name=name,
            sample=(sample := draw(st.one_of(sets))),
            checkpoints=draw(checkpoints(parts["train"])) if hasattr(sample, "sampler") else None,
            extractor=draw(st.none() | st.just(InceptionV3Compat(inception_weights="none"))),
            reference=draw(st.none() | references()),
        )
        for name in sorted(names)
    ]


def checkpoints(train: Train) -> st.SearchStrategy[Any]:
    existing = checkpoint_steps(train)
    return (
        st.none()
        | st.builds(Checkpoints, last=st.integers(0, min(3, len(existing))))
        | st.sets(st.sampled_from(existing), max_size=3).map(
            lambda some: Checkpoints(steps=tuple(some))
        )
    )


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Any spec that passes every check."""
    parts: dict[str, Any] = draw(
        st.just({})
        | drifting_on_images()
        | drifting_on_points()
        | denoising()
        | edm_denoising()
        | conditional_denoising()
        | (st.sampled_from([Cifar10(), FashionMnist()]) | latents()).flatmap(
            lambda data: masked_autoencoding(data=data)
        )
    )
    if parts:
        parts["train"] = draw(trainings(parts=1 if isinstance(parts["objective"], Drifting) else 8))
    reference = DatasetReference(data=ImageFolder(path="photos", digest=draw(DIGESTS)))
    evaluates = draw(evaluations(parts, num_samples=draw(st.integers(20, 10_000))))
    every: list[Any] = [Fid(), Kid(), Prc(), Isc()]
    metrics = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    spec = Spec(
        schema=1,
        title=draw(TEXT),
        notes=draw(TEXT),
        **parts,
        protocol=Protocol(reference=draw(references()), metrics=(*metrics,)) if evaluates else None,
        evaluate=tuple(evaluates),
        select=_selection(evaluates, metrics),
        reference=None if parts or evaluates else reference,
    )
    assert not list(check(spec))
    return spec


def _selection(evaluates: list[Evaluate], metrics: list[Any]) -> Select | None:
    alike = [
        each.name
        for each in evaluates
        if (each.extractor, each.reference) == (evaluates[0].extractor, evaluates[0].reference)
    ]
    kinds = {each.kind for each in metrics} - {"prc"}
    return Select(among=tuple(alike), primary=f"{min(kinds)}:min") if alike and kinds else None


@st.composite
def toml_texts(draw: st.DrawFn, data: dict[str, Any]) -> str:
    """TOML that says *data*: any key order, comments, tables inline, dotted or under a header."""
    pairs, sections = _written(draw, data, ())
    return "\n".join([*pairs, *sections]) + "\n"


def _written(
    draw: st.DrawFn, table: dict[str, Any], path: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    pairs: list[str] = []
    sections: list[str] = []
    for key in draw(st.permutations(sorted(table))):
        value = table[key]
        written = draw(st.sampled_from([key, f'"{key}"', f"'{key}'"]))
        if isinstance(value, dict) and value and draw(st.booleans()):
            sections.extend(_section(draw, value, (*path, key), "[{}]"))
        elif isinstance(value, dict) and value and draw(st.booleans()):
            pairs.extend(f"{key} . {line}" for line in _lines(draw, value))
        elif _is_tables(value) and draw(st.booleans()):
            for entry in value:
                sections.extend(_section(draw, entry, (*path, key), "[[{}]]"))
        else:
            pairs.append(f"{written} = {_value(draw, value)}{draw(_COMMENTS)}")
    return pairs, sections


_COMMENTS = st.sampled_from(["", "  # a comment", '  # [a] "b" = {c', "\n# a line\n"])


def _lines(draw: st.DrawFn, table: dict[str, Any]) -> list[str]:
    return [f"{key} = {_value(draw, value)}" for key, value in table.items()]


def _section(
    draw: st.DrawFn, table: dict[str, Any], path: tuple[str, ...], header: str
) -> list[str]:
    pairs, sections = _written(draw, table, path)
    return [header.format(".".join(path)), *pairs, *sections]


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _value(draw: st.DrawFn, value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(_lines(draw, value)) + " }"
        case list():
            gap = draw(st.sampled_from([" ", "\n", " # ], \n"]))
            return "[" + gap + "".join(f"{_value(draw, each)},{gap}" for each in value) + "]"
        case bool():
            return str(value).lower()
        case float() if value.is_integer() and abs(value) < 2**53 and draw(st.booleans()):
            return str(int(value))
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return repr(value)
