"""Runs that a spec builds on, named by their spec files."""

import json
from pathlib import Path

import attrs
import pytest

from repro import digest
from repro.errors import SpecError
from repro.spec import (
    Spec,
    canonical_spec,
    dump,
    load,
    rehearsal,
    run_id,
    spec_of,
    stages,
    structure,
)
from repro.spec.data import StandIn
from repro.spec.encoder import PretrainedEncoder
from repro.spec.map_keys import MapKeys
from repro.spec.network import ConvEncoder, Mae
from repro.spec.written import as_toml

VALID = Path(__file__).parents[1] / "data" / "valid"
GENERATOR, MAE = VALID / "pretrained.toml", VALID / "mae.toml"


def only(path: Path, *overrides: str) -> Spec:
    [spec] = load(path, overrides=overrides)
    return spec


def encoder_of(spec: Spec) -> PretrainedEncoder:
    assert isinstance(spec.encoder, PretrainedEncoder)
    return spec.encoder


def write(folder: Path, *, upstream: str = "mae.toml", **files: str) -> Path:
    """The generator's spec in a folder, building on *upstream*, beside the autoencoder's."""
    texts = {"mae": MAE.read_text("utf-8"), **files}
    texts["top"] = GENERATOR.read_text("utf-8").replace("mae.toml", upstream)
    for name, text in texts.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")
    return folder / "top.toml"


def test_the_upstream_run_is_that_of_its_file():
    """The value under `run` is the spec that the file alone is."""
    assert encoder_of(only(GENERATOR)).run == only(MAE)


def test_the_identity_holds_the_upstream_runs():
    """The part of the canonical bytes that is the upstream run gives its very id."""
    held = json.loads(canonical_spec(only(GENERATOR)))["encoder"]["run"]

    assert digest.xxh3_128(digest.canonical(held)) == run_id(only(MAE))


def test_the_path_of_the_file_is_in_no_id(tmp_path: Path):
    """The same upstream run under another name and in another folder is the same run."""
    moved = write(
        tmp_path, upstream="encoders/w64.toml", **{"encoders/w64": MAE.read_text("utf-8")}
    )

    assert run_id(only(moved)) == run_id(only(GENERATOR))


def test_another_upstream_run_is_another_run(tmp_path: Path):
    """A changed width of the autoencoder moves the id of the generator and of its training."""
    wider = write(tmp_path, mae=MAE.read_text("utf-8").replace("width = 64", "width = 96"))
    here, there = only(GENERATOR), only(wider)

    assert run_id(here) != run_id(there)
    assert stages(here)[-1].stage_id != stages(there)[-1].stage_id


def test_the_stages_of_the_upstream_run_join_the_plan():
    """They are its own, with their own ids, and equal work is there once."""
    plan = stages(only(GENERATOR))

    assert [each.kind for each in plan] == ["prepare", "train", "export", "train"]
    assert plan[:3] == stages(only(MAE))
    assert plan[3].inputs == (plan[0].stage_id, plan[2].stage_id)


def test_what_is_compared_moves_only_the_generator():
    """Other keys of the same encoder train another generator on the same export."""
    overrides = ['encoder.features=[{ taps = ["layer4"] }]', "encoder.norm_x=false"]
    plans = [stages(only(GENERATOR, *some)) for some in ((), overrides[:1], overrides[1:])]

    assert len({plan[-1].stage_id for plan in plans}) == 3
    assert len({plan[2].stage_id for plan in plans}) == 1


def test_a_record_gives_the_upstream_run_back():
    """A recorded run is read without its files."""
    spec = only(GENERATOR)
    again = spec_of(canonical_spec(spec), recorded_id=run_id(spec))

    assert encoder_of(again).run == attrs.evolve(only(MAE), title="")
    assert stages(again) == stages(spec)


def test_a_spec_written_as_one_file_is_the_same_run(tmp_path: Path):
    """`run` may stand in the file in full: a rerun writes it so."""
    path = tmp_path / "whole.toml"
    path.write_text(as_toml(only(GENERATOR)), encoding="utf-8")

    assert only(path) == only(GENERATOR)


def test_a_base_names_a_file_beside_itself(tmp_path: Path):
    """The path is relative to the file that says it, not to the one that extends it."""
    write(tmp_path / "base")
    top = tmp_path / "specs" / "top.toml"  # the folder `specs` marks tmp_path as a project
    top.parent.mkdir()
    top.write_text('extends = "../base/top.toml"\n', encoding="utf-8")

    assert run_id(only(top)) == run_id(only(GENERATOR))


def test_an_option_names_a_file_beside_the_spec(tmp_path: Path):
    """`--set encoder.from=...` is read as if the spec said so."""
    other = MAE.read_text("utf-8").replace("width = 64", "width = 96")
    path = write(tmp_path, **{"more/wide": other})
    network = encoder_of(only(path, "encoder.from=more/wide.toml")).run.network

    assert isinstance(network, Mae)
    assert network.width == 96


