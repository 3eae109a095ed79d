"""Which measurements may stand in one column: those of one protocol.

The engine names the protocol of a measurement by this function, and the gate names it again from
the recorded facts.
"""

from collections.abc import Mapping
from typing import Any, Final

from repro.digest import canonical, xxh3_128
from repro.errors import IntegrityError
from repro.metrics.standard import EXACT, PROBE_TOLERANCE

LOGITS: Final = "logits_unbiased"

EXTRACTOR: Final = (
    "name", "weights", "weights_digest", "code", "dtype", "tf32", "autocast", "layer",
)  # fmt: skip
"""Extractor facts that decide comparability; the device and the backend do not, the probe does."""

OUTCOMES: Final = ("rank", "smallest_eigenvalue", "extrapolated")
"""What a formula gave for one set; all else that is recorded of it is a setting."""


def protocol_facts(metric: str, *, num_samples: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two numbers comparable: every fact but the images, their seeds and the value.

    Raises:
        IntegrityError: the facts of the measurement lack one of these.
    """
    try:
        return _protocol(metric, num_samples, facts)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{metric}: the recorded facts name no protocol ({error!r}); evaluate again"
        raise IntegrityError(msg) from error


def protocol_id(protocol: Mapping[str, Any]) -> str:
    """The digest that a protocol goes by."""
    return xxh3_128(canonical(dict(protocol)))


def probe_passed(probe: Mapping[str, Any]) -> bool:
    """Whether the known answers came out right, both before and after the images."""
    moments = (probe.get("before"), probe.get("after"))
    return all(isinstance(each, float) and each <= PROBE_TOLERANCE for each in moments)


def _protocol(metric: str, num_samples: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    extractor = {name: facts["extractor"][name] for name in EXTRACTOR}
    images = facts["images"]
    return {
        "metric": metric,
        "num_samples": num_samples,
        "extractor": {**extractor, "layer": LOGITS if metric == "isc" else extractor["layer"]},
        "probe_passed": probe_passed(facts["probe"]),
        "resize": facts["resize"],
        "sizes": images["sizes"],
        "channels": images["channels"],
        "lossless": images["lossless"],
        # Bytes that were stored satisfy every rule; so real and generated images share a protocol.
        "quantisation": "exact" if images["quantisation"] in EXACT else images["quantisation"],
        "reference": None if metric == "isc" else facts["reference"]["digest"],
        "formula": {
            name: value for name, value in facts["formula"].items() if name not in OUTCOMES
        },
    }
