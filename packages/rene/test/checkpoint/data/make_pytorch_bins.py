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

# Views in every layout; "expected" has the same values, contiguous.
base = torch.arange(120.0)
views = dict(
    transposed=base[:12].reshape(3, 4).t(),
    steps=base[1:40:3],
    block=base.reshape(10, 12)[2:9:2, 3:11:4],
    permuted=base.reshape(2, 3, 4, 5).permute(3, 1, 0, 2),
    expanded=base[7:10].reshape(3, 1).expand(3, 5),
    scalar=base[5],
    column=base.reshape(12, 10)[:, 4:5],
    half=base[:20].half().reshape(4, 5).t(),
    long=torch.arange(12).reshape(3, 4).t(),
)
torch.save(
    {
        "epoch": 3,
        "loss": 0.25,
        "rng_state": torch.zeros(3, dtype=torch.uint8),
        "seed": 2**63 + 5,
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "model": {
            "state_dict": {
                **{f"module.{name}": view for name, view in views.items()},
                **{f"module.expected.{name}": view.contiguous().clone() for name, view in views.items()},
            }
        },
    },
    "layouts.bin",
)


class Marked(torch.nn.Parameter):
    pass


marked = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
marked._no_weight_decay = True
sub = Marked(torch.tensor([3.0, 4.0]))
sub.kept = True
torch.save({"marked": marked, "sub": sub}, "parameters.bin")
