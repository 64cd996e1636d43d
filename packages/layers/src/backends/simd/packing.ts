// Packs weights into panels while they are read, on all threads, and unpacks them again.
import * as tf from '@tensorflow/tfjs-core';
import { KernelId } from '../../../assembly/kernel_ids.js';
import { NumberKind, PackFloatArg, PackIntArg, RepackArg } from '../../../assembly/packing/args.js';
import { BackendError } from '../../errors.js';
import { isIntFormat, type PackedWeight, type WeightFormat } from '../../weights/packed_weight.js';
import type {
  QuantizedMatrix,
  QuantizedRows,
  StoredDType,
  StoredMatrix,
  WeightPacker,
} from '../../weights/packing.js';
import {
  checkWholeGroups,
  packedWeight,
  packPieces,
  pieces,
  unpackPieces,
  type WeightShape,
} from '../native/packing.js';
import { PackingWeights } from '../native/packing_weights.js';
import { ArgumentLayout } from './arguments.js';
import { asSimd, type SimdBackend } from './backend.js';
import {
  bitsOf,
  memoryGroup,
  PAGE,
  PANELS,
  PANELS_F16,
  packedBytes,
  panelBytes,
  panelRows,
} from './layout.js';
import type { Runtime } from './runtime.js';
import { unpackRows } from './unpack_rows.js';

const numberKinds: Record<StoredDType, NumberKind> = {
  F32: NumberKind.F32,
  F16: NumberKind.F16,
  BF16: NumberKind.Bf16,
};

const packIntArguments = new ArgumentLayout(PackIntArg);
const packFloatArguments = new ArgumentLayout(PackFloatArg);
const repackArguments = new ArgumentLayout(RepackArg);

export const simdPacker: WeightPacker = {
  formats: ['f32', 'bf16', 'int8', 'int4'],
  get maximumBytes() {
    return asSimd(tf.backend()).runtime.maximumBytes;
  },
  availableBytes: () => asSimd(tf.backend()).runtime.availableBytes,
  pack,
  unpack,
  packQuantized,
  exportQuantized,
};

async function pack(
  matrix: StoredMatrix,
  format: WeightFormat,
  groupSize: number,
): Promise<PackedWeight> {
  if (format === 'f16') {
    throw new BackendError(
      "the backend 'simd' supports f32, bf16, int8 and int4 weights, found f16",
    );
  }
  const backend = asSimd(tf.backend());
  const { runtime } = backend;
  const { shape, dtype } = matrix;
  const [, columns] = shape;
  const group = isIntFormat(format) ? memoryGroup(groupSize) : 0;
  const rows = panelRows(format);
  const weight = { format, layout: PANELS, shape, groupSize: group };
  const weights = new PackingWeights(backend.ops, matrix, weight);
  const packing = packedPanels(backend, weight, (address) =>
    packPieces(backend, weights.matrix, rows, (staged, first, count) => {
      const to = address + (first / rows) * panelBytes(format, columns, group);
      const piece = { source: staged, kind: numberKinds[dtype], rows: count, columns, panels: to };
      if (isIntFormat(format)) {
        const own = { group, bits: bitsOf(format), weights: weights.address };
        packIntArguments.write(runtime, piece, own);
      } else {
        const panelKind = format === 'f32' ? NumberKind.F32 : NumberKind.Bf16;
        packFloatArguments.write(runtime, piece, { panelKind });
      }
      const id = isIntFormat(format) ? KernelId.PackInt : KernelId.PackFloat;
      runtime.run(id, Math.ceil(count / rows), runtime.chunk(columns * rows), group * 4);
    }),
  );
  return packing.finally(() => weights.dispose());
}

/** A weight whose panels `fill` writes. The first word of each of their pages follows them. */
function packedPanels(
  backend: SimdBackend,
  weight: WeightShape,
  fill: (address: number) => Promise<void>,
): Promise<PackedWeight> {
  const bytes = packedBytes(weight.format, ...weight.shape, weight.groupSize);
  return packedWeight(backend, weight, bytes.total, async (address) => {
    await fill(address);
    const words = backend.runtime.ints(address, bytes.total / 4);
    for (let i = bytes.panels / 4, page = 0; i < words.length; i++, page += PAGE / 4) {
      words[i] = words[page] ?? 0;
    }
  });
}

