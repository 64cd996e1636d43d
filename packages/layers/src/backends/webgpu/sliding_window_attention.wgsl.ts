// Sliding-window attention, one workgroup per token and head. The keys are those of the KV cache, then those of the
// call. The softmax is computed by tiles of keys with a running maximum. Many keys are split between workgroups;
// another kernel combines their results.
import type { Kernel } from './kernel.js';

const sizes = [
  ...['length', 'heads', 'kv_heads', 'head_dim', 'q_stride', 'kv_stride', 'y_stride'],
  ...['capacity', 'window', 'writes', 'splits', 'first_query'],
];

export interface AttentionVariant {
  /** Elements of a head that an invocation sums: those of a head are at most so many times a tile. */
  perInvocation: number;
  /** Keys of a tile, and invocations. */
  tile: number;
  /** Numbers of an element: 4 where all rows are whole vectors. */
  width: 1 | 4;
  /** Whether workgroups have parts of the keys, and `y` their unfinished results. */
  isSplit: boolean;
}

/** Numbers of a part's result after its sums: the maximum of its scores, and the sum of their exponentials. */
export const PART_EXTRA = 4;

/** All sizes and strides are in elements. */
export function attendKernel(variant: AttentionVariant): Kernel {
  const { perInvocation, tile, width, isSplit } = variant;
  const element = width === 4 ? 'vec4<f32>' : 'f32';
  const product = width === 4 ? 'dot(a, b)' : 'a * b';
  return {
    name: `attend_${perInvocation}_${tile}_${width}${isSplit ? '_split' : ''}`,
    memory: {
      ...{ q: element, k: element, v: element, cache_k: element, cache_v: element },
      positions: 'i32',
      y: element,
    },
    writes: ['y', 'cache_k', 'cache_v'],
    integers: sizes,
    floats: ['scale'],
    workgroup: tile,
    code: `
alias Element = ${element};
const TILE = ${tile}u;
const LEAST = -3.4028234e38;
var<workgroup> query: array<Element, ${perInvocation * tile}>;
var<workgroup> scores: array<f32, TILE>;
var<workgroup> shared_sums: array<Element, TILE>;
fn product(a: Element, b: Element) -> f32 { return ${product}; }
/** Where element 0 of a key or value is: in the cache before the call's position, else in the call. */
fn in_cache(row: u32, at: u32, kv_head: u32) -> u32 {
  return ((row * args.capacity + at % args.capacity) * args.kv_heads + kv_head) * args.head_dim;
}
fn in_call(row: u32, t: u32, kv_head: u32) -> u32 {
  return (row * args.length + t) * args.kv_stride + kv_head * args.head_dim;
}
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let t = args.first_query + id.x / args.splits;
  let part = id.x % args.splits;
  let head = id.y;
  let row = id.z;
  let per_kv = args.heads / args.kv_heads;
  let kv_head = head / per_kv;
  let position = u32(get_positions(row));
  // Invocations that share an element and take turns at the keys, where a head is shorter than a tile.
  let sharers = max(TILE / args.head_dim, 1u);
  let token = row * args.length + t;
  for (var d = li; d < args.head_dim; d += TILE) {
    query[d] = get_q(token * args.q_stride + head * args.head_dim + d) * args.scale;
  }
  workgroupBarrier();
  let last = position + t + 1u;
  let first = last - min(last, args.window);
  // Parts are whole tiles.
  let part_keys = ((last - first + args.splits - 1u) / args.splits + TILE - 1u) / TILE * TILE;
  let start = min(first + part * part_keys, last);
  let end = min(start + part_keys, last);
  var most = LEAST;
  var total = 0.0;
  var sum: array<Element, ${perInvocation}>;
  for (var tile = start; tile < end; tile += TILE) {
    let at = tile + li;
    var score = LEAST;
    if (at < end) {
      var dot_product = 0.0;
      if (at < position) {
        let source = in_cache(row, at, kv_head);
        for (var d = 0u; d < args.head_dim; d++) { dot_product += product(query[d], get_cache_k(source + d)); }
      } else {
        let source = in_call(row, at - position, kv_head);
        for (var d = 0u; d < args.head_dim; d++) { dot_product += product(query[d], get_k(source + d)); }
      }
      score = dot_product;
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
      let d = ${perInvocation > 1 ? 'li + j * TILE' : 'li % args.head_dim'};
      let turn = ${perInvocation > 1 ? '0u' : 'li / args.head_dim'};
      if (d >= args.head_dim || turn >= sharers) { continue; }
      var s = sum[j] * rescale;
      for (var i = turn; i < keys; i += sharers) {
        let key = tile + i;
        var v = Element();
        if (key < position) { v = get_cache_v(in_cache(row, key, kv_head) + d); }
        else { v = get_v(in_call(row, key - position, kv_head) + d); }
        s += scores[i] * v;
      }
      sum[j] = s;
    }
    workgroupBarrier();
  }
  ${
    perInvocation > 1
      ? ''
      : `shared_sums[li] = sum[0];
  workgroupBarrier();
  if (li < args.head_dim) {
    for (var i = 1u; i < sharers; i++) { sum[0] += shared_sums[li + i * args.head_dim]; }
  }`
  }
  for (var j = 0u; j < ${perInvocation}u; j++) {
    let d = li + j * TILE;
    if (d >= args.head_dim) { continue; }
    ${
      isSplit
        ? `set_y((((row * args.heads + head) * args.length + t) * args.splits + part) * (args.head_dim + 1u) + d, sum[j]);`
        : 'set_y(token * args.y_stride + head * args.head_dim + d, sum[j] / total);'
    }
  }
  ${
    isSplit
      ? `if (li == 0u) {
    let at = (((row * args.heads + head) * args.length + t) * args.splits + part) * (args.head_dim + 1u);
    set_y(at + args.head_dim, vec4(most, total, 0.0, 0.0));
  }`
      : ''
  }
  // The slot of a single token is one that no query of the call reads.
  if (args.writes == 0u || head % per_kv != 0u || part != 0u) { return; }
  for (var d = li; d < args.head_dim; d += TILE) {
    let to = in_cache(row, position, kv_head) + d;
    let source = in_call(row, 0u, kv_head) + d;
    set_cache_k(to, get_k(source));
    set_cache_v(to, get_v(source));
  }
}`,
  };
}

/** Joins the parts of a token and head, a workgroup each. An invocation has numbers of the head. */
export const joinPartsKernel: Kernel = {
  name: 'join_attention',
  memory: { parts: 'f32', y: 'f32' },
  writes: ['y'],
  integers: ['length', 'heads', 'head_dim', 'y_stride', 'splits'],
  floats: [],
  workgroup: 64,
  code: `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let pitch = args.head_dim + ${PART_EXTRA}u;
  let first = ((id.z * args.heads + id.y) * args.length + id.x) * args.splits * pitch;
  var most = -3.4028234e38;
  for (var i = 0u; i < args.splits; i++) { most = max(most, get_parts(first + i * pitch + args.head_dim)); }
  var total = 0.0;
  for (var i = 0u; i < args.splits; i++) {
    let at = first + i * pitch + args.head_dim;
    total += get_parts(at + 1u) * exp(get_parts(at) - most);
  }
  for (var d = li; d < args.head_dim; d += WORKGROUP) {
    var sum = 0.0;
    for (var i = 0u; i < args.splits; i++) {
      let at = first + i * pitch;
      sum += get_parts(at + d) * exp(get_parts(at + args.head_dim) - most);
    }
    set_y((id.z * args.length + id.x) * args.y_stride + id.y * args.head_dim + d, sum / total);
  }
}`,
};

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
