// The tensors of a hybrid's checkpoint, and the layers' parameters derived from them. Multipliers are folded
// into norms, convolutions, biases and softmax scales if possible, which are f32, so that matrices of few bits stay
// as they are; else into the rows of matrices.
import { Linear, Mamba2Mixer, type ParameterSpec } from '@rene-js/layers';
import { withPrefix } from '@rene-js/layers/internal';
import type { LayerParameter, RowSlice } from './blueprint.js';
import type { AttentionBlock, HybridBlock, Mamba2Block, MlpBlock } from './hybrid_config.js';

/** The tensors of a block, and its mixer's parameters. */
export interface BlockParameters {
  readonly tensors: readonly ParameterSpec[];
  readonly parameters: readonly LayerParameter[];
}

/** The factor of the norm before a block, which its parallel blocks share. */
export function normScale(block: HybridBlock): number {
  switch (block.kind) {
    case 'ssd':
      return (block.inScale ?? 1) * (block.sectionScales?.[0] ?? 1);
    case 'attn':
      return 1;
    case 'mlp':
      return block.gateScale ?? 1;
  }
}

/**
 * @param norm the factor that the block's norm has
 * @param from prefix of the block's tensor names
 * @param to prefix of the layer's parameter names
 */
export function blockParameters(
  block: HybridBlock,
  norm: number,
  from: string,
  to: string,
): BlockParameters {
  switch (block.kind) {
    case 'ssd':
      return mamba2Parameters(block, norm, from, to);
    case 'attn':
      return attentionParameters(block, norm, from, to);
    case 'mlp':
      return mlpParameters(block, norm, from, to);
  }
}

/** A parameter that is one tensor of the checkpoint, times a factor. */
export function wholeTensor(spec: ParameterSpec, name: string, scale = 1): LayerParameter {
  const { shape, kind } = spec;
  return {
    name,
    shape,
    kind,
    slices: [{ tensor: spec.name, first: 0, rows: shape[0] ?? 0, scale }],
  };
}

function mamba2Parameters(
  { sizes, inProjBias, outProjBias, ...scales }: Mamba2Block,
  norm: number,
  from: string,
  to: string,
): BlockParameters {
  const { outScale = 1 } = scales;
  const isThere: Readonly<Record<string, boolean>> = {
    'in_proj.bias': inProjBias,
    'out_proj.bias': outProjBias,
  };
  const own = Mamba2Mixer.parameters({ ...sizes, bias: true }).filter(
    ({ name }) => isThere[name] ?? true,
  );
  const hasNorm = own.some(({ name }) => name === 'norm.weight');
  const { rows, bias, convolution } = sectionScales(scales, norm);
  const { dInner, headDim, dState, nGroups } = sizes;
  const channels = [dInner, nGroups * dState, nGroups * dState];
  const outputs = [dInner, ...channels, dInner / headDim];
  const parameters = own.map((spec): LayerParameter => {
    const tensor = { ...spec, name: from + spec.name };
    const whole = wholeTensor(tensor, to + spec.name);
    switch (spec.name) {
      case 'in_proj.weight':
        return { ...whole, slices: sections(tensor.name, outputs, rows) };
      case 'in_proj.bias':
        return { ...whole, slices: sections(tensor.name, outputs, bias) };
      case 'conv1d.weight':
        return { ...whole, slices: sections(tensor.name, channels, convolution) };
      case 'norm.weight':
      case 'out_proj.bias':
        return wholeTensor(tensor, whole.name, outScale);
      case 'out_proj.weight':
        return wholeTensor(tensor, whole.name, hasNorm ? 1 : outScale);
      default:
        return whole;
    }
  });
  return { tensors: withPrefix(from, own), parameters };
}

/**
 * Factors of in_proj's outputs z, x, B, C and dt. The norm has that of z. The convolution takes those of x, B and C;
 * that of dt is the norm's in all models that are known, so that no matrix changes.
 */
function sectionScales(
  { sectionScales: given, inScale = 1 }: Pick<Mamba2Block, 'sectionScales' | 'inScale'>,
  norm: number,
): { rows: number[]; bias: number[]; convolution: number[] } {
  const [z = 1, x = 1, b = 1, c = 1, dt = 1] = given ?? [];
  const bias = norm / inScale;
  return {
    rows: [(inScale * z) / norm, 1, 1, 1, (inScale * dt) / norm],
    bias: [z, bias, bias, bias, dt],
    convolution: [x, b, c].map((scale) => (inScale * scale) / norm),
  };
}