def test_a_sweep_over_files_is_a_sweep_over_encoders(tmp_path: Path):
    """Two autoencoders make two runs of one generator."""
    other = MAE.read_text("utf-8").replace("width = 64", "width = 96")
    path = write(tmp_path, wide=other)
    swept = path.read_text("utf-8") + '\n[sweep]\nencoder.from = ["mae.toml", "wide.toml"]\n'
    path.write_text(swept, encoding="utf-8")

    widths = [encoder_of(each).run.network.width for each in load(path)]  # type: ignore[union-attr]
    assert widths == [64, 96]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("absent.toml", "absent.toml: cannot be read: No such file"),
        ("top.toml", "goes in a circle: top.toml -> top.toml"),
        ("two.toml", "two.toml describes 2 runs, expected one; name a file without \\[sweep\\]"),
        ("/etc/mae.toml", "expected the spec file of the run to build on, relative to this file"),
        ("broken.toml", r"broken\.toml:4: data\.kind: unknown kind 'cifar11'"),
    ],
)
def test_a_file_that_names_no_run_is_refused(tmp_path: Path, named: str, message: str):
    """The line that names the file is told, or the line in it that is wrong."""
    text = MAE.read_text("utf-8")
    path = write(
        tmp_path,
        upstream=named,
        two=f"{text}\n[sweep]\ntrain.seed = [1, 2]\n",
        broken=text.replace("cifar10", "cifar11", 1).split("[network]")[0].replace("\n\n", "\n"),
    )

    with pytest.raises(SpecError, match=message):
        load(path)


def test_a_missing_file_is_told_with_its_line(tmp_path: Path):
    """Editors jump to it."""
    path = write(tmp_path, upstream="absent.toml")

    with pytest.raises(SpecError, match=r"top\.toml:9: encoder\.from: "):
        load(path)


def test_a_pretrained_encoder_must_name_its_run(tmp_path: Path):
    """Without `from` there is nothing to read."""
    path = write(tmp_path)
    path.write_text(path.read_text("utf-8").replace('from = "mae.toml"\n', ""), encoding="utf-8")

    with pytest.raises(SpecError, match=r"top\.toml:7: encoder\.from: expected .* got nothing"):
        load(path)


def test_a_circle_of_upstream_runs_is_refused(tmp_path: Path):
    """Two files that build on each other have no first."""
    path = write(tmp_path, upstream="other.toml")
    back = path.read_text("utf-8").replace("other.toml", "top.toml")
    (tmp_path / "other.toml").write_text(back, encoding="utf-8")

    with pytest.raises(SpecError, match=r"goes in a circle: top\.toml -> other\.toml -> top\.toml"):
        load(path)


def test_a_rehearsal_rehearses_the_upstream_run():
    """The autoencoder is small, too, and every stage is there."""
    spec = only(GENERATOR)
    small = rehearsal(spec)

    assert encoder_of(small).run == rehearsal(only(MAE))
    assert encoder_of(small).run.network == Mae(width=8, num_classes=10)
    assert [each.kind for each in stages(small)] == [each.kind for each in stages(spec)]


def test_several_encoders_are_below_one_training():
    """One is exported by another run, one comes with a library; names tell their keys apart."""
    plan = stages(only(VALID / "several.toml"))

    kinds = ["prepare", "train", "export", "encoder", "train"]
    assert [each.kind for each in plan] == kinds
    assert plan[-1].inputs == tuple(plan[index].stage_id for index in (0, 2, 3))
    assert [each.name for each in plan[-1].spec.encoders] == ["mae", "convnext"]


def test_several_encoders_are_rehearsed():
    """Each of them is small, and needs nothing."""
    small = rehearsal(only(VALID / "several.toml"))

    assert [each.kind for each in stages(small)] == [
        *("prepare", "train", "export", "encoder", "train")
    ]


def test_a_rehearsal_on_files_suits_the_patches_of_every_autoencoder(tmp_path: Path):
    """Patches of eight pixels need more of them than a generator of 32 makes."""
    text = MAE.read_text("utf-8").replace("width = 64", "width = 64\npatch = 8")
    folder = f'kind = "image-folder"\npath = "photos"\ndigest = "sha256:{"0" * 64}"'
    path = write(tmp_path, mae=text.replace('kind = "cifar10"', folder))
    path.write_text(path.read_text("utf-8").replace('kind = "cifar10"', folder), encoding="utf-8")

    small = rehearsal(only(path))

    for each in (small, encoder_of(small).run):
        assert isinstance(each.data, StandIn)
        assert (each.data.height, each.data.width) == (96, 96)
    assert structure(dump(small)) == small


def test_a_rehearsal_needs_no_library():
    """A small encoder of our own stands in for one whose weights are a file."""
    small = rehearsal(only(VALID / "library.toml"))

    assert isinstance(small.encoder, ConvEncoder)


def test_an_inline_run_is_checked_like_a_file(tmp_path: Path):
    """A mistake inside the upstream run is found where it stands."""
    path = tmp_path / "whole.toml"
    text = as_toml(only(GENERATOR)).replace('"first_step" = 9000', '"first_step" = 10000')
    path.write_text(text, encoding="utf-8")

    with pytest.raises(
        SpecError, match=r"encoder\.run\.objective\.classify\.first_step: expected less than"
    ):
        load(path)


def test_keys_are_all_by_default():
    """A generator that says nothing compares every statistic of every map."""
    assert MapKeys().taps == ()
    assert MapKeys().statistics == ("locations", "mean-std", "patches-2", "patches-4")
