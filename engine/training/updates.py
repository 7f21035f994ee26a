"""Parameters under an optimizer: rates along a curve, gradients that are not too long, a running mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_LAST = 0.01  # the rate at the end, over the highest one


class Updates:
    """AdamW over `groups` of `parameters`; each group's rate rises over `warmup` of the run, then falls along a cosine.

    Gradients are cut to length `clip`. `mean` follows the parameters with decay `average`, where that is not 0.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        groups: Iterable[dict[str, object]],
        *,
        warmup: float,
        clip: float,
        weight_decay: float = 0.0,
        average: float = 0.0,
    ) -> None:
        self.parameters, self.steps = parameters, 0
        self._warmup, self._clip, self._average = warmup, clip, average
        self.optimizer = torch.optim.AdamW(list(groups), betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)
        for group in self.optimizer.param_groups:
            group["peak"] = group["lr"]
        self.mean = {name: value.detach().clone() for name, value in parameters.items()} if average else {}

    def apply(self, loss: Tensor, progress: float) -> float:
        """One update against `loss`, at `progress` 0..1 of the run. The rate, over the highest one."""
        factor = self._factor(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self._clip)
        self.optimizer.step()
        self.steps += 1
        # a mean that began with the untrained parameters forgets them sooner
        share = 1 - min(self._average, self.steps / (self.steps + 10))
        for name, value in self.mean.items():
            value.lerp_(self.parameters[name].detach(), share)
        return factor

    def tensors(self) -> dict[str, Tensor]:
        """All that is needed to go on, on the CPU."""
        kept: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            kept[f"parameter.{name}"] = parameter
            for moment, value in self.optimizer.state.get(parameter, {}).items():
                kept[f"{moment}.{name}"] = value
        kept |= {f"mean.{name}": value for name, value in self.mean.items()}
        return {name: value.detach().cpu() for name, value in kept.items()}

    def load(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Go on from what `tensors` gave after so many steps. Raises KeyError or ValueError."""
        for name, parameter in self.parameters.items():
            found = tensors[f"parameter.{name}"]
            if found.shape != parameter.shape:
                raise ValueError(f"{name} has shape {tuple(found.shape)}, not {tuple(parameter.shape)}")
            parameter.data.copy_(found)
            moments = {moment: tensors[f"{moment}.{name}"] for moment in _MOMENTS}
            self.optimizer.state[parameter] = {
                moment: value.to(parameter.device, copy=True) for moment, value in moments.items()
            }
        self.mean = {name: tensors[f"mean.{name}"].to(value.device, copy=True) for name, value in self.mean.items()}
        self.steps = steps

    def _factor(self, progress: float) -> float:
        if progress < self._warmup:
            return max(progress / self._warmup, 0.02)
        return _LAST + (1 - _LAST) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
