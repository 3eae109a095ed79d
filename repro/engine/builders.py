"""What every kind of a spec becomes: one page.

A kind that an installed package brings (entry-point group `repro.spec.<slot>`) is built by the
function that the same package names under the same kind in the group `repro.engine`; it takes the
arguments of its slot below.

- data set: `(spec, cache)` -> `Images` or `Points`; latents are made by their stage
- autoencoder: `(spec)` -> a module, frozen, with `encode` and `decode` as diffusers has them
- network: `(spec, shape)` -> a module, untrained; shape is (channels, height, width), or (2,). A
  generator is called with what `randomness_of` its spec says, and for images with labels and
  guidance scales after the noise
- encoder: `(spec, shape, num_classes)` -> a module with `features`
- objective: `(spec, materials)` -> an `Objective`
- queue: `(spec, labels)` -> a `Reals`; labels are those of the data set [N]
- sampler: see `samplers.sampler.Sampler`
- probe: see `probes.probe.Probe`
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from repro.engine.datasets import LOADERS, EncodedImages, Images, Points
from repro.engine.installed import installed_builder
from repro.engine.latents.autoencoder import trained_autoencoder, untrained_autoencoder
from repro.engine.networks.conditional import unet2d_conditional
from repro.engine.networks.conv_encoder import conv_encoder
from repro.engine.networks.conv_generator import conv_generator
from repro.engine.networks.dit import dit
from repro.engine.networks.kl_autoencoder import kl_autoencoder
from repro.engine.networks.mae import mae
from repro.engine.networks.mlp import mlp
from repro.engine.networks.unet2d import unet2d
from repro.engine.networks.unet2d_sigma import unet2d_sigma
from repro.engine.networks.unet_cifar32 import unet_cifar32
from repro.engine.networks.unet_stl10 import unet_stl10
from repro.engine.objectives.denoise import denoise
from repro.engine.objectives.drifting import drifting
from repro.engine.objectives.edm import edm
from repro.engine.objectives.kl_autoencoding import kl_autoencoding
from repro.engine.objectives.masked_autoencoding import masked_autoencoding
from repro.engine.probes.table import PROBES
from repro.engine.reals.table import REALS
from repro.engine.samplers.table import SAMPLERS
from repro.spec.autoencoder import AutoencoderKl, UntrainedAutoencoderKl
from repro.spec.conditional import UNet2DConditional, UNetStl10
from repro.spec.edm import Edm, UNet2DSigma
from repro.spec.kl import KlAutoencoder, KlAutoencoding
from repro.spec.network import ConvEncoder, ConvGenerator, Dit, Mae, Mlp, UNet2D
from repro.spec.objective import Denoise, Drifting, MaskedAutoencoding
from repro.spec.unet_cifar32 import UNetCifar32


@frozen(kw_only=True, eq=False)
class Materials:
    """What an objective may draw on; the encoder is trained, or None."""

    data: Images | EncodedImages | Points
    network: Any
    encoder: Any


BUILDERS: Mapping[type, Callable[..., Any]] = {
    **LOADERS,
    AutoencoderKl: trained_autoencoder,
    UntrainedAutoencoderKl: untrained_autoencoder,
    ConvGenerator: conv_generator,
    Dit: dit,
    Mlp: lambda spec, shape: mlp(spec),
    UNet2D: unet2d,
    UNet2DSigma: unet2d_sigma,
    UNetCifar32: unet_cifar32,
    UNet2DConditional: unet2d_conditional,
    UNetStl10: unet_stl10,
    KlAutoencoder: kl_autoencoder,
    Mae: mae,
    ConvEncoder: conv_encoder,
    Drifting: lambda spec, given: drifting(
        spec, data=given.data, network_spec=given.network, encoder=given.encoder
    ),
    KlAutoencoding: lambda spec, given: kl_autoencoding(spec, data=given.data),
    Denoise: lambda spec, given: denoise(spec, data=given.data),
    Edm: lambda spec, given: edm(spec, data=given.data),
    MaskedAutoencoding: lambda spec, given: masked_autoencoding(
        spec, data=given.data, network_spec=given.network
    ),
    **REALS,
    **SAMPLERS,
    **PROBES,
}


def builder_of(spec: Any) -> Callable[..., Any]:
    """The function that makes what *spec* describes.

    Raises:
        RunError: when neither this package nor an installed one can build the kind.
    """
    return BUILDERS.get(type(spec)) or installed_builder(spec)
