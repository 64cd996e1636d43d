// Rows of a packed weight as f32.
import { KernelId } from '../../../assembly/kernel_ids.js';
import { PanelFormat, UnpackArg } from '../../../assembly/packing/args.js';
import { isIntFormat, type PackedWeight, type WeightFormat } from '../../weights/packed_weight.js';
import { ArgumentLayout } from './arguments.js';
import { memoryGroup, PANELS_F16 } from './layout.js';
import type { Runtime } from './runtime.js';

const panelFormats: Record<WeightFormat, PanelFormat> = {
  f32: PanelFormat.F32,
  bf16: PanelFormat.Bf16,
  f16: PanelFormat.Bf16,
  int8: PanelFormat.Int8,
  int4: PanelFormat.Int4,
};

const unpackArguments = new ArgumentLayout(UnpackArg);

/** Rows of a weight as f32: `count` rows from `first` on, or the rows `ids`. */
export function unpackRows(
  runtime: Runtime,
  address: number,
  weight: Pick<PackedWeight, 'format' | 'layout' | 'groupSize'> & { shape: readonly number[] },
  { first = 0, ids = 0, count, y }: { first?: number; ids?: number; count: number; y: number },
): void {
  const { format, layout, shape, groupSize = 0 } = weight;
  const [rows = 0, columns = 0] = shape;
  unpackArguments.write(runtime, {
    weight: address,
    ids,
    first,
    y,
    rows,
    columns,
    group: isIntFormat(format) ? memoryGroup(groupSize) : 0,
    format: layout === 'rows' ? PanelFormat.None : panelFormats[format],
    f16Parameters: layout === PANELS_F16,
  });
  runtime.run(KernelId.UnpackRows, count, runtime.chunk(columns * 2));
}
