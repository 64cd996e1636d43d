// The Rene model in plain float64 loops, one token of one sequence at a time: an independent reference,
// written from the model's definition and not from this project's code. No tfjs, chunks or cache.
import type { ReneConfig } from '@rene-js/rene';
import { layerKinds } from '@rene-js/rene/internal';
import {
  at,
  gelu,
  layerNorm,
  linear,
  type Numbers,
  range,
  rmsNorm,
  silu,
  softmax,
  softplus,
  sum,
} from './numbers.js';

/** Keyed by the names of the original's state_dict, row-major. */
export type Weights = ReadonlyMap<string, Float64Array>;

/** The state of a Mamba-2 block: the last raw inputs of the convolution, oldest first, and (H, P, N). */
export interface SsdMemory {
  kind: 'ssd';
  conv: number[][];
  ssm: Float64Array;
}

/** All keys and values since the first token, (Hkv, P) per token. */
export interface AttentionMemory {
  kind: 'attn';
  k: number[][];
  v: number[][];
}

export type Memory = SsdMemory | AttentionMemory | { kind: 'mlp' };

/** The outputs of one token. */
export interface Step {
  /** 'embed', each block's output under its index, 'norm_f'. */
  hidden: Map<string, number[]>;
  logits: number[];
}

/** One sequence, read token by token. */
export class ReferenceRow {
  readonly memories: Memory[];

  constructor(
    private readonly config: ReneConfig,
    private readonly weights: Weights,
    memories?: Memory[],
  ) {
    this.memories = memories ?? this.emptyMemories();
  }

  /** A copy that continues independently. */
  clone(): ReferenceRow {
    return new ReferenceRow(this.config, this.weights, structuredClone(this.memories));
  }

  private emptyMemories(): Memory[] {
    const { dSsm, dState, dConv, nGroups } = this.config.ssm;
    return layerKinds(this.config).map((kind): Memory => {
      if (kind === 'mlp') return { kind };
      if (kind === 'attn') return { kind, k: [], v: [] };
      const convDim = dSsm + 2 * nGroups * dState;
      return {
        kind,
        conv: range(dConv).map(() => Array(convDim).fill(0)),
        ssm: new Float64Array(dSsm * dState),
      };
    });
  }

  /** Reads one more token. */
  step(id: number): Step {
    const { dModel } = this.config;
    const embedding = this.weight('backbone.embedding.weight');
    let x = range(dModel).map((i) => at(embedding, id * dModel + i));
    const hidden = new Map([['embed', x]]);
    this.memories.forEach((memory, i) => {
      const layer = `backbone.layers.${i}.`;
      const mixed = this.mixer(`${layer}mixer.`, memory, this.norm(`${layer}norm.`, x));
      x = x.map((value, channel) => value + at(mixed, channel));
      hidden.set(String(i), x);
    });
    const normed = this.norm('backbone.norm_f.', x);
    hidden.set('norm_f', normed);
    const tied = this.config.tieWordEmbeddings;
    const head = tied ? embedding : this.weight('lm_head.weight');
    return { hidden, logits: linear(normed, head, this.weights.get('lm_head.bias')) };
  }

  private mixer(prefix: string, memory: Memory, x: number[]): number[] {
    switch (memory.kind) {
      case 'ssd':
        return this.mamba2(prefix, memory, x);
      case 'attn':
        return this.attention(prefix, memory, x);
      case 'mlp':
        return this.mlp(prefix, x);
    }
  }

  private mamba2(prefix: string, memory: SsdMemory, x: number[]): number[] {
    const {
      dSsm,
      dInner,
      dState,
      nGroups,
      headDim,
      normBeforeGate,
      rmsNorm: normed,
    } = this.config.ssm;
    const heads = dSsm / headDim;
    const dMlp = dInner - dSsm;
    const bc = nGroups * dState;
    const convDim = dSsm + 2 * bc;
    const parts = splitAt(this.linear(`${prefix}in_proj.`, x), [dMlp, dMlp, dSsm, convDim, heads]);
    const [z0 = [], x0 = [], z = [], xBC = [], dt = []] = parts;
    const [xs = [], B = [], C = []] = splitAt(this.convolve(prefix, memory, xBC), [dSsm, bc, bc]);
    const y = this.scan(prefix, memory, xs, dt, B, C);

    const gate = z.map(silu);
    const gated = y.map((value, i) => value * at(gate, i));
    let out = gated;
    if (normed) {
      const weight = this.weight(`${prefix}norm.weight`);
      const groupSize = dSsm / nGroups;
      out = normBeforeGate
        ? rmsNorm(y, weight, 1e-5, groupSize).map((value, i) => value * at(gate, i))
        : rmsNorm(gated, weight, 1e-5, groupSize);
    }
    const plain = z0.map((value, i) => silu(value) * at(x0, i));
    return this.linear(`${prefix}out_proj.`, [...plain, ...out]);
  }

