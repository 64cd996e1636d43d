// Computes layers' parameters from the tensors of a checkpoint: joins rows and applies factors.
import {
  makeParameters,
  type PackedWeight,
  type Parameter,
  type ParameterOptions,
  type ParameterSpec,
  type ParameterValues,
  type QuantizedMatrix,
  randomValues,
  type StoredMatrix,
} from '@rene-js/layers';
import { narrow, readAsF32, widen } from '@rene-js/layers/internal';
import * as tf from '@tensorflow/tfjs-core';
import type { CheckpointTensors, LayerParameter, RowSlice } from './blueprint.js';

/** A slice of an open matrix. */
export interface Part extends RowSlice {
  readonly matrix: StoredMatrix;
}

/**
 * Creates a model's parameters: the checkpoint's tensors for training, else the layers' parameters.
 *
 * @param source reads the checkpoint's tensors
 */
export function makeModelParameters(
  blueprint: CheckpointTensors,
  options: ParameterOptions,
  source: ParameterValues,
): Promise<Map<string, Parameter>> {
  const { tensors, parameters } = blueprint;
  if (parameters === undefined || options.trainable)
    return makeParameters(tensors, options, source);
  const specs = new Map(tensors.map((spec) => [spec.name, spec]));
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const slicesOf = ({ name }: ParameterSpec) =>
    (byName.get(name)?.slices ?? []).flatMap((slice) => {
      const spec = specs.get(slice.tensor);
      return spec ? [{ slice, spec }] : [];
    });
  // Values are read from the checkpoint, so no initialisation is needed.
  const init = () => {};
  return makeParameters(
    parameters.map(({ name, shape, kind }) => ({ name, shape, kind, init })),
    options,
    {
      async matrix(wanted) {
        const parts = slicesOf(wanted).map(async ({ slice, spec }) => ({
          ...slice,
          matrix: await source.matrix(spec),
        }));
        return joined(await Promise.all(parts));
      },
      async values(wanted) {
        const values = new Float32Array(wanted.shape.reduce((size, axis) => size * axis, 1));
        let at = 0;
        for (const { slice, spec } of slicesOf(wanted)) {
          const all = await source.values(spec);
          const row = all.length / (spec.shape[0] ?? 1);
          const own = all.subarray(slice.first * row, (slice.first + slice.rows) * row);
          values.set(slice.scale === 1 ? own : own.map((v) => v * slice.scale), at);
          at += own.length;
        }
        return values;
      },
    },
  );
}

/** Random parameters: each tensor of the checkpoint is drawn from its initial distribution. */
export function makeRandomParameters(
  blueprint: CheckpointTensors,
  seed: string | number,
  options: ParameterOptions,
): Promise<Map<string, Parameter>> {
  return makeModelParameters(blueprint, options, randomValues(seed));
}

/**
 * Layers' parameters by name: as loaded, or computed from the checkpoint's tensors on each access, in the
 * layer's tidy and on its tape.
 */
export function layerParameters(
  { parameters }: CheckpointTensors,
  loaded: ReadonlyMap<string, Parameter>,
): Pick<ReadonlyMap<string, Parameter>, 'get' | 'has'> {
  if (parameters === undefined) return loaded;
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const isThere = ({ slices }: LayerParameter) => slices.every(({ tensor }) => loaded.has(tensor));
  return {
    has(name) {
      const parameter = byName.get(name);
      return loaded.has(name) || (parameter !== undefined && isThere(parameter));
    },
    get(name) {
      const parameter = byName.get(name);
      if (loaded.has(name) || !parameter || !isThere(parameter)) return loaded.get(name);
      const [only] = parameter.slices;
      const whole = only && loaded.get(only.tensor);
      if (whole && parameter.slices.length === 1 && isWhole(only, whole)) return whole;
      return parameter.kind === 'matrix'
        ? computedWeight(parameter, loaded)
        : computedRows(parameter, loaded);
    },
  };
}

function isWhole({ first, rows, scale }: RowSlice, { shape }: Parameter): boolean {
  return first === 0 && scale === 1 && rows === shape[0];
}

function computedWeight(
  parameter: LayerParameter,
  loaded: ReadonlyMap<string, Parameter>,
): PackedWeight {
  const [rows = 0, columns = 0] = parameter.shape;
  return {
    format: 'f32',
    layout: 'rows',
    shape: [rows, columns],
    get tensor() {
      return computedRows(parameter, loaded);
    },
  };
}

