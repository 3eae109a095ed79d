"""Which function asks which probe of a spec."""

from collections.abc import Mapping

from repro.engine.probes.fixed_seed_grid import fixed_seed_grid
from repro.engine.probes.hessian_trace import hessian_trace
from repro.engine.probes.nearest_neighbours import nearest_neighbours
from repro.engine.probes.point_cloud import point_cloud
from repro.engine.probes.probe import Probe
from repro.spec.probes.fixed_seed_grid import FixedSeedGrid
from repro.spec.probes.hessian_trace import HessianTrace
from repro.spec.probes.nearest_neighbours import NearestNeighbours
from repro.spec.probes.point_cloud import PointCloud

PROBES: Mapping[type, Probe] = {
    FixedSeedGrid: fixed_seed_grid,
    HessianTrace: hessian_trace,
    NearestNeighbours: nearest_neighbours,
    PointCloud: point_cloud,
}
