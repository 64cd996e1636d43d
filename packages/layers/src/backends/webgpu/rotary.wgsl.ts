// Rotary positions, in place, an invocation a pair of numbers of a token; it serves all heads.
import type { Kernel } from './kernel.js';

export const rotaryKernel: Kernel = {
  name: 'rotary',
  memory: { x: 'f32', frequencies: 'f32', positions: 'i32' },
  writes: ['x'],
  integers: ['length', 'first', 'x_stride', 'heads', 'head_dim', 'half_dim'],
  floats: [],
  workgroup: 64,
  code: `
/** Cosine and sine. WGSL's own are exact to 2^-11 only, and only near 0. */
fn turn(angle: f32) -> vec2<f32> {
  // In quarter turns; pi / 2 is subtracted in parts, so that no digits are lost.
  let quarters = round(angle * 0.63661977236758134);
  let r = ((angle - quarters * 1.5703125) - quarters * 4.837512969970703125e-4) - quarters * 7.54978995489188216e-8;
  let s = r * r;
  let sine = r + r * s * (-1.6666654611e-1 + s * (8.3321608736e-3 - s * 1.9515295891e-4));
  let cosine = 1.0 - 0.5 * s + s * s * (4.166664568298827e-2 + s * (-1.388731625493765e-3 + s * 2.443315711809948e-5));
  switch (u32(i32(quarters)) & 3u) {
    case 0u: { return vec2(cosine, sine); }
    case 1u: { return vec2(-sine, cosine); }
    case 2u: { return vec2(-cosine, -sine); }
    default: { return vec2(sine, -cosine); }
  }
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let t = args.first + id.x;
  let row = id.y;
  let position = u32(get_positions(row)) + t;
  let token = (row * args.length + t) * args.x_stride;
  for (var i = li; i < args.half_dim; i += WORKGROUP) {
    let turned = turn(f32(position) * get_frequencies(i));
    for (var h = 0u; h < args.heads; h++) {
      let first = token + h * args.head_dim + i;
      let second = first + args.half_dim;
      let a = get_x(first);
      let b = get_x(second);
      set_x(first, a * turned.x - b * turned.y);
      set_x(second, b * turned.x + a * turned.y);
    }
  }
}`,
};
