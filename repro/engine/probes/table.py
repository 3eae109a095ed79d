"""Which function asks which probe of a spec."""

from collections.abc import Mapping

from repro.engine.probes.autoencoding import autoencoding
from repro.engine.probes.call_cost import call_cost
from repro.engine.probes.class_grid import class_grid
from repro.engine.probes.condition_map import condition_map
from repro.engine.probes.denoising_collage import denoising_collage
from repro.engine.probes.fixed_seed_grid import fixed_seed_grid
from repro.engine.probes.gaussian_path import gaussian_path
from repro.engine.probes.hessian_trace import hessian_trace
from repro.engine.probes.jacobian_heatmap import jacobian_heatmap
from repro.engine.probes.label_sensitivity import label_sensitivity
from repro.engine.probes.nearest_neighbours import nearest_neighbours
from repro.engine.probes.point_cloud import point_cloud
from repro.engine.probes.probe import Probe
from repro.engine.probes.reconstruction import reconstruction
from repro.spec.probes.denoising import (
    Autoencoding,
    CallCost,
    ClassGrid,
    ConditionMap,
    DenoisingCollage,
    LabelSensitivity,
    Reconstruction,
)
from repro.spec.probes.fixed_seed_grid import FixedSeedGrid
from repro.spec.probes.gaussian_path import GaussianPath
from repro.spec.probes.hessian_trace import HessianTrace
from repro.spec.probes.jacobian_heatmap import JacobianHeatmap
from repro.spec.probes.nearest_neighbours import NearestNeighbours
from repro.spec.probes.point_cloud import PointCloud

PROBES: Mapping[type, Probe] = {
    FixedSeedGrid: fixed_seed_grid,
    GaussianPath: gaussian_path,
    HessianTrace: hessian_trace,
    JacobianHeatmap: jacobian_heatmap,
    NearestNeighbours: nearest_neighbours,
    Autoencoding: autoencoding,
    ClassGrid: class_grid,
    ConditionMap: condition_map,
    DenoisingCollage: denoising_collage,
    CallCost: call_cost,
    LabelSensitivity: label_sensitivity,
    PointCloud: point_cloud,
    Reconstruction: reconstruction,
}
