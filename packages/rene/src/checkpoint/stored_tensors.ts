// Converts a model's parameters to the tensors of its checkpoint: the inverse of derived_parameters.ts.
import {
  type PackedWeight,
  type Parameter,
  type ParameterSpec,
  type QuantizedMatrix,
  type QuantizedRows,
  weightPacker,
} from '@rene-js/layers';
import { narrow, widen } from '@rene-js/layers/internal';
import * as tf from '@tensorflow/tfjs-core';
import type { CheckpointTensors } from '../architectures/blueprint.js';
import { STORED_DTYPES } from '../dtype_names.js';
import { CheckpointError } from '../errors.js';
import { quantizedTensors } from './quantized.js';
import type { TensorToWrite } from './safetensors.js';
import { exportQuantized, floatFormat, hasWholeGroups } from './saved_matrix.js';

export interface StoredTensors {
  /** The parameter's name in the checkpoint. */
  readonly name: string;
  /** One tensor, or the three of a quantised matrix. */
  readonly written: readonly TensorToWrite[];
  /** How a quantised matrix is packed. */
  readonly quantized?: { readonly format: 'int8' | 'int4'; readonly groupSize: number };
}

export interface StoredOptions {
  /** Write int8 and int4 weights as quantised values. */
  asQuantized: boolean;
  /** Format of the other matrices. Default: their format in memory; f32 for quantised values. */
  format: keyof typeof STORED_DTYPES | undefined;
}

/** Rows of a parameter that are rows of a tensor, from `first` on, times a factor. */
interface Piece {
  readonly parameter: Parameter;
  readonly from: number;
  readonly first: number;
  readonly rows: number;
  readonly scale: number;
}

/** @throws CheckpointError if a parameter is missing */
export function storedTensors(
  blueprint: CheckpointTensors,
  parameters: ReadonlyMap<string, Parameter>,
  options: StoredOptions,
): StoredTensors[] {
  const pieces = piecesOf(blueprint, parameters);
  return blueprint.tensors.map((spec) => {
    const own = parameters.get(spec.name);
    const whole = own && [
      { parameter: own, from: 0, first: 0, rows: spec.shape[0] ?? 0, scale: 1 },
    ];
    const parts = whole ?? pieces.get(spec.name) ?? [];
    const covered = parts.reduce((rows, part) => rows + part.rows, 0);
    if (covered !== spec.shape[0])
      throw new CheckpointError(`the parameter '${spec.name}' is missing`);
    return spec.kind === 'vector' ? storedVector(spec, parts) : storedMatrix(spec, parts, options);
  });
}

/** Keyed by the tensor's name, in the order of its rows. */
function piecesOf(
  { parameters: derived = [] }: CheckpointTensors,
  parameters: ReadonlyMap<string, Parameter>,
): Map<string, Piece[]> {
  const pieces = new Map<string, Piece[]>();
  for (const { name, slices } of derived) {
    const parameter = parameters.get(name);
    if (!parameter) continue;
    let from = 0;
    for (const { tensor, first, rows, scale } of slices) {
      const others = pieces.get(tensor) ?? [];
      pieces.set(tensor, [...others, { parameter, from, first, rows, scale }]);
      from += rows;
    }
  }
  for (const parts of pieces.values()) parts.sort((a, b) => a.first - b.first);
  return pieces;
}

function storedVector({ name, shape }: ParameterSpec, pieces: readonly Piece[]): StoredTensors {
  const bytes = async () => {
    const values = await Promise.all(pieces.map(rowsAsF32));
    return joinedBytes(values.map((part) => narrow(part, 'F32')));
  };
  return { name, written: [{ name, shape, dtype: 'F32', bytes }] };
}

function storedMatrix(
  { name, shape }: ParameterSpec,
  pieces: readonly Piece[],
  { asQuantized, format }: StoredOptions,
): StoredTensors {
  const quantized = asQuantized ? joinedQuantized(pieces, shape) : undefined;
  if (quantized) return { name, written: quantizedTensors(name, quantized), quantized };
  const held = pieces.flatMap(({ parameter }) => ('format' in parameter ? [parameter.format] : []));
  const [first = 'f32'] = held;
  const isAlike = held.every((other) => other === first);
  const dtype = STORED_DTYPES[format ?? (isAlike ? floatFormat(first) : 'f32')];
  const bytes = async () => {
    const parts: Uint8Array[] = [];
    for (const piece of pieces) parts.push(narrow(await rowsAsF32(piece), dtype));
    return joinedBytes(parts);
  };
  return { name, written: [{ name, shape, dtype, bytes }] };
}

async function rowsAsF32({ parameter, from, rows, scale }: Piece): Promise<Float32Array> {
  const all =
    parameter instanceof tf.Tensor
      ? await parameter.data<'float32'>()
      : await weightPacker().unpack(parameter);
  const row = all.length / (parameter.shape[0] ?? 1);
  const own = all.subarray(from * row, (from + rows) * row);
  return scale === 1 ? own : own.map((value) => value / scale);
}

/** The quantised values of all pieces, if they have the same format. */
function joinedQuantized(
  pieces: readonly Piece[],
  [rows = 0, columns = 0]: readonly number[],
): QuantizedMatrix | undefined {
  const weights = pieces.flatMap((piece) => {
    const { parameter } = piece;
    return isQuantizedWeight(parameter) ? [{ ...piece, matrix: exportQuantized(parameter) }] : [];
  });
  const [first] = weights;
  if (!first || weights.length < pieces.length) return undefined;
  const { format, groupSize, parameterDType } = first.matrix;
  const isAlike = weights.every(
    ({ matrix }) =>
      matrix.format === format &&
      matrix.groupSize === groupSize &&
      matrix.parameterDType === parameterDType,
  );
  if (!isAlike) return undefined;
  return {
    ...{ format, groupSize, parameterDType },
    shape: [rows, columns],
    // Only whole matrices are read.
    async readRows() {
      const parts: QuantizedRows[] = [];
      for (const { matrix, from, rows: count, scale } of weights) {
        const [total] = matrix.shape;
        const all = await matrix.readRows(0, total);
        const own = (bytes: Uint8Array) => {
          const row = bytes.length / total;
          return bytes.subarray(from * row, (from + count) * row);
        };
        const numbers = (bytes: Uint8Array) => divided(own(bytes), parameterDType, scale);
        parts.push({
          values: own(all.values),
          scales: numbers(all.scales),
          offsets: numbers(all.offsets),
        });
      }
      return {
        values: joinedBytes(parts.map(({ values }) => values)),
        scales: joinedBytes(parts.map(({ scales }) => scales)),
        offsets: joinedBytes(parts.map(({ offsets }) => offsets)),
      };
    },
  };
}

function isQuantizedWeight(parameter: Parameter): parameter is PackedWeight {
  return !(parameter instanceof tf.Tensor) && hasWholeGroups(parameter);
}

function divided(bytes: Uint8Array, dtype: 'F16' | 'BF16', scale: number): Uint8Array {
  if (scale === 1) return bytes;
  const values = new Float32Array(bytes.length / 2);
  widen(bytes, dtype, values);
  return narrow(
    values.map((value) => value / scale),
    dtype,
  );
}

function joinedBytes(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
