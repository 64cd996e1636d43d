# Writes tiny-gpt2/: a GPT-2 of two layers with random weights as ONNX, named as in exports for
# transformers.js, and the logits that NumPy computes from the same weights.
#
#   pip install numpy onnx
#   python tiny_gpt2.py
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

VOCABULARY, WIDTH, HEADS, LAYERS, POSITIONS = 262, 8, 2, 2, 48
HEAD = WIDTH // HEADS
FOLDER = Path(__file__).parent / "tiny-gpt2"

rng = np.random.default_rng(0)


def normal(*shape, scale=0.5):
    return rng.normal(0, scale, shape).astype(np.float32)


weights = {"wte": normal(VOCABULARY, WIDTH, scale=1), "wpe": normal(POSITIONS, WIDTH)}
for norm in ["ln_f", *(f"{i}.{name}" for i in range(LAYERS) for name in ("ln_1", "ln_2"))]:
    weights |= {f"{norm}.w": 1 + normal(WIDTH, scale=0.1), f"{norm}.b": normal(WIDTH, scale=0.1)}
for i in range(LAYERS):
    for name, rows, columns in [
        ("attn", WIDTH, 3 * WIDTH),
        ("proj", WIDTH, WIDTH),
        ("fc", WIDTH, 4 * WIDTH),
        ("out", 4 * WIDTH, WIDTH),
    ]:
        weights |= {f"{i}.{name}.w": normal(rows, columns), f"{i}.{name}.b": normal(columns, scale=0.1)}