  /** silu(bias + sum over w of weight[c, w] * the input w - (W-1) tokens ago). */
  private convolve(prefix: string, memory: SsdMemory, xBC: number[]): number[] {
    memory.conv.push(xBC);
    memory.conv.shift();
    const weight = this.weight(`${prefix}conv1d.weight`);
    const bias = this.weights.get(`${prefix}conv1d.bias`);
    const width = memory.conv.length;
    return xBC.map((_, channel) => {
      const taps = memory.conv.map((x, w) => at(weight, channel * width + w) * at(x, channel));
      return silu(sum(taps) + (bias ? at(bias, channel) : 0));
    });
  }

  /** state = exp(dt A) state + dt x B^T; y = state C + D x. */
  private scan(
    prefix: string,
    { ssm }: SsdMemory,
    x: number[],
    rawDt: number[],
    B: number[],
    C: number[],
  ): number[] {
    const { dState, headDim, nGroups, dHasHdim, dtLimit } = this.config.ssm;
    const [aLog, dtBias, D] = ['A_log', 'dt_bias', 'D'].map((name) => this.weight(prefix + name));
    const heads = rawDt.length;
    const steps = rawDt.map((raw, head) => {
      const unlimited = softplus(raw + at(dtBias ?? [], head));
      return Math.min(Math.max(unlimited, dtLimit[0]), dtLimit[1]);
    });
    return x.map((value, channel) => {
      const head = Math.floor(channel / headDim);
      const group = Math.floor(head / (heads / nGroups));
      const dt = at(steps, head);
      const decay = Math.exp(-dt * Math.exp(at(aLog ?? [], head)));
      let y = at(D ?? [], dHasHdim ? channel : head) * value;
      for (let n = 0; n < dState; n++) {
        const i = channel * dState + n;
        ssm[i] = at(ssm, i) * decay + dt * value * at(B, group * dState + n);
        y += at(ssm, i) * at(C, group * dState + n);
      }
      return y;
    });
  }

  private attention(prefix: string, memory: AttentionMemory, x: number[]): number[] {
    const { attn } = this.config;
    if (!attn) throw new Error('no attention in this configuration');
    const { numHeads, numHeadsKv, headDim, slidingWindowLength, softmaxScale } = attn;
    const kvSize = numHeadsKv * headDim;
    const projected = this.linear(`${prefix}in_proj.`, x);
    const [q = [], k = [], v = []] = splitAt(projected, [numHeads * headDim, kvSize, kvSize]);
    memory.k.push(k);
    memory.v.push(v);
    const seen = range(memory.k.length).slice(-(slidingWindowLength ?? memory.k.length));
    const heads = range(numHeads).flatMap((head) => {
      const start = Math.floor(head / (numHeads / numHeadsKv)) * headDim;
      const scores = seen.map((t) => {
        const products = range(headDim).map(
          (i) => at(q, head * headDim + i) * at(memory.k[t] ?? [], start + i),
        );
        return sum(products) * (softmaxScale ?? 1 / Math.sqrt(headDim));
      });
      const weights = softmax(scores);
      return range(headDim).map((i) =>
        sum(seen.map((t, j) => at(weights, j) * at(memory.v[t] ?? [], start + i))),
      );
    });
    return this.linear(`${prefix}out_proj.`, heads);
  }

  private mlp(prefix: string, x: number[]): number[] {
    const { mlp } = this.config;
    if (!mlp) throw new Error('no MLP in this configuration');
    const activation = mlp.activation === 'gelu' ? gelu : silu;
    let hidden = this.linear(`${prefix}in_proj.`, x).map(activation);
    if (mlp.gated) {
      const gate = this.linear(`${prefix}gate_proj.`, x);
      hidden = hidden.map((value, i) => value * at(gate, i));
    }
    if (mlp.gated && mlp.norm) hidden = rmsNorm(hidden, this.weight(`${prefix}norm.weight`), 1e-5);
    return this.linear(`${prefix}out_proj.`, hidden);
  }

  private norm(prefix: string, x: number[]): number[] {
    const { rmsNorm: rms, normEps } = this.config;
    const weight = this.weight(`${prefix}weight`);
    if (rms) return rmsNorm(x, weight, normEps);
    return layerNorm(x, weight, this.weight(`${prefix}bias`), normEps);
  }

  private linear(prefix: string, x: Numbers): number[] {
    return linear(x, this.weight(`${prefix}weight`), this.weights.get(`${prefix}bias`));
  }

  private weight(name: string): Float64Array {
    const values = this.weights.get(name);
    if (!values) throw new Error(`the reference has no weight ${name}`);
    return values;
  }
}

/** Mean next-token cross entropy over the rows, as in the loss of the gradients. */
export function referenceLoss(config: ReneConfig, weights: Weights, ids: number[][]): number {
  const losses = ids.flatMap((row) => {
    const reader = new ReferenceRow(config, weights);
    return row.slice(0, -1).map((id, i) => {
      const { logits } = reader.step(id);
      const largest = Math.max(...logits);
      const total = Math.log(sum(logits.map((value) => Math.exp(value - largest)))) + largest;
      return total - at(logits, at(row, i + 1));
    });
  });
  return sum(losses) / losses.length;
}

/** Splits a list into parts of these sizes. */
function splitAt(values: number[], sizes: number[]): number[][] {
  let start = 0;
  return sizes.map((size) => {
    start += size;
    return values.slice(start - size, start);
  });
}