async function packQuantized(matrix: QuantizedMatrix): Promise<PackedWeight> {
  const backend = asSimd(tf.backend());
  const { format, groupSize, shape, parameterDType } = matrix;
  const [rows, columns] = shape;
  const group = memoryGroup(groupSize);
  checkWholeGroups(columns, groupSize);
  const layout = parameterDType === 'F16' ? PANELS_F16 : PANELS;
  const weight = { format, layout, shape, groupSize: group };
  return packedPanels(backend, weight, async (address) => {
    for (const [first, count] of pieces(rows, (columns * bitsOf(format)) / 8, 8)) {
      const staged = new StagedRows(backend.runtime, matrix, count);
      try {
        staged.write(await matrix.readRows(first, count, staged.rows));
        const panels = address + (first / 8) * panelBytes(format, columns, group);
        staged.repack(group, panels, false);
      } finally {
        staged.dispose();
      }
    }
  });
}

const PARTS = ['values', 'scales', 'offsets'] as const;

/** Quantised rows in a file's format in the kernels' memory. */
class StagedRows {
  readonly rows: QuantizedRows;
  private readonly addresses: readonly number[];

  constructor(
    private readonly runtime: Runtime,
    private readonly matrix: Omit<QuantizedMatrix, 'readRows' | 'parameterDType'>,
    private readonly count: number,
  ) {
    const { format, groupSize, shape } = matrix;
    const size = count * shape[1];
    const sizes = [(size * bitsOf(format)) / 8, (size * 2) / groupSize, (size * 2) / groupSize];
    this.addresses = sizes.map((bytes) => runtime.allocate(bytes));
    const view = (i: number) => runtime.bytes(this.addresses[i] ?? 0, sizes[i] ?? 0);
    this.rows = { values: view(0), scales: view(1), offsets: view(2) };
  }

  /** Copies what is not there already. */
  write(rows: QuantizedRows): void {
    for (const part of PARTS) {
      if (rows[part] !== this.rows[part]) this.rows[part].set(rows[part]);
    }
  }

  /** Converts the rows to panels, or from them. */
  repack(group: number, panels: number, exporting: boolean): void {
    const { runtime, count: rows, addresses } = this;
    const { format, groupSize: fileGroup, shape } = this.matrix;
    const [values = 0, scales = 0, offsets = 0] = addresses;
    const columns = shape[1];
    repackArguments.write(runtime, {
      ...{ values, scales, offsets, rows, columns, fileGroup, group, panels },
      ...{ bits: bitsOf(format), exporting },
    });
    runtime.run(KernelId.RepackInt, Math.ceil(rows / 8), runtime.chunk(columns * 2));
  }

  dispose(): void {
    for (const address of this.addresses) this.runtime.release(address);
  }
}

function exportQuantized(weight: PackedWeight): QuantizedMatrix {
  const { format, shape, layout, groupSize = 64, tensor } = weight;
  if (!isIntFormat(format)) {
    throw new BackendError(`a weight of format ${format} has no quantised form`);
  }
  const backend = asSimd(tf.backend());
  const [, columns] = shape;
  checkWholeGroups(columns, groupSize);
  const matrix = { format, shape, groupSize };
  return {
    ...matrix,
    parameterDType: layout === PANELS_F16 ? 'F16' : 'BF16',
    readRows(first, count) {
      if (first % 8 !== 0) throw new BackendError('quantised rows are read from multiples of 8');
      const panels = backend.address(tensor) + (first / 8) * panelBytes(format, columns, groupSize);
      const staged = new StagedRows(backend.runtime, matrix, count);
      try {
        staged.repack(groupSize, panels, true);
        const { values, scales, offsets } = staged.rows;
        return { values: values.slice(), scales: scales.slice(), offsets: offsets.slice() };
      } finally {
        staged.dispose();
      }
    },
  };
}

async function unpack(weight: PackedWeight): Promise<Float32Array> {
  const backend = asSimd(tf.backend());
  return unpackPieces(backend, weight, (from, to, first, count) =>
    unpackRows(backend.runtime, from, weight, { first, count, y: to }),
  );
}
