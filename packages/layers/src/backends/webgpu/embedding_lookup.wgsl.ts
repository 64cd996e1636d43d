// Rows of a packed table as f32, an invocation a column; an id outside the table gives NaN.
import type { WeightFormat } from '../../weights/packed_weight.js';
import type { Kernel } from './kernel.js';
import { weightAt, weightIntegers } from './weights.wgsl.js';

export function lookUpKernel(format: WeightFormat): Kernel {
  return {
    name: `look_up_${format}`,
    memory: { w: 'u32', params: 'u32', ids: 'i32', y: 'f32' },
    writes: ['y'],
    inParts: ['w', 'params'],
    integers: [
      ...['rows', 'columns', 'table_rows', 'start', 'first', 'count'],
      ...weightIntegers,
      'not_a_number',
    ],
    floats: [],
    workgroup: 64,
    code: `
${weightAt(format)}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let column = id.x;
  if (column >= args.columns) { return; }
  for (var i = id.y; i < args.rows; i += count.y) {
    var at = i32(args.start + i);
    if (has_ids) { at = get_ids(i); }
    // The bound part of the table has rows first to first + count.
    let row = u32(at) - args.first;
    if (at < 0 || u32(at) >= args.table_rows) {
      set_y(i * args.columns + column, bitcast<f32>(args.not_a_number));
    } else if (u32(at) >= args.first && row < args.count) {
      set_y(i * args.columns + column, weight_at(row, column));
    }
  }
}`,
  };
}
