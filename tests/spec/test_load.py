"""Spec files that extend one another, options of the command line, sweeps, and what is refused."""

from pathlib import Path

import attrs
import pytest

from repro.errors import SpecError
from repro.spec import Spec, load, run_id
from repro.spec.network import ConvGenerator, Mlp
from repro.spec.objective import CosineSchedule, Denoise, LinearSchedule
from repro.spec.train import ConstantEma, CosineLr

DATA = Path(__file__).parents[1] / "data"
INVALID = sorted((DATA / "invalid").glob("*.toml"))
DENOISE = DATA / "valid" / "denoise.toml"


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_spec_gives_its_pinned_message(path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every mistake is named at once: file, line, path, what was expected, the nearest name."""
    monkeypatch.chdir(path.parent)
    expected = path.with_suffix(".error").read_text(encoding="utf-8")

    with pytest.raises(SpecError) as caught:
        load(Path(path.name))

    assert f"{caught.value}\n" == expected


def write(folder: Path, **files: str) -> Path:
    """Write `<name>.toml` files; the first one's path."""
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.toml"


def only(path: Path, *overrides: str) -> Spec:
    [spec] = load(path, overrides=overrides)
    return spec


def extended(tmp_path: Path, text: str) -> Spec:
    base = DENOISE.read_text(encoding="utf-8")
    return only(write(tmp_path, top=f'extends = "base.toml"\n{text}', base=base))


def test_what_is_hashed_is_the_resolved_value(tmp_path: Path):
    """A spec in two files is the run that the same spec in one file is."""
    assert run_id(extended(tmp_path, "")) == run_id(only(DENOISE))


def test_tables_are_merged_key_by_key(tmp_path: Path):
    """A file that extends another says only what differs."""
    spec = extended(tmp_path, "[train]\nlr_schedule.warmup_steps = 7")
    base = only(DENOISE)

    assert spec.train
    assert base.train
    assert spec == attrs.evolve(
        base, train=attrs.evolve(base.train, lr_schedule=CosineLr(warmup_steps=7))
    )


def test_arrays_are_replaced(tmp_path: Path):
    """Entries of two arrays are never mixed."""
    spec = extended(
        tmp_path,
        '[[evaluate]]\nname = "noise"\nsample.kind = "uniform-noise"\nsample.num_samples = 9',
    )

    assert [each.name for each in spec.evaluate] == ["noise"]


def test_another_kind_replaces_the_whole_table(tmp_path: Path):
    """The fields of one kind do not leak into another."""
    linear = extended(tmp_path, '[objective.schedule]\nkind = "linear"\nbeta_end = 0.01')

    assert isinstance(linear.objective, Denoise)
    assert linear.objective.schedule == LinearSchedule(beta_end=0.01)


def test_the_same_kind_is_merged(tmp_path: Path):
    """Saying the kind again changes nothing."""
    spec = extended(tmp_path, '[objective.schedule]\nkind = "cosine"\nnum_levels = 1500')

    assert isinstance(spec.objective, Denoise)
    assert spec.objective.schedule == CosineSchedule(num_levels=1500)


def test_files_may_be_folders_apart_within_one_project(tmp_path: Path):
    """A base may lie above the file, up to the folder that holds `specs`."""
    study = tmp_path / "specs" / "study"
    study.mkdir(parents=True)
    (tmp_path / "base.toml").write_text(DENOISE.read_text("utf-8"), encoding="utf-8")

    spec = only(write(study, top='extends = "../../base.toml"'))

    assert run_id(spec) == run_id(only(DENOISE))


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("'top.toml'", r"top\.toml:2: extends: goes in a circle: top\.toml -> top\.toml"),
        ("'two.toml'", r"two\.toml:1: extends: goes in a circle: top.toml -> two.toml -> top.toml"),
        ("'none.toml'", r"top\.toml:2: extends: .*none\.toml: cannot be read: No such file"),
        ("'../out.toml'", r"top\.toml:2: extends: .*out\.toml is outside the project .*inside"),
        ("'linked.toml'", r"top\.toml:2: extends: .*out\.toml is outside the project"),
        ("'loop.toml'", r"top\.toml:2: extends: .*loop\.toml: cannot be read: Too many levels"),
        ("'.'", r"top\.toml:2: extends: .*: expected a file"),
        ("'a\\0b'", r"top\.toml:2: extends: .*: cannot be read"),
        ("'" + "a" * 5000 + "'", r"top\.toml:2: extends: .*: cannot be read: File name too long"),
        ("'/etc/hostname'", r"top\.toml:2: extends: expected a path relative to this file"),
        ("''", r"top\.toml:2: extends: expected a path"),
        ("['a', 'b']", r"top\.toml:2: extends: expected a path"),
    ],
)
def test_a_base_that_cannot_be_read_is_refused(tmp_path: Path, extends: str, message: str):
    """Circles, missing files, links in a loop and paths out of the project are named."""
    inside = tmp_path / "inside"
    inside.mkdir()
    write(tmp_path, out="schema = 1")
    (inside / "loop.toml").symlink_to("loop.toml")
    (inside / "linked.toml").symlink_to("../out.toml")
    quoted = extends.replace("'", '"').replace("\\0", "\\u0000")
    top = write(inside, top=f"# comment\nextends = {quoted}", two='extends = "top.toml"')

    with pytest.raises(SpecError, match=message):
        load(top)


