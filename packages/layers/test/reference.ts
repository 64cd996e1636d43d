// Every op as plain float64 loops over its definition: no chunks, blocks, cache or masks.
import type { Activation } from '@rene-js/layers';
import { Numbers, range } from './numbers.js';

export function softplus(x: number): number {
  return x > 20 ? x : Math.log1p(Math.exp(x));
}

export function activate(x: number, activation: Activation): number {
  switch (activation) {
    case 'linear':
      return x;
    case 'silu':
      return x / (1 + Math.exp(-x));
    case 'gelu':
      return (x / 2) * (1 + erf(x / Math.SQRT2));
    case 'relu2':
      return Math.max(x, 0) ** 2;
  }
}

/** 2/sqrt(pi) exp(-x^2) times the sum of 2^n x^(2n+1) / (2n+1)!!, whose terms have the same sign. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

export interface SsdInputs {
  x: Numbers;
  dt: Numbers;
  A: Numbers;
  B: Numbers;
  C: Numbers;
  D?: Numbers | undefined;
  dtBias?: Numbers | undefined;
  state?: Numbers | undefined;
}

/** The recurrence over tokens. */
export function ssdScan(
  { x, dt, A, B, C, D, dtBias, state: initial }: SsdInputs,
  [dtMin, dtMax]: readonly [number, number] = [0, Number.POSITIVE_INFINITY],
  dtSoftplus = true,
): { y: Numbers; state: Numbers } {
  const [batch = 0, length = 0, heads = 0, dim = 0] = x.shape;
  const [, , groups = 0, n = 0] = B.shape;
  const y = new Numbers(x.shape);
  const state = initial ? initial.clone() : new Numbers([batch, heads, dim, n]);
  for (const b of range(batch)) {
    for (const t of range(length)) {
      for (const h of range(heads)) {
        const g = Math.floor(h / (heads / groups));
        const raw = dt.at(b, t, h) + (dtBias?.at(h) ?? 0);
        const step = Math.min(Math.max(dtSoftplus ? softplus(raw) : raw, dtMin), dtMax);
        const decay = Math.exp(step * A.at(h));
        for (const p of range(dim)) {
          const skip = D ? (D.shape.length === 1 ? D.at(h) : D.at(h, p)) : 0;
          y.set(skip * x.at(b, t, h, p), b, t, h, p);
          for (const i of range(n)) {
            const added = step * x.at(b, t, h, p) * B.at(b, t, g, i);
            const next = decay * state.at(b, h, p, i) + added;
            state.set(next, b, h, p, i);
            y.add(next * C.at(b, t, g, i), b, t, h, p);
          }
        }
      }
    }
  }
  return { y, state };
}

export interface SsdGradients {
  x: Numbers;
  dt: Numbers;
  A: Numbers;
  B: Numbers;
  C: Numbers;
  D?: Numbers | undefined;
  dtBias?: Numbers | undefined;
  state?: Numbers | undefined;
}

/** The gradients of sum(y dy) + sum(state dstate): the recurrence backwards over the stored states. */
export function ssdScanGrad(
  inputs: SsdInputs,
  dy: Numbers,
  dstate: Numbers | undefined,
  [dtMin, dtMax]: readonly [number, number] = [0, Number.POSITIVE_INFINITY],
  dtSoftplus = true,
): SsdGradients {
  const { x, dt, A, B, C, D, dtBias, state: initial } = inputs;
  const [batch = 0, length = 0, heads = 0, dim = 0] = x.shape;
  const [, , groups = 0, n = 0] = B.shape;
  const zeros = (numbers: Numbers) => new Numbers(numbers.shape);
  const made = {
    ...{ x: zeros(x), dt: zeros(dt), A: zeros(A), B: zeros(B), C: zeros(C) },
    ...{ D: D && zeros(D), dtBias: dtBias && zeros(dtBias), state: initial && zeros(initial) },
  };
  for (const b of range(batch)) {
    for (const h of range(heads)) {
      const g = Math.floor(h / (heads / groups));
      const raw = range(length).map((t) => dt.at(b, t, h) + (dtBias?.at(h) ?? 0));
      const free = raw.map((value) => (dtSoftplus ? softplus(value) : value));
      const steps = free.map((value) => Math.min(Math.max(value, dtMin), dtMax));
      const decays = steps.map((step) => Math.exp(step * A.at(h)));
      const dsteps = new Float64Array(length);
      for (const p of range(dim)) {
        for (const i of range(n)) {
          // states[t] is the state before token t.
          const states = [initial?.at(b, h, p, i) ?? 0];
          steps.forEach((step, t) => {
            const added = step * x.at(b, t, h, p) * B.at(b, t, g, i);
            states.push((decays[t] ?? 0) * (states[t] ?? 0) + added);
          });
          let d = dstate?.at(b, h, p, i) ?? 0;
          for (let t = length - 1; t >= 0; t--) {
            const [step = 0, decay = 0, before = 0, after = 0] = [
              ...[steps[t], decays[t], states[t], states[t + 1]],
            ];
            made.C.add(dy.at(b, t, h, p) * after, b, t, g, i);
            d += dy.at(b, t, h, p) * C.at(b, t, g, i);
            made.x.add(d * step * B.at(b, t, g, i), b, t, h, p);
            made.B.add(d * step * x.at(b, t, h, p), b, t, g, i);
            const dstep = d * (x.at(b, t, h, p) * B.at(b, t, g, i) + decay * before * A.at(h));
            dsteps[t] = (dsteps[t] ?? 0) + dstep;
            made.A.add(d * decay * before * step, h);
            d *= decay;
          }
          made.state?.add(d, b, h, p, i);
        }
        for (const t of range(length)) {
          const index = D?.shape.length === 1 ? [h] : [h, p];
          made.x.add(dy.at(b, t, h, p) * (D?.at(...index) ?? 0), b, t, h, p);
          made.D?.add(dy.at(b, t, h, p) * x.at(b, t, h, p), ...index);
        }
      }
      dsteps.forEach((dstep, t) => {
        const [value = 0, step = 0] = [raw[t], free[t]];
        const slope = dtSoftplus ? 1 / (1 + Math.exp(-value)) : 1;
        const passes = step >= dtMin && step <= dtMax;
        made.dt.add(passes ? dstep * slope : 0, b, t, h);
        made.dtBias?.add(passes ? dstep * slope : 0, h);
      });
    }
  }
  return made;
}

