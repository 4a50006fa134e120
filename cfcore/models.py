"""Trained models as arrays: all that is needed to predict, in numpy, without torch.

Two shapes cover every approach.

Dot:  r(u, i) = offset + b_u + b_i + sum_k p_uk q_ik
Net:  r(u, i) = W_L relu(... relu(W_1 [x_u ; y_i] + c_1) ...) + c_L

Either may be squeezed into ``y_range`` by a sigmoid: low + (high - low) / (1 + exp(-r)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Range = tuple[float, float] | None
_CHUNK = 65_536  # pairs predicted at a time, so that memory stays bounded on millions of pairs


@dataclass(frozen=True, eq=False, kw_only=True)
class DotModel:
    """``user_factors`` (U, k), ``item_factors`` (M, k), ``user_bias`` (U,), ``item_bias`` (M,); k may be 0."""

    user_factors: np.ndarray
    item_factors: np.ndarray
    user_bias: np.ndarray | None = None
    item_bias: np.ndarray | None = None
    offset: float = 0.0
    y_range: Range = None

    def predict(self, user_idx: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Predicted ratings (n,) float32 of the pairs ``user_idx`` (n,), ``item_idx`` (n,)."""
        return _in_chunks(self._predict, user_idx, item_idx)

    def _predict(self, u: np.ndarray, i: np.ndarray) -> np.ndarray:
        r = np.einsum("nk,nk->n", self.user_factors[u], self.item_factors[i]) + np.float32(self.offset)
        if self.user_bias is not None:
            r = r + self.user_bias[u]
        if self.item_bias is not None:
            r = r + self.item_bias[i]
        return _squeeze(r, self.y_range)


@dataclass(frozen=True, eq=False, kw_only=True)
class NetModel:
    """``user_inputs`` (U, a) and ``item_inputs`` (M, b) enter side by side.

    Layer l is ``weights[l]`` (in, out) and ``biases[l]`` (out,), with a ReLU between layers. The first
    ``n_factors`` columns of the inputs are the embedding proper; an approach may add more of its own.
    """

    user_inputs: np.ndarray
    item_inputs: np.ndarray
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    n_factors: tuple[int, int]
    y_range: Range = None

    @property
    def user_factors(self) -> np.ndarray:
        return self.user_inputs[:, : self.n_factors[0]]

    @property
    def item_factors(self) -> np.ndarray:
        return self.item_inputs[:, : self.n_factors[1]]

    @property
    def user_bias(self) -> None:
        return None

    @property
    def item_bias(self) -> None:
        return None

    def predict(self, user_idx: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Predicted ratings (n,) float32 of the pairs ``user_idx`` (n,), ``item_idx`` (n,)."""
        return _in_chunks(self._predict, user_idx, item_idx)

    def _predict(self, u: np.ndarray, i: np.ndarray) -> np.ndarray:
        x = np.concatenate([self.user_inputs[u], self.item_inputs[i]], axis=1)  # (n, a + b)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ weight + bias, 0)
        return _squeeze((x @ self.weights[-1] + self.biases[-1])[:, 0], self.y_range)


Model = DotModel | NetModel


def to_arrays(model: Model) -> dict[str, np.ndarray]:
    """The model as arrays by name, each starting with ``model_``, to be kept without pickle."""
    arrays: dict[str, np.ndarray] = {}
    if isinstance(model, DotModel):
        arrays |= {"user_factors": model.user_factors, "item_factors": model.item_factors}
        arrays["offset"] = np.array(model.offset, dtype=np.float64)
        if model.user_bias is not None:
            arrays["user_bias"] = model.user_bias
        if model.item_bias is not None:
            arrays["item_bias"] = model.item_bias
    else:
        arrays |= {"user_inputs": model.user_inputs, "item_inputs": model.item_inputs}
        arrays["n_factors"] = np.array(model.n_factors)
        for layer, (weight, bias) in enumerate(zip(model.weights, model.biases, strict=True)):
            arrays |= {f"weight_{layer}": weight, f"layer_bias_{layer}": bias}
    if model.y_range is not None:
        arrays["y_range"] = np.array(model.y_range, dtype=np.float64)
    return {f"model_{name}": np.asarray(values) for name, values in arrays.items()}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Model:
    """Rebuild the model that :func:`to_arrays` took apart; other names in ``arrays`` are left alone.

    Raises:
        ValueError: the arrays of a model are missing.
    """
    own = {name.removeprefix("model_"): values for name, values in arrays.items() if name.startswith("model_")}
    y_range = (float(own["y_range"][0]), float(own["y_range"][1])) if "y_range" in own else None
    if {"user_factors", "item_factors", "offset"} <= own.keys():
        return DotModel(
            user_factors=own["user_factors"],
            item_factors=own["item_factors"],
            user_bias=own.get("user_bias"),
            item_bias=own.get("item_bias"),
            offset=float(own["offset"]),
            y_range=y_range,
        )
    if {"user_inputs", "item_inputs", "n_factors", "weight_0"} <= own.keys():
        n_layers = sum(name.startswith("weight_") for name in own)
        return NetModel(
            user_inputs=own["user_inputs"],
            item_inputs=own["item_inputs"],
            weights=tuple(own[f"weight_{layer}"] for layer in range(n_layers)),
            biases=tuple(own[f"layer_bias_{layer}"] for layer in range(n_layers)),
            n_factors=(int(own["n_factors"][0]), int(own["n_factors"][1])),
            y_range=y_range,
        )
    raise ValueError("these arrays hold no model")


def _in_chunks(predict, user_idx: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
    n = len(user_idx)
    out = np.empty(n, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged model holds inf and nan: they pass through
        for start in range(0, n, _CHUNK):
            here = slice(start, start + _CHUNK)
            out[here] = predict(user_idx[here], item_idx[here])
    return out


def _squeeze(r: np.ndarray, y_range: Range) -> np.ndarray:
    if y_range is None:
        return r
    low, high = y_range
    return low + (high - low) / (1 + np.exp(-r))
