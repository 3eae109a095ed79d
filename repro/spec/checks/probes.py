"""What probes must agree on with the training, and with the images that they look at."""

from collections.abc import Iterator

from repro.spec.document import Spec
from repro.spec.layout import holds_points
from repro.spec.objective import Denoise, Drifting
from repro.spec.probes.hessian_trace import HessianTrace
from repro.spec.probes.nearest_neighbours import NearestNeighbours
from repro.spec.probes.point_cloud import PointCloud
from repro.spec.problems import Problem
from repro.spec.sample import FromCheckpoint


def _something_is_probed(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        needs = getattr(probe, "asks_network", True) and getattr(probe, "sample", None) is None
        if spec.train is None and needs:
            yield Problem(("probe", index), "asks a trained network, but there is no [train]")


def _neighbours_are_known(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        if not isinstance(probe, NearestNeighbours) or probe.data:
            continue
        path = ("probe", index, "data")
        if not isinstance(probe.sample, FromCheckpoint):
            msg = f"missing, {probe.sample.kind} samples come from no training whose data they are"
            yield Problem(path, f"{msg} held against")
        elif holds_points(spec.data):
            yield Problem(path, "the training's data are points; expected images")


def _points_are_there(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        if isinstance(probe, PointCloud) and spec.data and not holds_points(spec.data):
            msg = f"looks at points, but {spec.data.kind} holds none"
            yield Problem(("probe", index, "kind"), msg)


def _a_curvature_exists(spec: Spec) -> Iterator[Problem]:
    for index, probe in enumerate(spec.probe):
        if not isinstance(probe, HessianTrace):
            continue
        path = ("probe", index)
        match spec.objective:
            case Drifting():
                msg = (
                    "drifting follows a field that is no derivative of its loss: it has no Hessian"
                )
                yield Problem((*path, "kind"), msg)
            case Denoise(schedule=schedule):
                levels = getattr(schedule, "num_levels", probe.num_bands)
                if probe.num_bands > levels:
                    msg = f"expected at most num_levels = {levels}, got {probe.num_bands}"
                    yield Problem((*path, "num_bands"), msg)
            case objective if objective and probe.num_bands:
                msg = f"{objective.kind} has no numbered noise levels, expected 0"
                yield Problem((*path, "num_bands"), f"{msg}, got {probe.num_bands}")
            case _:
                pass


CHECKS = (
    (("data", "probe"), _points_are_there),
    (("train", "probe"), _something_is_probed),
    (("data", "probe"), _neighbours_are_known),
    (("objective", "probe"), _a_curvature_exists),
)
