// The tensors of a hybrid's checkpoint, and the layers' parameters derived from them. Multipliers are folded
// into norms and softmax scales if possible, which is exact, else into the rows of matrices.
import { Linear, Mamba2Mixer, type ParameterSpec } from '@rene-js/layers';
import { withPrefix } from '@rene-js/layers/internal';
import type { LayerParameter, RowSlice } from './blueprint.js';
import type { AttentionBlock, HybridBlock, Mamba2Block, MlpBlock } from './hybrid_config.js';

/** The tensors of a block, and its mixer's parameters. */
export interface BlockParameters {
  readonly tensors: readonly ParameterSpec[];
  readonly parameters: readonly LayerParameter[];
}

/**
 * @param from prefix of the block's tensor names
 * @param to prefix of the layer's parameter names
 */
export function blockParameters(block: HybridBlock, from: string, to: string): BlockParameters {
  switch (block.kind) {
    case 'ssd':
      return mamba2Parameters(block, from, to);
    case 'attn':
      return attentionParameters(block, from, to);
    case 'mlp':
      return mlpParameters(block, from, to);
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
  from: string,
  to: string,
): BlockParameters {
  const { inScale = 1, outScale = 1 } = scales;
  const isThere: Readonly<Record<string, boolean>> = {
    'in_proj.bias': inProjBias,
    'out_proj.bias': outProjBias,
  };
  const own = Mamba2Mixer.parameters({ ...sizes, bias: true }).filter(
    ({ name }) => isThere[name] ?? true,
  );
  const hasNorm = own.some(({ name }) => name === 'norm.weight');
  const parameters = own.map((spec): LayerParameter => {
    const tensor = { ...spec, name: from + spec.name };
    const name = to + spec.name;
    switch (spec.name) {
      case 'in_proj.weight':
        return { ...wholeTensor(tensor, name), slices: sections(scales, sizes, tensor, inScale) };
      case 'in_proj.bias':
        return { ...wholeTensor(tensor, name), slices: sections(scales, sizes, tensor, 1) };
      case 'norm.weight':
      case 'out_proj.bias':
        return wholeTensor(tensor, name, outScale);
      case 'out_proj.weight':
        return wholeTensor(tensor, name, hasNorm ? 1 : outScale);
      default:
        return wholeTensor(tensor, name);
    }
  });
  return { tensors: withPrefix(from, own), parameters };
}

/** The sections of in_proj's rows: z, x, B, C, dt. */
function sections(
  { sectionScales = [1, 1, 1, 1, 1] }: Pick<Mamba2Block, 'sectionScales'>,
  { dInner, headDim, dState, nGroups }: Mamba2Block['sizes'],
  { name, shape }: ParameterSpec,
  scale: number,
): RowSlice[] {
  const widths = [dInner, dInner, nGroups * dState, nGroups * dState, dInner / headDim];
  const scales = sectionScales.map((section) => section * scale);
  if (scales.every((each) => each === scales[0])) {
    return [{ tensor: name, first: 0, rows: shape[0] ?? 0, scale: scales[0] ?? 1 }];
  }
  let first = 0;
  return widths.map((rows, i) => {
    const slice = { tensor: name, first, rows, scale: scales[i] ?? 1 };
    first += rows;
    return slice;
  });
}

/** Without a bias, a factor of the input scales queries, keys and values: scores twice and values once. */
export function attentionScales({ bias, inScale = 1, outScale = 1, sizes }: AttentionBlock) {
  const { softmaxScale } = sizes;
  return bias
    ? { rows: inScale, out: outScale, softmaxScale }
    : { rows: 1, out: outScale * inScale, softmaxScale: softmaxScale * inScale * inScale };
}

function attentionParameters(block: AttentionBlock, from: string, to: string): BlockParameters {
  const { sizes, bias } = block;
  const { dModel, numHeads, numHeadsKv, headDim } = sizes;
  const scales = attentionScales(block);
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
      joined('weight', scales.rows),
      ...(bias ? [joined('bias', 1)] : []),
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
  const part = (
    spec: ParameterSpec,
    name: string,
    first: number,
    scale: number,
  ): LayerParameter => {
    const [, ...rest] = spec.shape;
    const suffix = spec.kind === 'matrix' ? 'weight' : 'bias';
    return {
      name: `${to}${name}.${suffix}`,
      shape: [dInner, ...rest],
      kind: spec.kind,
      slices: [{ tensor: spec.name, first, rows: dInner, scale }],
    };
  };
  return {
    tensors: [...gate, ...(isFused ? [] : up), ...down],
    parameters: [
      ...gate.map((spec) => part(spec, 'in_proj', 0, gateScale)),
      ...up.map((spec) => part(spec, 'gate_proj', isFused ? dInner : 0, 1)),
      ...down.map((spec) => {
        const suffix = spec.kind === 'matrix' ? 'weight' : 'bias';
        return wholeTensor(spec, `${to}out_proj.${suffix}`, outScale);
      }),
    ],
  };
}
