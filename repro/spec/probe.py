"""Questions to a trained network beside its evaluations: measured and kept, never evidence.

A probe reads a recorded checkpoint, so it cannot disturb the training that left it.
"""

from repro.spec.probes.denoising import Diagnostic
from repro.spec.probes.fixed_seed_grid import FixedSeedGrid
from repro.spec.probes.gaussian_path import GaussianPath
from repro.spec.probes.hessian_trace import HessianTrace
from repro.spec.probes.jacobian_heatmap import JacobianHeatmap
from repro.spec.probes.nearest_neighbours import NearestNeighbours
from repro.spec.probes.point_cloud import PointCloud

Probe = (
    FixedSeedGrid
    | GaussianPath
    | HessianTrace
    | JacobianHeatmap
    | NearestNeighbours
    | PointCloud
    | Diagnostic
)
