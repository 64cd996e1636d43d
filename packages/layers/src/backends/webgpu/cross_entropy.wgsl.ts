// loss = logsumexp(logits) - logits[target], a workgroup a row; 0 where target < 0.
import type { Kernel } from './kernel.js';
import { reduction, reductionDirectives, reductionParameters, workgroupSum } from './wgsl.js';

export function crossEntropyKernel(hasSubgroups: boolean, workgroup: number): Kernel {
  return {
    name: 'cross_entropy',
    memory: { logits: 'f32', targets: 'i32', loss: 'f32' },
    writes: ['loss'],
    inParts: ['logits'],
    integers: ['rows', 'columns'],
    floats: [],
    workgroup,
    directives: reductionDirectives(hasSubgroups),
    code: `
${reduction(hasSubgroups)}
var<workgroup> largest: array<f32, WORKGROUP>;
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>,
        ${reductionParameters(hasSubgroups)}) {
  for (var row = id.y; row < args.rows; row += count.y) {
    let at = row * args.columns;
    var most = -3.4028234e38;
    for (var i = li; i < args.columns; i += WORKGROUP) { most = max(most, get_logits(at + i)); }
    largest[li] = most;
    workgroupBarrier();
    for (var i = 0u; i < WORKGROUP; i++) { most = max(most, largest[i]); }
    var sum = 0.0;
    for (var i = li; i < args.columns; i += WORKGROUP) { sum += exp(get_logits(at + i) - most); }
    let total = ${workgroupSum(hasSubgroups, 'sum')};
    if (li == 0u) {
      let target_id = get_targets(row);
      var loss = 0.0;
      if (target_id >= 0) { loss = log(total) + most - get_logits(at + u32(target_id)); }
      set_loss(row, loss);
    }
  }
}`,
  };
}