/** Slices of a tensor's rows, each with a factor. */
function sections(
  tensor: string,
  widths: readonly number[],
  scales: readonly number[],
): RowSlice[] {
  const total = widths.reduce((sum, width) => sum + width, 0);
  const [scale = 1] = scales;
  if (scales.every((each) => each === scale)) return [{ tensor, first: 0, rows: total, scale }];
  let first = 0;
  return widths.map((rows, i) => {
    const slice = { tensor, first, rows, scale: scales[i] ?? 1 };
    first += rows;
    return slice;
  });
}

/**
 * A factor of the input scales queries, keys and values: scores twice and values once.
 *
 * @param norm the factor that the input has already
 */
export function attentionScales(
  { inScale = 1, outScale = 1, sizes }: AttentionBlock,
  norm: number,
) {
  const scale = inScale / norm;
  return {
    bias: 1 / scale,
    out: outScale * scale,
    softmaxScale: sizes.softmaxScale * scale * scale,
  };
}

function attentionParameters(
  block: AttentionBlock,
  norm: number,
  from: string,
  to: string,
): BlockParameters {
  const { sizes, bias } = block;
  const { dModel, numHeads, numHeadsKv, headDim } = sizes;
  const scales = attentionScales(block, norm);
  const widths = {
    q_proj: numHeads * headDim,
    k_proj: numHeadsKv * headDim,
    v_proj: numHeadsKv * headDim,
  };
  const into = Object.entries(widths).map(([name, rows]) =>
    withPrefix(`${from}${name}.`, Linear.parameters(dModel, rows, bias)),
  );
  const out = withPrefix(`${from}o_proj.`, Linear.parameters(numHeads * headDim, dModel, bias));
  const rows = (numHeads + 2 * numHeadsKv) * headDim;
  const joined = (part: 'weight' | 'bias', scale: number): LayerParameter => ({
    name: `${to}in_proj.${part}`,
    shape: part === 'weight' ? [rows, dModel] : [rows],
    kind: part === 'weight' ? 'matrix' : 'vector',
    slices: into
      .flat()
      .filter(({ name }) => name.endsWith(`.${part}`))
      .map(({ name, shape }) => ({ tensor: name, first: 0, rows: shape[0] ?? 0, scale })),
  });
  return {
    tensors: [...into.flat(), ...out],
    parameters: [
      joined('weight', 1),
      ...(bias ? [joined('bias', scales.bias)] : []),
      ...out.map((spec) => {
        const isBias = spec.name.endsWith('.bias');
        const scale = isBias ? (block.outScale ?? 1) : scales.out;
        return wholeTensor(spec, `${to}out_proj.${isBias ? 'bias' : 'weight'}`, scale);
      }),
    ],
  };
}

function mlpParameters(
  { sizes, names, gateScale = 1, outScale = 1 }: MlpBlock,
  norm: number,
  from: string,
  to: string,
): BlockParameters {
  const { dModel, dInner, bias = false } = sizes;
  const isFused = names.gate === names.up;
  const linear = (name: string, inputs: number, outputs: number) =>
    withPrefix(`${from}${name}.`, Linear.parameters(inputs, outputs, bias));
  const gate = linear(names.gate, dModel, isFused ? 2 * dInner : dInner);
  const up = names.up === undefined ? [] : isFused ? gate : linear(names.up, dModel, dInner);
  const down = linear(names.down, dInner, dModel);
  // The activation's input has the norm's factor, and so has what multiplies it, which the output takes back.
  const part = (
    spec: ParameterSpec,
    name: string,
    first: number,
    scales: { matrix: number; bias: number },
  ): LayerParameter => {
    const [, ...rest] = spec.shape;
    const suffix = spec.kind === 'matrix' ? 'weight' : 'bias';
    return {
      name: `${to}${name}.${suffix}`,
      shape: [dInner, ...rest],
      kind: spec.kind,
      slices: [
        {
          tensor: spec.name,
          first,
          rows: dInner,
          scale: spec.kind === 'matrix' ? scales.matrix : scales.bias,
        },
      ],
    };
  };
  return {
    tensors: [...gate, ...(isFused ? [] : up), ...down],
    parameters: [
      ...gate.map((spec) =>
        part(spec, 'in_proj', 0, { matrix: gateScale / norm, bias: gateScale }),
      ),
      ...up.map((spec) => part(spec, 'gate_proj', isFused ? dInner : 0, { matrix: 1, bias: norm })),
      ...down.map((spec) => {
        if (spec.kind !== 'matrix') return wholeTensor(spec, `${to}out_proj.bias`, outScale);
        const scale = names.up === undefined ? outScale : outScale / norm;
        return wholeTensor(spec, `${to}out_proj.weight`, scale);
      }),
    ],
  };
}
