"""Self-attention over tokens whose queries and keys are normalized and turned by their place."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from repro.engine.networks.dense import Linear

EPS = 1e-6


class SelfAttention(nn.Module):
    """Every token attends to every token, in *num_heads* parts of *head_dim* channels.

    Where the matrix products round, queries and keys are still normalized and turned in the
    precision of the tokens, and the softmax is taken in float32.
    """

    def __init__(
        self, num_heads: int, head_dim: int, *, qk_norm: Literal["rms", "unit", "none"]
    ) -> None:
        super().__init__()
        width = num_heads * head_dim
        self.parts = (3, num_heads, head_dim)
        self.qkv = Linear(width, 3 * width)
        self.query_norm = _norm(qk_norm, head_dim)
        self.key_norm = _norm(qk_norm, head_dim)
        self.output = Linear(width, width)

    def forward(self, x: Tensor, rotation: nn.Module) -> Tensor:
        """[B, tokens, width] from x of that shape; *rotation* turns queries and keys."""
        query, key, value = self.qkv(x).unflatten(2, self.parts).permute(2, 0, 3, 1, 4)
        query = rotation(self.query_norm(query.to(x.dtype)))
        key = rotation(self.key_norm(key.to(x.dtype)))
        attended = functional.scaled_dot_product_attention(
            query.to(value.dtype), key.to(value.dtype), value
        )
        out: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return out


class UnitLength(nn.Module):
    """Vectors of length 1 along the last dimension; nothing is learned."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1, eps=EPS)


def _norm(kind: Literal["rms", "unit", "none"], head_dim: int) -> nn.Module:
    match kind:
        case "rms":
            return nn.RMSNorm(head_dim, eps=EPS)
        case "unit":
            return UnitLength()
        case "none":
            return nn.Identity()