def test_a_chain_of_files_has_an_end(tmp_path: Path):
    """Files that extend one another without end are refused."""
    chain = {f"f{n}": f'extends = "f{n + 1}.toml"' for n in range(40)}

    with pytest.raises(SpecError, match="at most 32 files"):
        load(write(tmp_path, **chain))


def test_deep_tables_are_merged(tmp_path: Path):
    """Two files that nest as deep as is allowed are merged and judged."""
    deep = ".".join(["a"] * 32) + " = 1"

    with pytest.raises(SpecError, match=r"top\.toml:2: a: unknown key"):
        load(write(tmp_path, top=f'extends = "base.toml"\n{deep}', base=deep))


def test_a_mistake_is_found_in_the_file_that_made_it(tmp_path: Path):
    """A line belongs to the file that set the key last."""
    base = "schema = 1\n[train]\nsteps = 0\nseed = 1\nlr = 0"
    top = write(tmp_path, top='extends = "base.toml"\ntrain.lr = -1', base=base)

    with pytest.raises(SpecError) as caught:
        load(top)

    lines = str(caught.value).replace(str(tmp_path), ".").split("\n")
    assert "./base.toml:3: train.steps: expected at least 1, got 0" in lines
    assert "./top.toml:2: train.lr: expected a number above 0, got -1.0" in lines


def test_a_replaced_table_leaves_no_lines_behind(tmp_path: Path):
    """What is missing in a replaced table is missing there, not where the old one had it."""
    base = 'schema = 1\nreference.kind = "file"\nreference.path = "a"\nreference.digest = ""'
    top = write(tmp_path, top='extends = "base.toml"\n[reference]\nkind = "dataset"', base=base)

    with pytest.raises(SpecError, match=r"top\.toml:2: reference\.data: missing, expected a table"):
        load(top)


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("train.seed=7", ("train", "seed"), 7),
        ("train.lr = 0.5", ("train", "lr"), 0.5),
        ("train.lr=1", ("train", "lr"), 1.0),
        ("title=two words", ("title",), "two words"),
        ('title="quoted # text"', ("title",), "quoted # text"),
        ("title=a=b", ("title",), "a=b"),
        ("objective.prediction=v", ("objective", "prediction"), "v"),
        ("network.channels=[32,64,64]", ("network", "channels"), (32, 64, 64)),
        ("evaluate.0.sample.seed=5", ("evaluate", 0, "sample", "seed"), 5),
        ("evaluate.ddim.sample.seed=5", ("evaluate", 1, "sample", "seed"), 5),
        ("evaluate.'ddim'.sample.seed = 5", ("evaluate", 1, "sample", "seed"), 5),
        ("title=1\nb=2", ("title",), "1\nb=2"),
        ("evaluate.1.checkpoints.steps.0=10000", ("evaluate", 1, "checkpoints", "steps", 0), 10000),
        ("train.weight_decay=0.25", ("train", "weight_decay"), 0.25),
        ("objective.schedule={kind='linear'}", ("objective", "schedule"), LinearSchedule()),
    ],
)
def test_set_replaces_one_value(option: str, path: tuple[str | int, ...], value: object):
    """An option sets a value by its path; array entries go by index or by name."""
    found: object = only(DENOISE, option)
    for step in path:
        found = found[step] if isinstance(found, tuple) else getattr(found, str(step))  # type: ignore[index]

    assert found == value


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("train.seed", r"--set train\.seed: expected a\.b=value"),
        ("=1", r"--set =1: expected a\.b=value"),
        ("train..seed=1", r"expected a\.b=value"),
        ("train.=1", r"expected a\.b=value"),
        ("[train]\nseed=1", r"expected a\.b=value"),
        (".".join("a" * 2000) + "=1", r"expected a\.b=value"),
        ("train.sed=1", r"--set train\.sed=1: train\.sed: unknown key, did you mean 'seed'\?"),
        (
            "train.seed=yes",
            r"--set train\.seed=yes: train\.seed: expected a whole number, got 'yes'",
        ),
        ("train.seed.x=1", r"train\.seed is a value, not a table"),
        ("evaluate.9.sample.seed=1", r"evaluate has no entry '9', .*one of: ddim, ddpm"),
        ("evaluate.dim.sample.seed=1", r"evaluate has no entry 'dim', did you mean 'ddim'\?"),
        ("network.channels.3=1", r"network\.channels has no entry '3', expected 0 to 2"),
        ("network.kind=mlp", r"--set network\.kind=mlp"),
        ("extends=a.toml", r"--set extends=a\.toml: extends: can be said only in a file"),
        ("sweep.extends=['a']", r"sweep\.extends: extends can be said only in a file"),
    ],
)
def test_a_wrong_option_is_refused(option: str, message: str):
    """An option that sets nothing says why."""
    with pytest.raises(SpecError, match=message):
        load(DENOISE, overrides=[option])


