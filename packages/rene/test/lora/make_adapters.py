"""Makes LoRA adapters with PEFT, and what PEFT makes of a model with each of them.

    pip install torch peft && python make_adapters.py [OUT [SEED COUNT]]

Writes OUT/base (a tiny model, tied) and OUT/<case>/{adapter_config.json, adapter_model.safetensors,
expected.safetensors}. expected.safetensors holds the effective parameters: each linear layer's matrix and
bias are what PEFT's module returns for the unit vectors and for zeros, an embedding's what it returns for
all ids. With SEED and COUNT it makes that many random adapters instead of the listed ones.

The modules are named as in Rene, since PEFT goes by names; their forward passes are not needed.
"""

import json
import random
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

D, VOCAB, INNER, STATE, HEADS, QKV, MLP = 8, 12, 16, 4, 4, 24, 16
# mamba, attention, mlp, mamba
KINDS = ["ssd", "attn", "mlp", "ssd"]
CONFIG = {
    "model_type": "rene",
    "d_model": D,
    "n_layer": len(KINDS),
    "vocab_size": VOCAB,
    "ssm_cfg": {"d_state": STATE, "expand": 2, "headdim": 4, "chunk_size": 4, "bias": True},
    "attn_layer_idx": [1],
    "attn_cfg": {"causal": True, "num_heads": 2, "head_dim": 4, "qkv_proj_bias": True, "out_proj_bias": False},
    "mlp_layer_idx": [2],
    "mlp_cfg": {"expand": 2, "bias": True},
    "pad_vocab_size_multiple": 1,
    "tie_word_embeddings": True,
    "pad_token_id": 1,
    "eos_token_id": 0,
}


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))


class Mixer(nn.Module):
    def __init__(self, kind):
        super().__init__()
        if kind == "ssd":
            width = INNER + 2 * STATE
            self.in_proj = nn.Linear(D, 2 * INNER + 2 * STATE + HEADS)
            self.conv1d = nn.Conv1d(width, width, 4, groups=width)
            self.dt_bias = nn.Parameter(torch.randn(HEADS))
            self.A_log = nn.Parameter(torch.randn(HEADS))
            self.D = nn.Parameter(torch.randn(HEADS))
            self.norm = RMSNorm(INNER)
            self.out_proj = nn.Linear(INNER, D)
        elif kind == "attn":
            self.in_proj = nn.Linear(D, QKV)
            self.out_proj = nn.Linear(D, D, bias=False)
        else:
            self.in_proj = nn.Linear(D, MLP)
            self.out_proj = nn.Linear(MLP, D)


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.norm = RMSNorm(D)
        self.mixer = Mixer(kind)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, D)
        self.layers = nn.ModuleList(Block(kind) for kind in KINDS)
        self.norm_f = RMSNorm(D)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.lm_head = nn.Linear(D, VOCAB, bias=False)
        self.lm_head.weight = self.backbone.embedding.weight

    def forward(self):
        raise NotImplementedError


def base_model():
    torch.manual_seed(0)
    return Model()


@torch.no_grad()
def effective(model, plain):
    """Every parameter as it acts, by the plain model's names."""
    result = {}
    for name, module in plain.named_modules(remove_duplicate=False):
        if name == "":
            continue
        adapted = model.get_submodule(name)
        if isinstance(module, nn.Linear):
            zero = adapted(torch.zeros(1, module.in_features))[0]
            columns = adapted(torch.eye(module.in_features)) - zero
            result[f"{name}.weight"] = columns.T.contiguous()
            if module.bias is not None:
                result[f"{name}.bias"] = zero.clone()
        elif isinstance(module, nn.Embedding):
            result[f"{name}.weight"] = adapted(torch.arange(VOCAB)).clone()
        else:
            inner = adapted.modules_to_save["default"] if hasattr(adapted, "modules_to_save") else adapted
            for key, value in inner.named_parameters(recurse=False):
                result[f"{name}.{key}"] = value.clone()
    return result


