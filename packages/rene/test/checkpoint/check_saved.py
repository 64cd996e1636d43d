"""Checks with Python's safetensors and torch that a folder saved by rene-js holds the same model.

    pip install torch safetensors
    python check_saved.py ORIGINAL_DIR SAVED_DIR [--max-relative-error 0]
"""
import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

# The parameters of the original classes, which refuse any other key.
SSM = {
    *("d_state d_conv conv_init expand headdim d_ssm ngroups A_init_range D_has_hdim rmsnorm").split(),
    *("norm_before_gate dt_min dt_max dt_init_floor dt_limit bias conv_bias chunk_size").split(),
}
ATTN = {
    *"num_heads num_heads_kv head_dim qkv_proj_bias out_proj_bias softmax_scale causal".split(),
    "sliding_window_length",
}
MLP = {"expand", "bias"}

parser = argparse.ArgumentParser()
parser.add_argument("original", type=Path)
parser.add_argument("saved", type=Path)
parser.add_argument("--max-relative-error", type=float, default=0)
args = parser.parse_args()

config = json.loads((args.saved / "config.json").read_text())
for section, known in [("ssm_cfg", SSM), ("attn_cfg", ATTN), ("mlp_cfg", MLP)]:
    unknown = set(config[section]) - known
    assert not unknown, f"{section} has keys that the original refuses: {unknown}"
original_config = json.loads((args.original / "config.json").read_text())
for key, value in original_config.items():
    for part, inner in value.items() if isinstance(value, dict) else [(None, value)]:
        found = config.get(key) if part is None else config[key].get(part, inner)
        assert found == inner, f"{key} {part}: {inner} became {found}"

with safe_open(args.saved / "model.safetensors", framework="pt") as file:
    assert file.metadata().get("format") == "pt", "the metadata lacks format: pt"
original = load_file(args.original / "model.safetensors")
saved = load_file(args.saved / "model.safetensors")
if config["tie_word_embeddings"]:
    original.pop("lm_head.weight", None)
assert original.keys() == saved.keys(), original.keys() ^ saved.keys()
worst = 0.0
for name, tensor in original.items():
    assert tensor.shape == saved[name].shape, f"{name}: {tensor.shape}, {saved[name].shape}"
    scale = tensor.double().abs().max().clamp(min=1e-30)
    worst = max(worst, float((tensor.double() - saved[name].double()).abs().max() / scale))
print(f"{args.saved}: {len(saved)} tensors, largest relative error {worst:.3g}")
sys.exit(worst > args.max_relative_error)