/** Token i attends to tokens i - window + 1 ... i. */
export function attention(
  q: Numbers,
  k: Numbers,
  v: Numbers,
  window: number,
  scale: number,
): Numbers {
  const [batch = 0, length = 0, heads = 0, dim = 0] = q.shape;
  const kvHeads = k.shape[2] ?? 1;
  const y = new Numbers(q.shape);
  for (const b of range(batch)) {
    for (const h of range(heads)) {
      const kv = Math.floor(h / (heads / kvHeads));
      for (const i of range(length)) {
        const seen = range(i + 1).filter((j) => j > i - window);
        const scores = seen.map((j) =>
          range(dim).reduce((s, p) => s + scale * q.at(b, i, h, p) * k.at(b, j, kv, p), 0),
        );
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((s, w) => s + w, 0);
        for (const p of range(dim)) {
          const mixed = seen.reduce((s, j, n) => s + (weights[n] ?? 0) * v.at(b, j, kv, p), 0);
          y.set(mixed / total, b, i, h, p);
        }
      }
    }
  }
  return y;
}

/** y and the last W raw inputs, oldest first. */
export function causalConv1d(
  x: Numbers,
  weight: Numbers,
  bias: Numbers | undefined,
  state: Numbers | undefined,
  activation: Activation,
): { y: Numbers; state: Numbers } {
  const [batch = 0, length = 0, channels = 0] = x.shape;
  const width = weight.shape[1] ?? 0;
  const y = new Numbers(x.shape);
  const after = new Numbers([batch, width, channels]);
  for (const b of range(batch)) {
    for (const c of range(channels)) {
      /** The input at a time, which may be before x. */
      const input = (t: number) => (t >= 0 ? x.at(b, t, c) : (state?.at(b, t + width, c) ?? 0));
      for (const t of range(length)) {
        const taps = range(width).map((w) => weight.at(c, w) * input(t - (width - 1) + w));
        const sum = taps.reduce((s, tap) => s + tap, bias?.at(c) ?? 0);
        y.set(activate(sum, activation), b, t, c);
      }
      for (const w of range(width)) after.set(input(length - width + w), b, w, c);
    }
  }
  return { y, state: after };
}

/** For x (T, D). */
export function gatedRmsNorm(
  x: Numbers,
  z: Numbers | null,
  weight: Numbers,
  groupSize: number,
  eps: number,
  normBeforeGate: boolean,
): Numbers {
  const [tokens = 0, channels = 0] = x.shape;
  const y = new Numbers(x.shape);
  for (const t of range(tokens)) {
    const gate = range(channels).map((c) => (z ? activate(z.at(t, c), 'silu') : 1));
    const input = range(channels).map((c) => x.at(t, c) * (normBeforeGate ? 1 : (gate[c] ?? 0)));
    for (const c of range(channels)) {
      const first = c - (c % groupSize);
      const squares = input.slice(first, first + groupSize).map((value) => value * value);
      const mean = squares.reduce((s, square) => s + square, 0) / groupSize;
      const normed = ((input[c] ?? 0) / Math.sqrt(mean + eps)) * weight.at(c);
      y.set(normBeforeGate ? normed * (gate[c] ?? 0) : normed, t, c);
    }
  }
  return y;
}

/** activation(x weight^T + bias) + residual, for x (T, inFeatures). */
export function matMul(
  x: Numbers,
  weight: Numbers,
  bias?: Numbers,
  activation: Activation = 'linear',
  residual?: Numbers,
): Numbers {
  const [tokens = 0, inFeatures = 0] = x.shape;
  const [outFeatures = 0] = weight.shape;
  const y = new Numbers([tokens, outFeatures]);
  for (const t of range(tokens)) {
    for (const o of range(outFeatures)) {
      const sum = range(inFeatures).reduce((s, i) => s + x.at(t, i) * weight.at(o, i), 0);
      const activated = activate(sum + (bias?.at(o) ?? 0), activation);
      y.set(activated + (residual?.at(t, o) ?? 0), t, o);
    }
  }
  return y;
}

/** 0 if the target is negative. */
export function crossEntropy(logits: Numbers, targets: readonly number[]): Numbers {
  const classes = range(logits.shape[1] ?? 0);
  return new Numbers(
    [targets.length],
    targets.map((target, t) => {
      if (target < 0) return 0;
      const row = classes.map((c) => logits.at(t, c));
      const largest = Math.max(...row);
      const total = row.reduce((s, value) => s + Math.exp(value - largest), 0);
      return Math.log(total) + largest - logits.at(t, target);
    }),
  );
}