def plain_logits(ids):
    """(length, vocabulary), in double precision and from the definition."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.w"] + w[f"{name}.b"]

    x = w["wte"][ids] + w["wpe"][: len(ids)]
    for i in range(LAYERS):
        q, k, v = np.split(norm(x, f"{i}.ln_1") @ w[f"{i}.attn.w"] + w[f"{i}.attn.b"], 3, -1)
        y = np.zeros_like(x)
        for h in range(HEADS):
            own = slice(h * HEAD, (h + 1) * HEAD)
            for t in range(len(ids)):
                scores = k[: t + 1, own] @ q[t, own] / np.sqrt(HEAD)
                scores = np.exp(scores - scores.max())
                y[t, own] = scores @ v[: t + 1, own] / scores.sum()
        x = x + y @ w[f"{i}.proj.w"] + w[f"{i}.proj.b"]
        z = norm(x, f"{i}.ln_2") @ w[f"{i}.fc.w"] + w[f"{i}.fc.b"]
        z = z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
        x = x + z @ w[f"{i}.out.w"] + w[f"{i}.out.b"]
    return norm(x, "ln_f") @ w["wte"].T


class Graph:
    def __init__(self):
        self.nodes = []
        self.initializers = [numpy_helper.from_array(v, k) for k, v in weights.items()]
        self.count = 0

    def op(self, kind, *inputs, name=None, **attributes):
        self.count += 1
        output = name or f"t{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value):
        self.count += 1
        self.initializers.append(numpy_helper.from_array(np.asarray(value), f"c{self.count}"))
        return f"c{self.count}"


def build():
    g = Graph()
    op, c = g.op, g.constant
    size = lambda x, axis: op("Gather", op("Shape", x), c(np.int64(axis)), axis=0)
    vector = lambda x: op("Unsqueeze", x, c(np.array([0])))
    f32 = np.float32

    def norm(x, name):
        return op("LayerNormalization", x, f"{name}.w", f"{name}.b", axis=-1, epsilon=1e-5)

    def linear(x, name):
        return op("Add", op("MatMul", x, f"{name}.w"), f"{name}.b")

    length = size("input_ids", 1)
    past = size("past_key_values.0.key", 2)
    # Masked: keys after the query, and those that the attention mask excludes.
    square = op("Concat", vector(length), vector(op("Add", past, length)), axis=0)
    ones = op("ConstantOfShape", square, value=numpy_helper.from_array(np.array([1], f32)))
    causal = op("Trilu", ones, past, upper=0)
    seen = op("Unsqueeze", op("Cast", "attention_mask", to=TensorProto.FLOAT), c(np.array([1, 2])))
    allowed = op("Mul", causal, seen)
    bias = op("Mul", op("Sub", allowed, c(f32(1))), c(f32(1e9)))

    x = op("Add", op("Gather", "wte", "input_ids"), op("Gather", "wpe", "position_ids"))
    for i in range(LAYERS):
        heads = op("Reshape", linear(norm(x, f"{i}.ln_1"), f"{i}.attn"), c(np.array([0, 0, 3, HEADS, HEAD])))
        q, k, v = (
            op("Gather", op("Transpose", heads, perm=[2, 0, 3, 1, 4]), c(np.int64(part)), axis=0)
            for part in range(3)
        )
        k = op("Concat", f"past_key_values.{i}.key", k, axis=2, name=f"present.{i}.key")
        v = op("Concat", f"past_key_values.{i}.value", v, axis=2, name=f"present.{i}.value")
        scores = op("MatMul", q, op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = op("Add", op("Mul", scores, c(f32(HEAD**-0.5))), bias)
        y = op("MatMul", op("Softmax", scores, axis=-1), v)
        y = op("Reshape", op("Transpose", y, perm=[0, 2, 1, 3]), c(np.array([0, 0, WIDTH])))
        x = op("Add", x, linear(y, f"{i}.proj"))
        z = linear(norm(x, f"{i}.ln_2"), f"{i}.fc")
        cubic = op("Add", z, op("Mul", c(f32(0.044715)), op("Mul", z, op("Mul", z, z))))
        gate = op("Add", op("Tanh", op("Mul", cubic, c(f32(np.sqrt(2 / np.pi))))), c(f32(1)))
        x = op("Add", x, linear(op("Mul", op("Mul", z, c(f32(0.5))), gate), f"{i}.out"))
    op("MatMul", norm(x, "ln_f"), op("Transpose", "wte", perm=[1, 0]), name="logits")

    value = helper.make_tensor_value_info
    int64, float32 = TensorProto.INT64, TensorProto.FLOAT
    inputs = [value("input_ids", int64, ["batch", "length"])]
    inputs += [value("attention_mask", int64, ["batch", "total"]), value("position_ids", int64, ["batch", "length"])]
    outputs = [value("logits", float32, ["batch", "length", VOCABULARY])]
    for i in range(LAYERS):
        for kind in ("key", "value"):
            inputs.append(value(f"past_key_values.{i}.{kind}", float32, ["batch", HEADS, "past", HEAD]))
            outputs.append(value(f"present.{i}.{kind}", float32, ["batch", HEADS, "total", HEAD]))
    graph = helper.make_graph(g.nodes, "tiny-gpt2", inputs, outputs, g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def cases():
    for context, continuation in [(1, 1), (1, 9), (7, 3), (20, 1), (30, 12), (60, 5)]:
        ids = rng.integers(0, VOCABULARY, context + continuation).tolist()
        for greedy in (False, True):
            for t in range(context, len(ids)) if greedy else ():
                ids[t] = int(plain_logits(ids[:t][-POSITIONS:])[-1].argmax())
            # A text keeps its last POSITIONS + 1 tokens, the last of which is only predicted.
            fed = ids[-POSITIONS - 1 :]
            logits = plain_logits(fed[:-1])
            logits -= logits.max(-1, keepdims=True)
            log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            places = range(len(fed) - 1 - continuation, len(fed) - 1)
            yield {
                "contextIds": ids[:context],
                "continuationIds": ids[context:],
                "loglikelihood": float(sum(log_probs[p, fed[p + 1]] for p in places)),
                "isGreedy": all(int(logits[p].argmax()) == fed[p + 1] for p in places),
            }


FOLDER.mkdir(exist_ok=True)
(FOLDER / "onnx").mkdir(exist_ok=True)
onnx.save(build(), FOLDER / "onnx" / "model.onnx")
config = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "vocab_size": VOCABULARY,
    "n_embd": WIDTH,
    "n_head": HEADS,
    "n_layer": LAYERS,
    "n_positions": POSITIONS,
    "n_ctx": POSITIONS,
}
(FOLDER / "config.json").write_text(json.dumps(config, indent=2) + "\n")
lines = ",\n".join(json.dumps(case) for case in cases())
(FOLDER / "expected.json").write_text(f"[\n{lines}\n]\n")
