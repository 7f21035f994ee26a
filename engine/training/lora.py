"""The trained part: a low-rank pair for each adapted linear, the embedding of a mask, and the head behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from triroute.engine.adapters import TARGETS, DraftAdapter
from triroute.engine.errors import TrainingError
from triroute.engine.training.hydra import PREFIX, first_parameters
from triroute.engine.training.torch_model import TorchModel


class Lora:
    """fp32 parameters by the names that the adapter file has; they begin as an adapter that does nothing.

    A pair's output is `scale * b @ a @ x` while it trains; files hold `scale * b`.
    """

    def __init__(
        self, model: TorchModel, targets: Sequence[str], rank: int, hydra: int, scale: float, seed: int
    ) -> None:
        self.targets = [target for target in TARGETS if target in targets]
        self.rank, self.scale, self.dtype = rank, scale, model.dtype
        self.layers = model.config.layers
        draw = torch.Generator().manual_seed(seed)
        drawn: dict[str, Tensor] = {"mask_embedding": model.embedding[-1].float().clone()}
        for index, layer in enumerate(model.layers):
            for target in self.targets:
                outputs, inputs = layer[target].shape
                a = torch.randn(rank, inputs, generator=draw) * inputs**-0.5
                drawn[f"layers.{index}.{target}.a"] = a
                drawn[f"layers.{index}.{target}.b"] = torch.zeros(outputs, rank)
        if hydra:
            drawn |= first_parameters(hydra, model.config.hidden, draw)
        self.parameters = {name: Parameter(value.to(model.device)) for name, value in drawn.items()}

    @property
    def mask_embedding(self) -> Tensor:
        return self.parameters["mask_embedding"]

    def groups(self, rate: float, mask_rate: float, hydra_rate: float) -> list[dict[str, object]]:
        """Optimizer groups."""
        pairs = [value for name, value in self.parameters.items() if name.startswith("layers.")]
        head = [value for name, value in self.parameters.items() if name.startswith(PREFIX)]
        rates = [(pairs, rate), ([self.mask_embedding], mask_rate), (head, hydra_rate)]
        return [{"params": parameters, "lr": peak} for parameters, peak in rates if parameters]

    def pairs(self) -> list[dict[str, tuple[Tensor, Tensor]]]:
        """What a pass applies, in the model's dtype; gradients reach the parameters."""
        scaled = {name: value * self.scale if name.endswith(".b") else value for name, value in self.parameters.items()}
        return pairs_of(scaled, self.layers, self.dtype)

    def exported(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Such parameters as an adapter file holds them: pairs in bf16 with the scale in b, the embedding in fp32."""
        scaled = {name: value.detach() * (self.scale if name.endswith(".b") else 1) for name, value in values.items()}
        return {name: v if name == "mask_embedding" else v.to(torch.bfloat16) for name, v in scaled.items()}

    def begin_with(self, adapter: DraftAdapter) -> None:
        """Take over what an adapter of the same rank has. Raises TrainingError."""
        tensors = {"mask_embedding": adapter.mask_embedding}
        for index, pairs in enumerate(adapter.layers):
            for target, (a, b) in pairs.items():
                tensors |= {f"layers.{index}.{target}.a": a, f"layers.{index}.{target}.b": b / self.scale}
        tensors |= {f"{PREFIX}{name}": matrix for name, matrix in adapter.hydra.items()}
        for name, array in tensors.items():
            parameter = self.parameters.get(name)
            if parameter is None or parameter.shape != array.shape:
                raise TrainingError(f"{adapter.path} can't be gone on with: {name} has other sizes than these options")
            parameter.data.copy_(torch.from_numpy(array.copy()))


def pairs_of(tensors: Mapping[str, Tensor], layers: int, dtype: torch.dtype) -> list[dict[str, tuple[Tensor, Tensor]]]:
    """A pass's pairs out of an adapter file's tensors."""
    targets = [target for target in TARGETS if f"layers.0.{target}.a" in tensors]
    return [
        {
            target: (
                tensors[f"layers.{index}.{target}.a"].to(dtype),
                tensors[f"layers.{index}.{target}.b"].to(dtype),
            )
            for target in targets
        }
        for index in range(layers)
    ]
