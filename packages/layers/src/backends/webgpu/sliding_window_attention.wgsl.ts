// Attention of a token and head to the keys in its window, a workgroup each: keys of the KV cache, then
// those of the call itself. The softmax is computed tile by tile, with a running maximum.
import type { Kernel } from './kernel.js';

const sizes = [
  ...['length', 'heads', 'kv_heads', 'head_dim', 'q_stride', 'kv_stride', 'y_stride'],
  ...['capacity', 'window', 'writes'],
];

/** @param tile keys of a tile, and invocations */
export function attendKernel(headDim: number, tile: number): Kernel {
  const perInvocation = Math.ceil(headDim / tile);
  return {
    name: `attend_${perInvocation}_${tile}`,
    memory: {
      ...{ q: 'f32', k: 'f32', v: 'f32', cache_k: 'f32', cache_v: 'f32' },
      ...{ positions: 'i32', y: 'f32' },
    },
    writes: ['y', 'cache_k', 'cache_v'],
    integers: sizes,
    floats: ['scale'],
    workgroup: tile,
    code: `
const TILE = ${tile}u;
const LEAST = -3.4028234e38;
var<workgroup> query: array<f32, ${perInvocation} * TILE>;
var<workgroup> scores: array<f32, TILE>;
/** Where number 0 of a key or value is: in the cache before the call's position, else in the call. */
fn in_cache(row: u32, at: u32, kv_head: u32) -> u32 {
  return ((row * args.capacity + at % args.capacity) * args.kv_heads + kv_head) * args.head_dim;
}
fn in_call(row: u32, t: u32, kv_head: u32) -> u32 {
  return (row * args.length + t) * args.kv_stride + kv_head * args.head_dim;
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let t = id.x;
  let head = id.y;
  let row = id.z;
  let per_kv = args.heads / args.kv_heads;
  let kv_head = head / per_kv;
  let position = u32(get_positions(row));
  let token = row * args.length + t;
  for (var d = li; d < args.head_dim; d += TILE) {
    query[d] = get_q(token * args.q_stride + head * args.head_dim + d) * args.scale;
  }
  workgroupBarrier();
  let end = position + t + 1u;
  let start = end - min(end, args.window);
  var most = LEAST;
  var total = 0.0;
  var sum: array<f32, ${perInvocation}>;
  for (var tile = start; tile < end; tile += TILE) {
    let at = tile + li;
    var score = LEAST;
    if (at < end) {
      var dot = 0.0;
      if (at < position) {
        let source = in_cache(row, at, kv_head);
        for (var d = 0u; d < args.head_dim; d++) { dot += query[d] * get_cache_k(source + d); }
      } else {
        let source = in_call(row, at - position, kv_head);
        for (var d = 0u; d < args.head_dim; d++) { dot += query[d] * get_k(source + d); }
      }
      score = dot;
    }
    scores[li] = score;
    workgroupBarrier();
    let keys = min(TILE, end - tile);
    var tile_most = most;
    for (var i = 0u; i < keys; i++) { tile_most = max(tile_most, scores[i]); }
    workgroupBarrier();
    scores[li] = select(0.0, exp(score - tile_most), at < end);
    workgroupBarrier();
    let rescale = exp(most - tile_most);
    most = tile_most;
    total *= rescale;
    for (var i = 0u; i < keys; i++) { total += scores[i]; }
    for (var j = 0u; j < ${perInvocation}u; j++) {
      let d = li + j * TILE;
      if (d >= args.head_dim) { continue; }
      var s = sum[j] * rescale;
      for (var i = 0u; i < keys; i++) {
        let key = tile + i;
        var v = 0.0;
        if (key < position) { v = get_cache_v(in_cache(row, key, kv_head) + d); }
        else { v = get_v(in_call(row, key - position, kv_head) + d); }
        s += scores[i] * v;
      }
      sum[j] = s;
    }
    workgroupBarrier();
  }
  for (var j = 0u; j < ${perInvocation}u; j++) {
    let d = li + j * TILE;
    if (d < args.head_dim) { set_y(token * args.y_stride + head * args.head_dim + d, sum[j] / total); }
  }
  // The slot of a single token is one that no query of the call reads.
  if (args.writes == 0u || head % per_kv != 0u) { return; }
  for (var d = li; d < args.head_dim; d += TILE) {
    let to = in_cache(row, position, kv_head) + d;
    let source = in_call(row, 0u, kv_head) + d;
    set_cache_k(to, get_k(source));
    set_cache_v(to, get_v(source));
  }
}`,
  };
}

/** Writes the call's last keys and values to their slots, a workgroup a token. */
export const writeCacheKernel: Kernel = {
  name: 'write_cache',
  memory: {
    ...{ k: 'f32', v: 'f32', cache_k: 'f32', cache_v: 'f32', positions: 'i32' },
  },
  writes: ['cache_k', 'cache_v'],
  integers: ['length', 'row_numbers', 'kv_stride', 'capacity', 'first'],
  floats: [],
  workgroup: 64,
  code: `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let t = args.first + id.x;
  let row = id.y;
  let slot = (u32(get_positions(row)) + t) % args.capacity;
  for (var i = li; i < args.row_numbers; i += WORKGROUP) {
    let source = (row * args.length + t) * args.kv_stride + i;
    let to = (row * args.capacity + slot) * args.row_numbers + i;
    set_cache_k(to, get_k(source));
    set_cache_v(to, get_v(source));
  }
}`,
};