def test_options_come_one_after_another():
    """The last of two options holds."""
    spec = only(DENOISE, "train.seed=1", "train.seed=2")

    assert spec.train
    assert spec.train.seed == 2


def test_a_kind_set_by_option_replaces_the_table(tmp_path: Path):
    """A whole component may be given as an inline table."""
    path = write(tmp_path, toy=(DATA / "valid" / "toy.toml").read_text("utf-8"))

    assert only(path, "network={kind='mlp', hidden=[4]}").network == Mlp(hidden=(4,))
    with pytest.raises(SpecError, match="makes images, but swiss-roll holds points"):
        only(path, f"network={{kind='{ConvGenerator.kind}'}}")


def test_another_kind_set_by_option_replaces_the_table():
    """A kind by itself brings its own defaults, as in a file that extends another."""
    spec = only(DENOISE, "train.ema.kind=constant", "train.lr_schedule.kind=cosine")

    assert spec.train
    assert spec.train.ema == ConstantEma()
    assert spec.train.lr_schedule == CosineLr(warmup_steps=500)


def swept(tmp_path: Path, text: str, *overrides: str) -> list[tuple[float, int]]:
    """The rate and seed of each spec."""
    body = DENOISE.read_text(encoding="utf-8")
    specs = load(write(tmp_path, a=f"{body}\n[sweep]\n{text}"), overrides=overrides)
    return [(spec.train.lr, spec.train.seed) for spec in specs if spec.train]


def test_a_sweep_is_every_combination_in_order(tmp_path: Path):
    """The last path varies fastest."""
    found = swept(tmp_path, '"train.lr" = [1, 2]\ntrain.seed = [0, 1]')

    assert found == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 1)]


def test_equal_combinations_are_one_spec(tmp_path: Path):
    """A run is named once, however often a sweep comes by it."""
    assert swept(tmp_path, "train.lr = [1, 1.0, 2]") == [(1.0, 0), (2.0, 0)]


def test_an_option_holds_for_a_whole_sweep(tmp_path: Path):
    """What the command line says, comes last."""
    found = swept(tmp_path, "train.lr = [1, 2]\ntrain.seed = [0, 1]", "train.seed=5")

    assert found == [(1.0, 5), (2.0, 5)]


def test_a_sweep_may_come_from_the_command_line(tmp_path: Path):
    """An option may replace or add an axis."""
    found = swept(tmp_path, "train.lr = [1, 2]", "sweep.train.lr=[3]", "sweep.train.seed=[0, 1]")

    assert found == [(3.0, 0), (3.0, 1)]


def test_a_name_with_a_dot_is_quoted(tmp_path: Path):
    """An entry of an array whose name has a dot is one part of a path."""
    text = DENOISE.read_text(encoding="utf-8").replace(
        '"ddim"\ncheckpoints', '"eta-0.5"\ncheckpoints'
    )
    path = write(tmp_path, a=f"{text}\n[sweep]\n\"evaluate.'eta-0.5'.sample.seed\" = [1, 2]")

    seeds = [spec.evaluate[1].sample.seed for spec in load(path)]
    [swept] = load(path, overrides=['evaluate."eta-0.5".sample.seed=3'])

    assert seeds == [1, 2]
    assert swept.evaluate[1].sample.seed == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.sed = [1]", r"a\.toml:\d+: train\.sed: unknown key, did you mean 'seed'\?"),
        ("optimizer.lr = [1]", r"a\.toml:\d+: optimizer: unknown key"),
        ("train.seed = [1, -1]", r"a\.toml:\d+: train\.seed: expected at least 0, got -1"),
        ("train.seed = 1", r"a\.toml:\d+: sweep\.train\.seed: expected an array of values, got 1"),
        ("train.seed = []", r"a\.toml:\d+: sweep\.train\.seed: expected an array of values"),
        ("", r"a\.toml:\d+: sweep: expected an array of values"),
        ("evaluate.dim.sample.seed = [1]", r"evaluate has no entry 'dim', did you mean 'ddim'"),
        (
            "extends = ['b.toml']",
            r"a\.toml:\d+: sweep\.extends: extends can be said only in a file",
        ),
        ("sweep.train.seed = [1]", r"sweep\.train\.seed: sweep can be said only in a file"),
        ('"sweep.train.seed" = [1]', r"a\.toml:\d+: .*: sweep can be said only in a file"),
    ],
)
def test_a_sweep_over_nothing_is_refused(tmp_path: Path, text: str, message: str):
    """A path that does not exist, or no values, is a mistake at its line."""
    with pytest.raises(SpecError, match=message):
        swept(tmp_path, text)
