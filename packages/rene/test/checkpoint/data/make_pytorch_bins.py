"""Makes the .bin files of this folder with real PyTorch (made with 2.13). Needs torch; run here."""
import os
from collections import OrderedDict

import torch


class Evil:
    def __reduce__(self):
        return os.system, ("touch rene-was-here",)


weights = torch.arange(12.0).reshape(3, 4)
state = OrderedDict(
    embedding=weights,
    head=weights,  # shares its storage, as a tied head does
    part=weights[1:],
    parameter=torch.nn.Parameter(torch.tensor([0.5, -0.5])),
    half=torch.arange(4.0).half(),
    brain=torch.arange(4.0).bfloat16(),
    long=torch.tensor([1, -(2**31)]),
    empty=torch.zeros(0, 3),
)
state._metadata = torch.nn.Linear(1, 1).state_dict()._metadata
torch.save(state, "state_dict.bin")
torch.save({"a": torch.zeros(2), "b": Evil()}, "code.bin")
torch.save({"a": weights.t()}, "transposed.bin")
torch.save({"a": weights, "step": 3}, "training.bin")
torch.save({"a": weights}, "legacy.bin", _use_new_zipfile_serialization=False)
