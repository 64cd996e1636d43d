"""Rene 1.3B's decoding in PyTorch on the card, for comparison with `rene bench --backend cuda`.

    python3 benchmarks/cuda_peer.py [--batch 1] [--prompt 512] [--tokens 64] [--device cuda]

Two peers, with random weights of the same sizes:
  plain     this file's PyTorch, a step captured in a CUDA graph and replayed (on a CPU: not captured)
  original  the authors' code with the mamba repository's Triton kernels and CUDA-graph decoding, where
            `pip install cartesia-pytorch mamba-ssm causal-conv1d` is there

Needs PyTorch. It has been run on a CPU alone: on a card it is unproved.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

PATTERN = "ssd ssd mlp ssd ssd mlp attn ssd mlp ssd ssd mlp".split()
HEAD_DIM, STATE, CONV = 64, 128, 4


class Plain:
    """Weights and states of a batch, and one step of decoding in place."""

    def __init__(self, args, dtype):
        self.args, d = args, args.d_model
        device = args.device
        weight = lambda *shape: torch.randn(*shape, device=device, dtype=dtype) * 0.02
        state = lambda *shape: torch.zeros(args.batch, *shape, device=device)
        inner, heads = 2 * d, 2 * d // HEAD_DIM
        channels = inner + 2 * STATE
        self.embedding = weight(args.vocabulary, d)
        self.norm_f = torch.ones(d, device=device, dtype=dtype)
        self.blocks = []
        for i in range(args.layers):
            kind = PATTERN[i % len(PATTERN)]
            b = {"kind": kind, "norm": torch.ones(d, device=device, dtype=dtype)}
            if kind == "ssd":
                b |= {
                    "in": weight(2 * inner + 2 * STATE + heads, d),
                    "out": weight(d, inner),
                    "conv_w": weight(channels, CONV).float(),
                    "A": -torch.rand(heads, device=device) - 0.5,
                    "gate_norm": torch.ones(inner, device=device),
                    "conv": state(channels, CONV),
                    "ssm": state(heads, HEAD_DIM, STATE),
                }
            elif kind == "attn":
                b |= {"in": weight(3 * d, d), "out": weight(d, d)}
                ring = (args.batch, d // HEAD_DIM, args.window, HEAD_DIM)
                b |= {n: torch.zeros(ring, device=device, dtype=dtype) for n in "kv"}
            else:
                b |= {"in": weight(3 * d, d), "out": weight(d, 3 * d)}
            self.blocks.append(b)
        self.ids = torch.ones(args.batch, 1, dtype=torch.long, device=device)
        self.position = torch.full((1,), args.prompt, dtype=torch.long, device=device)

    def step(self):
        x = F.embedding(self.ids[:, 0], self.embedding)
        for b in self.blocks:
            h = F.linear(F.rms_norm(x, x.shape[-1:], b["norm"], 1e-5), b["in"])
            x = x + F.linear(getattr(self, b["kind"])(b, h).to(x.dtype), b["out"])
        x = F.rms_norm(x, x.shape[-1:], self.norm_f, 1e-5)
        self.ids.copy_(F.linear(x, self.embedding).argmax(-1, keepdim=True))
        self.position += 1

    def ssd(self, b, h):
        inner, heads = b["gate_norm"].numel(), b["A"].numel()
        z, xBC, dt = h.float().split([inner, inner + 2 * STATE, heads], -1)
        b["conv"].copy_(torch.cat([b["conv"][:, :, 1:], xBC[:, :, None]], -1))
        xBC = F.silu((b["conv"] * b["conv_w"]).sum(-1))
        x, B, C = xBC.split([inner, STATE, STATE], -1)
        x, dt = x.view(-1, heads, HEAD_DIM), F.softplus(dt)
        added = (dt[..., None] * x)[..., None] * B[:, None, None]
        b["ssm"].mul_(torch.exp(dt * b["A"])[..., None, None]).add_(added)
        y = (b["ssm"] @ C[:, None, :, None]).squeeze(-1) + x
        return F.rms_norm(y.flatten(1) * F.silu(z), (inner,), b["gate_norm"], 1e-5)

    def attn(self, b, h):
        q, k, v = (t.view(t.shape[0], -1, 1, HEAD_DIM) for t in h.chunk(3, -1))
        slot = self.position % self.args.window
        b["k"].index_copy_(2, slot, k)
        b["v"].index_copy_(2, slot, v)
        seen = torch.arange(self.args.window, device=h.device) <= self.position
        return F.scaled_dot_product_attention(q, b["k"], b["v"], attn_mask=seen[None]).flatten(1)

    def mlp(self, b, h):
        return F.gelu(h)


@torch.inference_mode()
def plain(args):
    model = Plain(args, torch.bfloat16)
    step, cuda = model.step, args.device == "cuda"
    if cuda:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model.step()
        step = graph.replay
    times = []
    for _ in range(args.tokens):
        start = time.perf_counter()
        step()
        model.ids[0, 0].item()  # the host sees every token, as a server does
        times.append(time.perf_counter() - start)
    report("plain PyTorch" + (", CUDA graph" if cuda else ""), args, times)


@torch.inference_mode()
def original(args):
    from cartesia_pytorch.Rene.rene import ReneConfig, ReneLMHeadModel
    from mamba_ssm.utils.generation import decode

    config = ReneConfig()
    model = ReneLMHeadModel(config).to(args.device, torch.bfloat16).eval()
    ids = torch.randint(1, 1000, (args.batch, args.prompt), device=args.device)
    length = args.prompt + args.tokens
    run = lambda end: decode(ids, model, end, top_k=1, cg=True)
    run(length)  # captures
    times = []
    for _ in range(3):
        seconds = []
        for end in (args.prompt + 1, length):
            torch.cuda.synchronize()
            start = time.perf_counter()
            run(end)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        times.append((seconds[1] - seconds[0]) / (args.tokens - 1))
    report("original, Triton kernels, CUDA graph", args, times)


def report(name, args, times):
    median = statistics.median(times)
    print(f"{name}: {args.batch / median:.1f} tokens/s, {median * 1e6:.0f} us a step of {args.batch}")


def main():
    parser = argparse.ArgumentParser()
    for name, default in [
        *[("batch", 1), ("prompt", 512), ("tokens", 64), ("layers", 48), ("d-model", 2048)],
        *[("vocabulary", 50288), ("window", 2048)],
    ]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    print(torch.cuda.get_device_name() if args.device == "cuda" else "CPU", "PyTorch", torch.__version__)
    plain(args)
    try:
        original(args)
    except ImportError as error:
        print(f"original: not installed ({error})")


if __name__ == "__main__":
    main()
