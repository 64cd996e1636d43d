// AttentionMixer: projections and attention on addresses, without tensors in between.
import type { AttentionMixerAttrs, KernelInputs } from '../../kernels.js';
import { alignedRow, numberBytes } from './activations.js';
import type { Address } from './address.js';
import type { AttentionCall, InputNorm, Projection } from './calls.js';
import type { DeferredUpdates } from './deferred_updates.js';
import { type NativeTensors, nativeKernel, optionalAddress } from './kernel.js';
import { linear, linearInput } from './linear_input.js';
import { withTemporaries } from './memory.js';
import type { NativeOps } from './ops.js';
import { maxKeys, withCache } from './sliding_window_attention.js';
import { projection } from './weights.js';

/** An attention mixer's weights as addresses, and its sizes. */
export interface AttentionWeights
  extends Pick<AttentionMixerAttrs, 'heads' | 'kvHeads' | 'headDim' | 'window' | 'scale'> {
  inProj: Projection;
  outProj: Projection;
  /** Inverse frequencies of `rotaryHalf` pairs; 0 without rotary positions. */
  rotary: Address;
  rotaryHalf: number;
}

/** A run of tokens. */
export interface AttentionRun
  extends Pick<AttentionCall, 'batch' | 'length' | 'cache' | 'maxKeys'> {
  x: Address;
  /** The block's norm, if x is not normalised yet. */
  norm?: InputNorm;
  residual: Address;
  /** May be the residual. */
  y: Address;
  /** Given, the cache of this one sequence is advanced later. */
  deferred?: DeferredUpdates | undefined;
}

export const attentionMixerKernel = nativeKernel('AttentionMixer', (inputs, attrs, tensors) => {
  const { x, residual, cacheK, cacheV } = inputs;
  const { positions, window } = attrs;
  const [batch = 0, length = 0] = x.shape;
  const [dModel = 0] = attrs.outProj.shape;
  const weights = attentionWeights(tensors, inputs, attrs);
  const y = tensors.allocate([batch, length, dModel]);
  const run = {
    x: tensors.address(x),
    residual: optionalAddress(tensors, residual),
    y: y.address,
    batch,
    length,
    maxKeys: maxKeys(window, length, positions),
  };
  const caches = withCache(tensors, cacheK, cacheV, positions, (cache) =>
    attendTokens(tensors.ops, weights, { ...run, ...cache }),
  );
  return [y.info, ...caches];
});

export function attentionWeights(
  tensors: NativeTensors,
  inputs: Omit<KernelInputs<'AttentionMixer'>, 'x' | 'residual' | 'cacheK' | 'cacheV'>,
  attrs: Omit<AttentionMixerAttrs, 'positions'>,
): AttentionWeights {
  const name = 'AttentionMixer';
  const { heads, kvHeads, headDim, window, scale } = attrs;
  return {
    inProj: projection(name, tensors, inputs.inProj, attrs.inProj, inputs.inProjBias),
    outProj: projection(name, tensors, inputs.outProj, attrs.outProj, inputs.outProjBias),
    rotary: optionalAddress(tensors, inputs.rotary),
    rotaryHalf: inputs.rotary?.size ?? 0,
    ...{ heads, kvHeads, headDim, window, scale },
  };
}

/** The whole mixer: norm and in_proj; rotary positions; attention, which updates the cache; out_proj and residual. */
export function attendTokens(
  ops: NativeOps,
  { inProj, outProj, rotary, rotaryHalf, ...sizes }: AttentionWeights,
  run: AttentionRun,
): void {
  const { heads, kvHeads, headDim } = sizes;
  const { x, norm, residual, y, deferred, ...tokens } = run;
  const rows = run.batch * run.length;
  const width = heads * headDim;
  const [outFeatures = 0] = outProj.attrs.shape;
  const [features = 0, dModel = 0] = inProj.attrs.shape;
  const format = ops.activationFormat(run.length, [inProj.attrs, outProj.attrs]);
  const yFormat = ops.linearInputFormat(rows, outProj.attrs, [inProj.attrs]);
  const bytes = numberBytes[format];
  const stride = alignedRow(features);
  withTemporaries(ops.temporaries, (temporaries) => {
    const qkv = (deferred ?? temporaries).allocate(rows * stride * bytes);
    const input = linearInput(ops, { x, xStride: dModel, rows, norm }, dModel, () =>
      temporaries.allocate(rows * dModel * 4),
    );
    linear(ops, input, inProj, { y: qkv, yStride: stride, yFormat: format });
    if (rotary !== 0) {
      ops.rotate({
        x: qkv,
        xStride: stride,
        format,
        frequencies: rotary,
        positions: run.cache?.positions ?? 0,
        batch: run.batch,
        length: run.length,
        heads: heads + kvHeads,
        headDim,
        half: rotaryHalf,
      });
    }
    const attended = temporaries.allocate(rows * width * numberBytes[yFormat]);
    const call: AttentionCall = {
      q: qkv,
      qStride: stride,
      k: qkv + width * bytes,
      v: qkv + (width + kvHeads * headDim) * bytes,
      kvStride: stride,
      format,
      y: attended,
      yStride: width,
      yFormat,
      ...sizes,
      ...tokens,
      rounds: inProj.attrs.format !== 'f32',
    };
    const { cache } = call;
    ops.attend(deferred && cache ? { ...call, cache: { ...cache, isReadOnly: true } } : call);
    deferred?.add((count) => ops.writeCache?.({ ...call, length: count }));
    const values = { x: attended, xStride: width, xFormat: yFormat, rows };
    linear(ops, values, outProj, { residual, y, yStride: outFeatures });
  });
}
