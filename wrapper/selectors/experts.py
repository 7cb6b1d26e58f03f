"""NF4 for the experts of mixture-of-experts models.

Transformers 5 keeps all experts of a layer in 3-D parameters, and bitsandbytes quantises linear layers only: Mixtral 8x7B would
stay at some 90 GB in 16 bits.
"""

from typing import Any

import torch
from torch import nn


def has_experts(config: Any) -> bool:
    """Whether a model of this configuration is a mixture of experts."""
    return bool(getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None))


def expert_parameters(model: Any) -> list[tuple[nn.Module, str]]:
    """The modules that hold several experts' weights in one parameter, with that parameter's name."""
    return [
        (module, name)
        for path, module in model.named_modules()
        if path.rsplit(".", 1)[-1] == "experts"
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.dim() == 3
    ]


def quantise_experts(model: Any, device: torch.device) -> None:
    """Turn every such parameter of a model into NF4 with double quantisation, one after the other on the device where it is to
    stay: only one of them is there in 16 bits at a time. Models without experts stay as they are."""
    from bitsandbytes.nn.parametrize import replace_parameter_4bit  # here: it takes a second, and few models have experts

    for module, name in expert_parameters(model):
        parameter = getattr(module, name)
        parameter.data = parameter.data.to(device)
        replace_parameter_4bit(module, name, compress_statistics=True, quant_type="nf4")
