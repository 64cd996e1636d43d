// Depthwise causal convolution, an invocation a channel of a token, and the window that it leaves.
import type { Kernel } from './kernel.js';
import { activations } from './wgsl.js';

const sizes = ['batch', 'length', 'channels', 'width', 'x_stride'] as const;

export const convolveKernel: Kernel = {
  name: 'convolve',
  memory: { x: 'f32', weight: 'f32', bias: 'f32', before: 'f32', y: 'f32' },
  writes: ['y'],
  integers: [...sizes, 'y_stride', 'activation'],
  floats: [],
  workgroup: 64,
  code: `
${activations}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let c = id.x;
  if (c >= args.channels) { return; }
  for (var token = id.y; token < args.batch * args.length; token += count.y) {
    let row = token / args.length;
    let t = token % args.length;
    var sum = get_bias(c);
    for (var i = 0u; i < args.width; i++) {
      // Input t - (width - 1) + i; before the first one it is in the window.
      let at = t + i + 1u;
      var v = 0.0;
      if (at >= args.width) { v = get_x((token + i + 1u - args.width) * args.x_stride + c); }
      else { v = get_before((row * args.width + at) * args.channels + c); }
      sum += get_weight(c * args.width + i) * v;
    }
    set_y(token * args.y_stride + c, activated(sum, args.activation));
  }
}`,
};

/** The last inputs. A window may be written in place: number i comes from i + length. */
export const windowKernel: Kernel = {
  name: 'conv_window',
  memory: { x: 'f32', before: 'f32', after: 'f32' },
  writes: ['after'],
  integers: sizes,
  floats: [],
  workgroup: 64,
  code: `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
  let c = id.x;
  if (c >= args.channels) { return; }
  for (var row = id.y; row < args.batch; row += count.y) {
    for (var i = 0u; i < args.width; i++) {
      let at = i + args.length;
      var v = 0.0;
      if (at < args.width) { v = get_before((row * args.width + at) * args.channels + c); }
      else { v = get_x((row * args.length + at - args.width) * args.x_stride + c); }
      set_after((row * args.width + i) * args.channels + c, v);
    }
  }
}`,
};
