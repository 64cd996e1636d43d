// RMS norm of groups of columns, gated by silu(z) before or after it. A workgroup is a group of a row.
import type { Kernel } from './kernel.js';
import {
  activations,
  reduction,
  reductionDirectives,
  reductionParameters,
  workgroupSum,
} from './wgsl.js';

export function normKernel(hasSubgroups: boolean, workgroup: number): Kernel {
  return {
    name: 'norm_rows',
    memory: { x: 'f32', z: 'f32', weight: 'f32', y: 'f32' },
    writes: ['y'],
    integers: ['rows', 'x_stride', 'z_stride', 'y_stride', 'group_size', 'norm_before_gate'],
    floats: ['eps'],
    workgroup,
    directives: reductionDirectives(hasSubgroups),
    code: `
${activations}
${reduction(hasSubgroups)}
/** What is normalised. */
fn input(row: u32, column: u32) -> f32 {
  let v = get_x(row * args.x_stride + column);
  if (has_z && args.norm_before_gate == 0u) { return v * silu(get_z(row * args.z_stride + column)); }
  return v;
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
        ${reductionParameters(hasSubgroups)}) {
  let first = id.x * args.group_size;
  for (var row = id.y; row < args.rows; row += count.y) {
    var squares = 0.0;
    for (var i = li; i < args.group_size; i += WORKGROUP) {
      let v = input(row, first + i);
      squares += v * v;
    }
    let mean = ${workgroupSum(hasSubgroups, 'squares')} / f32(args.group_size);
    let scale = 1.0 / sqrt(mean + args.eps);
    for (var i = li; i < args.group_size; i += WORKGROUP) {
      let column = first + i;
      var v = input(row, column);
      if (has_weight) { v *= scale * get_weight(column); }
      if (has_z && args.norm_before_gate != 0u) { v *= silu(get_z(row * args.z_stride + column)); }
      set_y(row * args.y_stride + column, v);
    }
  }
}`,
  };
}
