// The tensors of a hybrid's checkpoint, and the layers' parameters derived from them. hybrid_scales.ts says
// where multipliers go. Only one is left for the rows of a matrix: that of dt if it differs from that of z,
// which no published model has.
import { Linear, Mamba2Mixer, type ParameterSpec } from '@rene-js/layers';
import { withPrefix } from '@rene-js/layers/internal';
import type { LayerParameter, RowSlice } from './blueprint.js';
import type { AttentionBlock, HybridBlock, Mamba2Block, MlpBlock } from './hybrid_config.js';
import { attentionInput, type BlockScales } from './hybrid_scales.js';

/** The tensors of a block, and its mixer's parameters. */
export interface BlockParameters {
  readonly tensors: readonly ParameterSpec[];
  readonly parameters: readonly LayerParameter[];
}

type Scales = Pick<BlockScales, 'norm' | 'output'>;

/**
 * @param scales the factors of the block's norm and of what it adds
 * @param from prefix of the block's tensor names
 * @param to prefix of the layer's parameter names
 */
export function blockParameters(
  block: HybridBlock,
  scales: Scales,
  from: string,
  to: string,
): BlockParameters {
  switch (block.kind) {
    case 'ssd':
      return mamba2Parameters(block, scales, from, to);
    case 'attn':
      return attentionParameters(block, scales, from, to);
    case 'mlp':
      return mlpParameters(block, scales, from, to);
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
  block: Mamba2Block,
  { norm, output }: Scales,
  from: string,
  to: string,
): BlockParameters {
  const { sizes, inProjBias, outProjBias } = block;
  const isThere: Readonly<Record<string, boolean>> = {
    'in_proj.bias': inProjBias,
    'out_proj.bias': outProjBias,
  };
  const own = Mamba2Mixer.parameters({ ...sizes, bias: true }).filter(
    ({ name }) => isThere[name] ?? true,
  );
  const { rows, bias, convolution } = sectionScales(block, norm);
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
        return wholeTensor(tensor, whole.name, output);
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

function attentionParameters(
  block: AttentionBlock,
  { norm, output }: Scales,
  from: string,
  to: string,
): BlockParameters {
  const { sizes, bias } = block;
  const { dModel, numHeads, numHeadsKv, headDim } = sizes;
  const inputBias = 1 / attentionInput(block, norm);
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
      ...(bias ? [joined('bias', inputBias)] : []),
      ...out.map((spec) => {
        const isBias = spec.name.endsWith('.bias');
        const name = `${to}out_proj.${isBias ? 'bias' : 'weight'}`;
        return wholeTensor(spec, name, isBias ? output : 1);
      }),
    ],
  };
}

function mlpParameters(
  { sizes, names, gateScale = 1 }: MlpBlock,
  { norm, output }: Scales,
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
  // The activation's input has the norm's factor, and so has what multiplies it.
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
        const isBias = spec.kind !== 'matrix';
        const name = `${to}out_proj.${isBias ? 'bias' : 'weight'}`;
        return wholeTensor(spec, name, isBias ? output : 1);
      }),
    ],
  };
}
