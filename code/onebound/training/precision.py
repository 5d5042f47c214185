"""Where half precision pays: on processors and GPUs that compute in bfloat16, and nowhere else.

A processor that has no units for bfloat16 emulates it, a hundred times slower than float32. Whoever
wants the numbers that such a processor gives sets ``ONEBOUND_BFLOAT16=0``.
"""

import os

import torch


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32 on `device`."""
    if os.environ.get("ONEBOUND_BFLOAT16") == "0":
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    units = ("avx512_bf16", "amx_bf16", "bf16")
    return device.type == "cpu" and any(capabilities.get(name, False) for name in units)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return the context in which products and convolutions use bfloat16, if that pays at all."""
    return torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bfloat16(device))
