"""Putting a question to a recorded checkpoint; its numbers and files are kept, and are no evidence.

The gate admits what evaluations measured. A probe is no evaluation, so whatever it calls its
numbers, they stand beside claims and never under them.
"""

from collections.abc import Mapping
from typing import Any, Literal

from safetensors.numpy import load_file
from torch import Tensor, nn

from repro.digest import sha256
from repro.engine.builders import builder_of
from repro.engine.checkpoint import load_weights
from repro.engine.datasets import EncodedImages, Images, Points
from repro.engine.evaluation.extractor import Extractor as OpenExtractor
from repro.engine.evaluation.extractor import extract, open_extractor
from repro.engine.execution import Execution
from repro.engine.objectives.objective import Objective
from repro.engine.probes.probe import Findings, SampleArrays, Value
from repro.engine.progress import Progress
from repro.engine.stages.data import examples_of, source_of
from repro.engine.stages.evaluate import BATCH_SIZE, weights_path
from repro.engine.stages.measured import keep_measured
from repro.engine.stages.prepare import load_images
from repro.engine.stages.sample import decoder
from repro.engine.stages.select import checkpoint_of
from repro.engine.stages.train import objective_of, trained_encoder, untrained, weights_at
from repro.errors import RunError
from repro.ledger import store
from repro.metrics.features import Features
from repro.spec import Stage
from repro.spec.data import Latents
from repro.spec.evaluate import Extractor
from repro.spec.plan import Probing, Training

IMAGES_AND_NAME = ("name", "checkpoints", "sample", "data")
"""The fields of a probe that do not decide whether two of its numbers are comparable."""


def probe(execution: Execution, stage: Stage) -> Mapping[str, Any]:
    """Ask, and record every number and every file."""
    part: Probing = stage.spec
    subject = RecordedSubject(execution, stage)
    found: Findings = builder_of(part.probe)(part.probe, subject)
    for each in found.files:
        execution.keep(
            stage,
            store.put_bytes(execution.root, each.data),
            role=each.role,
            name=each.name,
            media_type=each.media_type,
        )
    for value in found.values:
        keep_measured(
            execution,
            stage,
            value,
            step=subject.step,
            num_samples=value.num,
            protocol=protocol_of(stage.payload["probe"], value, found),
            rests_on=subject.rests_on() or {"samples": sha256(found.files[0].data)},
            facts={"probe": part.probe.kind, **found.facts},
        )
    return {each.metric: each.value for each in found.values}


class RecordedSubject:
    """The subject of one probe stage, as the ledger has it."""

    def __init__(self, execution: Execution, stage: Stage) -> None:
        self._execution = execution
        self._stage = stage
        self.step = checkpoint_of(execution, stage)
        self.device = execution.device
        self.progress: Progress = execution.progress
        self._extractors: dict[Extractor, OpenExtractor] = {}

    @property
    def training(self) -> Training:
        part: Training = self._trained().spec
        return part

    def network(self, which: Literal["ema", "raw"] = "ema") -> nn.Module:
        trained = self._trained()
        network = untrained(self._execution, trained)
        load_weights(network, self._weights(), which=which)
        return network.eval()

    def objective(self) -> Objective:
        return objective_of(self._execution, self._trained())

    def data(self) -> Images | EncodedImages | Points:
        return examples_of(self._execution, self._trained())

    def images(self) -> Images:
        if prepared := self._execution.inputs_of(self._stage, "prepare"):
            return load_images(self._execution, prepared[0].spec)
        spec = source_of(self._execution, self._trained()).spec
        return load_images(self._execution, spec.images if isinstance(spec, Latents) else spec)

    def samples(self) -> SampleArrays:
        sampled = self._execution.only_input(self._stage, "sample")
        arrays = load_file(self._execution.path_of(sampled, "samples"))
        facts = self._execution.artifact(sampled, "samples").facts
        return SampleArrays(**arrays, facts=facts)

    def judge(self) -> nn.Module:
        return trained_encoder(self._execution, self._execution.only_input(self._stage, "encoder"))

    def decoded(self, made: Tensor) -> Tensor:
        decode = decoder(self._execution, self._trained())
        return made if decode is None else decode(made)

    def features(self, extractor: Extractor, images: Any) -> tuple[Features, Mapping[str, Any]]:
        if extractor not in self._extractors:
            self._extractors[extractor] = open_extractor(
                extractor,
                weights_path=weights_path(self._execution, extractor),
                device=self._execution.device,
            )
        opened = self._extractors[extractor]
        found = extract(opened, images, batch_size=BATCH_SIZE, progress=self._execution.progress)
        return found, opened.facts

    def rests_on(self) -> Mapping[str, Any]:
        """The file that a number of this probe rests on: the images it looked at, or weights.

        Nothing for a probe that has looked at neither: it then rests on what it leaves.
        """
        if self._execution.inputs_of(self._stage, "sample"):
            sampled = self._execution.only_input(self._stage, "sample")
            artifact = self._execution.artifact(sampled, "samples")
            return {"samples": artifact.sha256, "pairing": artifact.facts["pairing"]}
        return {} if self.step is None else {"samples": sha256(self._weights())}

    def _trained(self) -> Stage:
        return self._execution.only_input(self._stage, "train")

    def _weights(self) -> bytes:
        if self.step is None:
            msg = f"probe {self._stage.name}: it is put to no checkpoint"
            raise RunError(msg)
        return weights_at(self._execution, self._trained(), self.step)


def protocol_of(asked: Mapping[str, Any], value: Value, found: Findings) -> dict[str, Any]:
    """What makes two numbers of a probe comparable: all that it was told, but of which images.

    *asked* are the probe's own fields as they stand in its identity. Images that it compares with
    go by their digest, which is the finding's to say.
    """
    told = {name: said for name, said in asked.items() if name not in IMAGES_AND_NAME}
    return {"metric": value.metric, "num": value.num, "probe": told, **found.protocol}
