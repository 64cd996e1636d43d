"""The peer of training.ts: the same model, loss and optimiser in PyTorch, eager, on the CPU.

Needs torch and safetensors (pip install torch safetensors). Started by training.ts with a model
folder; prints one JSON line: the loss of a first step on one row, and the tokens per second.

The Mamba-2 mixer is the paper's minimal chunked formulation (arXiv 2405.21060, listing 1), which is
what the original offers to machines without its CUDA kernels.
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


def segment_sums(a):
    """(..., T) -> (..., T, T): sum of a[j+1..i] where j <= i, -inf above the diagonal."""
    T = a.size(-1)
    x = a.unsqueeze(-1).expand(*a.shape, T)
    x = x.masked_fill(~torch.tril(torch.ones(T, T, dtype=torch.bool), -1), 0).cumsum(-2)
    return x.masked_fill(~torch.tril(torch.ones(T, T, dtype=torch.bool)), float("-inf"))


def ssd(x, a, B, C, chunk):
    """x (b, l, h, p) already times dt, a (b, l, h) = dt A, B and C (b, l, h, n)."""
    b, l, h, p = x.shape
    x, a, B, C = (t.reshape(b, l // chunk, chunk, *t.shape[2:]) for t in (x, a, B, C))
    a = a.permute(0, 3, 1, 2)
    sums = a.cumsum(-1)
    within = torch.einsum("bclhn,bcshn,bhcls,bcshp->bclhp", C, B, segment_sums(a).exp(), x)
    states = torch.einsum("bclhn,bhcl,bclhp->bchpn", B, (sums[..., -1:] - sums).exp(), x)
    states = torch.cat([torch.zeros_like(states[:, :1]), states], 1)
    decay = segment_sums(F.pad(sums[..., -1], (1, 0))).exp()
    states = torch.einsum("bhzc,bchpn->bzhpn", decay, states)[:, :-1]
    carried = torch.einsum("bclhn,bchpn,bhcl->bclhp", C, states, sums.exp())
    return (within + carried).reshape(b, l, h, p)


def rms_norm(x, weight, eps=1e-5):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


class Rene:
    def __init__(self, folder):
        with open(f"{folder}/config.json") as file:
            self.config = json.load(file)
        tensors = load_file(f"{folder}/model.safetensors")
        self.p = {k: v.float().requires_grad_() for k, v in tensors.items()}

    def forward(self, ids):
        c, p = self.config, self.p
        x = F.embedding(ids, p["backbone.embedding.weight"])
        for i in range(c["n_layer"]):
            block = f"backbone.layers.{i}."
            h = rms_norm(x, p[block + "norm.weight"])
            if i in c["attn_layer_idx"]:
                x = x + self.attention(h, block + "mixer.")
            elif i in c["mlp_layer_idx"]:
                inner = F.gelu(F.linear(h, p[block + "mixer.in_proj.weight"]))
                x = x + F.linear(inner, p[block + "mixer.out_proj.weight"])
            else:
                x = x + self.mamba2(h, block + "mixer.")
        return rms_norm(x, p["backbone.norm_f.weight"]) @ p["backbone.embedding.weight"].T

    def mamba2(self, x, at):
        s, p = self.config["ssm_cfg"], self.p
        b, l, _ = x.shape
        heads, dim, n = p[at + "dt_bias"].numel(), s["headdim"], s["d_state"]
        inner = heads * dim
        projected = F.linear(x, p[at + "in_proj.weight"])
        z, xBC, dt = projected.split([inner, inner + 2 * n, heads], -1)
        weight = p[at + "conv1d.weight"]
        conv = F.conv1d(xBC.transpose(1, 2), weight, p[at + "conv1d.bias"],
                        padding=weight.size(-1) - 1, groups=weight.size(0))
        xBC = F.silu(conv[..., :l].transpose(1, 2))
        u, B, C = xBC.split([inner, n, n], -1)
        dt = F.softplus(dt + p[at + "dt_bias"])
        u = u.reshape(b, l, heads, dim)
        B, C = (t.unsqueeze(2).expand(b, l, heads, n) for t in (B, C))
        A = -p[at + "A_log"].exp()
        y = ssd(u * dt.unsqueeze(-1), dt * A, B, C, min(s["chunk_size"], l))
        y = (y + u * p[at + "D"].unsqueeze(-1)).reshape(b, l, inner)
        return F.linear(rms_norm(y * F.silu(z), p[at + "norm.weight"]), p[at + "out_proj.weight"])

    def attention(self, x, at):
        a, p = self.config["attn_cfg"], self.p
        b, l, _ = x.shape
        q, k, v = (t.reshape(b, l, a["num_heads"], a["head_dim"]).transpose(1, 2)
                   for t in F.linear(x, p[at + "in_proj.weight"]).chunk(3, -1))
        distance = torch.arange(l)[:, None] - torch.arange(l)
        mask = (distance >= 0) & (distance < a["sliding_window_length"])
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return F.linear(y.transpose(1, 2).reshape(b, l, -1), p[at + "out_proj.weight"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = Rene(args.model)
    vocabulary = model.config["vocab_size"]
    at = torch.arange(args.rows * (args.length + 1)).reshape(args.rows, -1)
    ids = (at * 7919 + at // 5) % vocabulary
    optimizer = torch.optim.AdamW(model.p.values(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def step(rows):
        optimizer.zero_grad()
        logits = model.forward(ids[:rows, :-1])
        loss = F.cross_entropy(logits.reshape(-1, logits.size(-1)), ids[:rows, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.p.values(), 1)
        optimizer.step()
        return loss.item()

    first = step(1)
    step(args.rows)
    started, cpu, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < args.seconds or steps == 0:
        step(args.rows)
        steps += 1
    seconds = time.perf_counter() - started
    cpu = time.process_time() - cpu
    tokens = steps * args.rows * args.length
    print(json.dumps({
        "loss": first,
        "rows": args.rows,
        "tokensPerSecond": tokens / seconds,
        "tokensPerCpuSecond": tokens / cpu,
        "engine": f"PyTorch {torch.__version__.split('+')[0]}, {args.threads} threads",
    }))


main()
