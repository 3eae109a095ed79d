"""What an autoencoder restores of images, and the scale of its latents."""

from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from repro.engine.determinism import deterministic
from repro.engine.evaluation.references import drawn
from repro.engine.objectives.images import signed
from repro.engine.objectives.kl_autoencoding import divergence_from_normal
from repro.engine.probes.probe import Findings, Left, Subject, Value
from repro.engine.probes.reconstruction import peak_ratios
from repro.engine.quantise import quantise
from repro.engine.sheet import sheet
from repro.spec.probes.denoising import Autoencoding

BATCH_SIZE = 8


def autoencoding(spec: Autoencoding, subject: Subject) -> Findings:
    """Restore the first images of a fixed permutation from the means of their posteriors."""
    data: Any = subject.data()
    network: Any = subject.network()
    chosen = drawn(len(data.labels), spec.num_images)
    images = signed(data.images[chosen])
    means, restored, divergences = [], [], []
    with deterministic(), torch.inference_mode():
        for part in torch.split(images.to(subject.device), BATCH_SIZE):
            law = network.encode(part).latent_dist
            means.append(law.mean.cpu())
            restored.append(network.decode(law.mean).sample)
            divergences.append(float(divergence_from_normal(law.mean, law.logvar)))
        made = quantise(torch.cat(restored))
    latents = torch.cat(means)
    pairs = np.stack([data.images[chosen], made], axis=1).reshape(-1, *made.shape[1:])
    num = len(chosen)
    ratios = peak_ratios(data.images[chosen], made)
    return Findings(
        values=(
            Value(metric="psnr", value=float(np.mean(ratios)), num=num, unit="dB"),
            Value(metric="latent_mean", value=float(latents.mean()), num=num),
            Value(metric="latent_std", value=float(latents.std()), num=num),
            Value(metric="divergence", value=float(np.mean(divergences)), num=num, unit="nats"),
        ),
        files=(
            Left(role="pairs", name="pairs.png", data=sheet(pairs), media_type="image/png"),
            Left(
                role="latents",
                name="latents.safetensors",
                data=save({"latents": latents.numpy(), "labels": data.labels[chosen]}),
            ),
        ),
        protocol={"data": data.digest},
    )