def make(out, options, seed, half=False):
    torch.manual_seed(seed)
    model = get_peft_model(base_model(), LoraConfig(**options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.5 + ("magnitude" in name) * 1.5)
    if half:
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.half()
    model.save_pretrained(out)
    loaded = PeftModel.from_pretrained(base_model(), out)
    loaded.eval()
    save_file(effective(loaded.base_model.model, base_model()), Path(out) / "expected.safetensors")
    (Path(out) / "README.md").unlink(missing_ok=True)


def make_old_format(out):
    """The adapter "plain" as PEFT before 0.5 wrote it: a .bin file, and few options."""
    (out / "old_format").mkdir(exist_ok=True)
    torch.save(load_file(out / "plain" / "adapter_model.safetensors"), out / "old_format" / "adapter_model.bin")
    options = json.loads((out / "plain" / "adapter_config.json").read_text())
    kept = ["bias", "fan_in_fan_out", "inference_mode", "lora_alpha", "lora_dropout", "peft_type", "r"]
    old = {key: options[key] for key in [*kept, "target_modules", "task_type", "base_model_name_or_path"]}
    old |= {"enable_lora": None, "merge_weights": False, "modules_to_save": None}
    (out / "old_format" / "adapter_config.json").write_text(json.dumps(old, indent=1))


IN_OUT = ["in_proj", "out_proj"]
CASES = {
    "plain": dict(r=2, lora_alpha=6, target_modules=IN_OUT),
    "rslora_patterns": dict(
        r=4,
        lora_alpha=8,
        use_rslora=True,
        target_modules=IN_OUT,
        rank_pattern={"layers.0.mixer.in_proj": 1, r".*\.3\..*": 3, "out_proj": 2},
        alpha_pattern={"^backbone.layers.1.mixer.out_proj": 5, "in_proj": 3},
    ),
    "dora": dict(r=2, lora_alpha=4, use_dora=True, target_modules=IN_OUT),
    "dora_embedding": dict(r=2, lora_alpha=4, use_dora=True, target_modules=["embedding", "lm_head"]),
    "regex": dict(r=2, target_modules=r"backbone\.layers\.(?P<index>[0-2])\.mixer\.(in|out)_proj\Z"),
    "full_names": dict(r=2, target_modules=["backbone.layers.2.mixer.in_proj", "lm_head", "layers.0.mixer.out_proj"]),
    "all_linear": dict(r=1, target_modules="all-linear", exclude_modules=["out_proj", "lm_head"]),
    "some_layers": dict(
        r=2,
        target_modules=["in_proj", "backbone.layers.0.mixer.out_proj"],
        layers_to_transform=[1, 3],
        layers_pattern="layers",
    ),
    "saved_modules": dict(
        r=2, target_modules=IN_OUT, modules_to_save=["lm_head", "norm_f", "layers.1.norm", "conv1d"]
    ),
    "all_biases": dict(r=2, target_modules=["in_proj"], bias="all"),
    "own_biases": dict(r=2, target_modules=["in_proj"], exclude_modules=r".*\.1\..*", bias="lora_only"),
    "lora_bias": dict(r=2, target_modules=["in_proj"], lora_bias=True),
}


def random_options(rng):
    targets = rng.choice(
        [
            IN_OUT,
            ["in_proj"],
            ["embedding", "out_proj"],
            ["lm_head", "backbone.layers.0.mixer.in_proj"],
            ["mixer.in_proj"],
            ["0.mixer.out_proj", "1.mixer.in_proj"],
            r".*\.(in|out)_proj",
            r".*layers\.[^1]\..*in_proj|lm_head",
            "all-linear",
        ]
    )
    options = dict(
        r=rng.randint(1, 5), lora_alpha=rng.randint(1, 9), target_modules=targets, use_rslora=rng.random() < 0.5
    )
    patterns = ["in_proj", "mixer.out_proj", r"layers\.[02]\..*", "backbone.layers.3.mixer.in_proj", "lm_head", ".*"]
    for key in ["rank_pattern", "alpha_pattern"]:
        chosen = rng.sample(patterns, rng.randint(0, 3))
        options[key] = {pattern: rng.randint(1, 6) for pattern in chosen}
    kind = rng.random()
    if kind < 0.3:
        options["use_dora"] = True
    elif kind < 0.5:
        options["lora_bias"] = True
    if rng.random() < 0.3:
        options["bias"] = rng.choice(["all", "lora_only"])
    if isinstance(targets, list) and rng.random() < 0.4:
        options["layers_to_transform"] = rng.choice([0, 2, [0, 1], [1, 2, 3]])
        if rng.random() < 0.5:
            options["layers_pattern"] = rng.choice(["layers", ["h", "layers"], "la.ers"])
    if rng.random() < 0.3:
        options["exclude_modules"] = rng.choice([["0.mixer.in_proj"], r".*\.2\..*", ["lm_head"]])
    if rng.random() < 0.3:
        options["modules_to_save"] = rng.choice([["norm_f"], ["norm"], ["head"], ["layers.2"], ["embedding", "A_log"]])
    return options


def main(out="data", seed=None, count=0):
    out = Path(out)
    base = base_model()
    (out / "base").mkdir(parents=True, exist_ok=True)
    state = {k: v for k, v in base.state_dict().items() if k != "lm_head.weight"}
    save_file(state, out / "base" / "model.safetensors")
    (out / "base" / "config.json").write_text(json.dumps(CONFIG, indent=1))
    if seed is None:
        for i, (name, options) in enumerate(CASES.items()):
            make(out / name, options, i + 1, half=name == "plain")
        make_old_format(out)
        return
    rng = random.Random(int(seed))
    made = 0
    for i in range(int(count)):
        options = random_options(rng)
        try:
            make(out / f"random{i}", options, i)
            made += 1
        except Exception as error:  # What PEFT refuses is told, to be compared.
            target = out / f"refused{i}"
            target.mkdir(exist_ok=True)
            (target / "why.json").write_text(json.dumps([options, str(error)]))
    print(made, "made of", count)


main(*sys.argv[1:])
