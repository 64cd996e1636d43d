// y = activation(x) * multiplier, an invocation a column.
import type { Kernel } from './kernel.js';
import { activations } from './wgsl.js';

export const activateKernel: Kernel = {
  name: 'activate_rows',
  memory: { x: 'f32', multiplier: 'f32', y: 'f32' },
  writes: ['y'],
  integers: ['rows', 'columns', 'x_stride', 'multiplier_stride', 'y_stride', 'activation'],
  floats: [],
  workgroup: 64,
  code: `
${activations}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let column = id.x;
  if (column >= args.columns) { return; }
  for (var row = id.y; row < args.rows; row += count.y) {
    var v = activated(get_x(row * args.x_stride + column), args.activation);
    if (has_multiplier) { v *= get_multiplier(row * args.multiplier_stride + column); }
    set_y(row * args.y_stride + column, v);
  }
}`,
};