function computedRows(
  { shape, slices }: LayerParameter,
  loaded: ReadonlyMap<string, Parameter>,
): tf.Tensor {
  return tf.tidy(() => {
    const parts = slices.map(({ tensor, first, rows, scale }) => {
      const parameter = loaded.get(tensor);
      if (!parameter) throw new Error(`the parameter ${tensor} is missing`);
      const all = parameter instanceof tf.Tensor ? parameter : parameter.tensor;
      const [total = 0] = all.shape;
      const rest = all.shape.slice(1);
      const begin = [first, ...rest.map(() => 0)];
      const own = rows === total ? all : tf.slice(all, begin, [rows, ...rest]);
      return scale === 1 ? own : tf.mul(own, scale);
    });
    const [part] = parts;
    return tf.reshape(part && parts.length === 1 ? part : tf.concat(parts, 0), [...shape]);
  });
}

/**
 * Slices joined as one matrix. It keeps their dtype, or their quantised values, if these are the same for
 * all.
 */
export function joined(parts: readonly Part[]): StoredMatrix {
  const [first] = parts;
  if (!first) throw new Error('a matrix without rows');
  const { dtype, shape } = first.matrix;
  const isWhole = first.first === 0 && first.scale === 1 && first.rows === shape[0];
  if (parts.length === 1 && isWhole) return first.matrix;
  const [, columns] = shape;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const keeps = parts.every(({ matrix, scale }) => matrix.dtype === dtype && scale === 1);
  const quantized = joinedQuantized(parts);
  const needsF32 = parts.some(({ matrix, scale }) => matrix.dtype === 'BF16' && !isExact(scale));
  return {
    shape: [rows, columns],
    dtype: keeps ? dtype : 'F32',
    needsF32,
    readRows: (begin, count) =>
      collected(parts, begin, count, async (part, from, taken) => {
        if (keeps) return part.matrix.readRows(from, taken);
        const values = await readAsF32({
          shape: [taken, columns],
          dtype: part.matrix.dtype,
          readRows: (at, size) => part.matrix.readRows(from + at, size),
        });
        if (part.scale !== 1)
          for (const i of values.keys()) values[i] = (values[i] ?? 0) * part.scale;
        return narrow(values, 'F32');
      }),
    ...(quantized && { quantized }),
  };
}

/** Whether a factor leaves the digits of a binary fraction as they are. */
function isExact(scale: number): boolean {
  return Number.isInteger(Math.log2(Math.abs(scale)));
}

/**
 * The quantised values of all slices, if they have the same format. Factors are applied to scales and
 * offsets.
 */
function joinedQuantized(parts: readonly Part[]): QuantizedMatrix | undefined {
  const matrices = parts.flatMap((part) => {
    const { quantized } = part.matrix;
    return quantized ? [{ ...part, quantized }] : [];
  });
  const [first] = matrices;
  if (!first || matrices.length < parts.length) return undefined;
  const { format, groupSize, parameterDType, shape } = first.quantized;
  const isAlike = ({ quantized }: { quantized: QuantizedMatrix }) =>
    quantized.format === format &&
    quantized.groupSize === groupSize &&
    quantized.parameterDType === parameterDType;
  if (!matrices.every(isAlike)) return undefined;
  const rows = matrices.reduce((sum, part) => sum + part.rows, 0);
  return {
    ...{ format, groupSize, parameterDType },
    shape: [rows, shape[1]],
    async readRows(begin, count) {
      const read = async (key: 'values' | 'scales' | 'offsets') =>
        collected(matrices, begin, count, async ({ quantized, scale }, from, taken) => {
          const bytes = (await quantized.readRows(from, taken))[key];
          return key === 'values' || scale === 1 ? bytes : scaled(bytes, parameterDType, scale);
        });
      return {
        values: await read('values'),
        scales: await read('scales'),
        offsets: await read('offsets'),
      };
    },
  };
}

function scaled(bytes: Uint8Array, dtype: 'F16' | 'BF16', scale: number): Uint8Array {
  const values = new Float32Array(bytes.length / 2);
  widen(bytes, dtype, values);
  return narrow(
    values.map((value) => value * scale),
    dtype,
  );
}

/** The bytes of rows [begin, begin + count) of concatenated slices. */
async function collected<Each extends RowSlice>(
  parts: readonly Each[],
  begin: number,
  count: number,
  read: (part: Each, from: number, rows: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let top = 0;
  for (const part of parts) {
    const from = Math.max(begin, top);
    const to = Math.min(begin + count, top + part.rows);
    if (from < to) pieces.push(await read(part, part.first + from - top, to - from));
    top += part.rows;
  }
  const [only] = pieces;
  if (only && pieces.length === 1) return only;
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
