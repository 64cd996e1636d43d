// Samples each sequence's next token, one workgroup per sequence: greedily, or by temperature, top k, top p and
// min p. TokenDistribution of @rene-js/rene computes the same in double precision.
//
// Weights are exp((logit - largest) / temperature) in f32, then whole multiples of 2^-40 in 64 bits, so that
// sums do not depend on the order of their terms and the same random number gives the same token. WGSL has
// no 64-bit integers: U64 is vec2(low, high).
import type { SamplingParams } from '../../step.js';
import type { Kernel } from './kernel.js';

/** Words of a sequence's parameters. */
const PARAMS_WORDS = 8;
export const PARAMS_BYTES = PARAMS_WORDS * 4;

/** Parameters as the kernel reads them. `random` and `topP` are fixed-point fractions of 64 bits. */
export function samplingWords(
  params: readonly SamplingParams[],
  vocabulary: number,
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(params.length * PARAMS_WORDS);
  const floats = new Float32Array(words.buffer);
  let at = 0;
  for (const { random, temperature, topP, minP, topK } of params) {
    if (temperature > 0) floats[at] = 1 / temperature;
    floats[at + 1] = minP;
    words[at + 2] = Math.min(topK, vocabulary);
    setFraction(words, at + 4, random);
    if (topP > 0 && topP < 1) setFraction(words, at + 6, topP);
    at += PARAMS_WORDS;
  }
  return words;
}

/** A number of [0, 1) as 64 bits behind the point: the low word, then the high one. */
function setFraction(words: Uint32Array, at: number, value: number): void {
  const scaled = value * 2 ** 32;
  const high = Math.floor(scaled);
  words[at] = Math.floor((scaled - high) * 2 ** 32);
  words[at + 1] = high;
}

const u64 = `
alias U64 = vec2<u32>;
fn add(a: U64, b: U64) -> U64 {
  let low = a.x + b.x;
  return U64(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn subtract(a: U64, b: U64) -> U64 {
  return U64(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}
fn less(a: U64, b: U64) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
/** a * b of 32 bits each. */
fn product(a: u32, b: u32) -> U64 {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let low = al * bl;
  let m1 = ah * bl + (low >> 16u);
  let m2 = al * bh + (m1 & 0xffffu);
  return U64((low & 0xffffu) | (m2 << 16u), ah * bh + (m1 >> 16u) + (m2 >> 16u));
}
fn times(a: U64, b: u32) -> U64 {
  let low = product(a.x, b);
  return U64(low.x, low.y + a.y * b);
}
/** The whole part of a * b / 2^64. */
fn part_of(a: U64, b: U64) -> U64 {
  let ll = product(a.x, b.x);
  let lh = product(a.x, b.y);
  let hl = product(a.y, b.x);
  let hh = product(a.y, b.y);
  let middle = add(add(U64(ll.y, 0u), U64(lh.x, 0u)), U64(hl.x, 0u));
  return add(add(hh, U64(lh.y, 0u)), add(U64(hl.y, 0u), U64(middle.y, 0u)));
}
/** w * 2^40, of w in [0, 1]. */
fn fixed(w: f32) -> U64 {
  let bits = bitcast<u32>(w);
  let exponent = bits >> 23u;
  if (exponent == 0u) { return U64(0u); }
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  // w is mantissa * 2^(exponent - 150), so this is mantissa * 2^(exponent - 110).
  if (exponent >= 110u) {
    let shift = exponent - 110u;
    return U64(mantissa << shift, select(0u, mantissa >> (32u - shift), shift > 0u));
  }
  let shift = 110u - exponent;
  return U64(select(0u, mantissa >> shift, shift < 32u), 0u);
}`;

export const sampleKernel: Kernel = {
  name: 'sample_tokens',
  memory: { logits: 'f32', params: 'u32', tokens: 'i32', output: 'i32', positions: 'i32' },
  writes: ['tokens', 'output', 'positions'],
  integers: ['vocabulary', 'pitch'],
  floats: [],
  workgroup: 256,
  code: `
${u64}
const BINS = 256u;
var<workgroup> low: array<atomic<u32>, BINS>;
var<workgroup> high: array<atomic<u32>, BINS>;
var<workgroup> sums: array<U64, WORKGROUP>;
var<workgroup> ties_of: array<u32, WORKGROUP>;
var<workgroup> best_order: atomic<u32>;
var<workgroup> best_id: atomic<u32>;
var<workgroup> is_damaged: atomic<u32>;
var<workgroup> drawn: atomic<u32>;
var<workgroup> found: u32;
var<workgroup> found_before: U64;

/** Orders of the infinities. */
const INFINITY = 0xff800000u;
const MINUS_INFINITY = 0x007fffffu;

var<private> top: f32;
var<private> inverse_temperature: f32;
var<private> least: f32;
/** Kept are logits above the cutoff, and in order of their ids so many equal to it. */
var<private> cutoff: u32;
var<private> ties: u32;
/** The weight of the cutoff. */
var<private> tie: U64;
var<private> first_logit: u32;

/** Grows with the number; -0 is 0. */
fn order_of(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}
fn number_of(order: u32) -> f32 {
  return bitcast<f32>(select(~order, order & 0x7fffffffu, (order & 0x80000000u) != 0u));
}
fn order_at(id: u32) -> u32 { return order_of(get_logits(first_logit + id)); }
fn units(order: u32) -> U64 {
  let w = exp((number_of(order) - top) * inverse_temperature);
  if (w < least) { return U64(0u); }
  return fixed(min(w, 1.0));
}
fn atomic_sum(bin: u32, v: U64) {
  let before = atomicAdd(&low[bin], v.x);
  let carry = select(0u, 1u, before + v.x < before);
  if (v.y + carry > 0u) { atomicAdd(&high[bin], v.y + carry); }
}
fn bin_sum(bin: u32) -> U64 { return U64(atomicLoad(&low[bin]), atomicLoad(&high[bin])); }
fn total_of(v: U64, li: u32) -> U64 {
  sums[li] = v;
  workgroupBarrier();
  var total = U64(0u);
  for (var i = 0u; i < WORKGROUP; i++) { total = add(total, sums[i]); }
  workgroupBarrier();
  return total;
}

/**
 * Keeps the largest logits whose sizes reach the target: a size is 1 (by_count) or the weight. The target is
 * above 0 and at most the sum of all that are kept so far.
 */
fn keep_until(wanted: U64, by_count: bool, li: u32) {
  var target_sum = wanted;
  var prefix = 0u;
  for (var digit = 0u; digit < 4u; digit++) {
    let below = 24u - 8u * digit;
    atomicStore(&low[li], 0u);
    atomicStore(&high[li], 0u);
    workgroupBarrier();
    for (var id = li; id < args.vocabulary; id += WORKGROUP) {
      let order = order_at(id);
      if (order <= cutoff || (digit > 0u && (order >> (below + 8u)) != prefix)) { continue; }
      var size = U64(1u, 0u);
      if (!by_count) { size = units(order); }
      atomic_sum((order >> below) & 255u, size);
    }
    if (li == 0u && ties > 0u && (digit == 0u || (cutoff >> (below + 8u)) == prefix)) {
      var size = U64(ties, 0u);
      if (!by_count) { size = times(tie, ties); }
      atomic_sum((cutoff >> below) & 255u, size);
    }
    workgroupBarrier();
    if (li == 0u) {
      var before = U64(0u);
      for (var i = 0u; i < BINS; i++) {
        let bin = BINS - 1u - i;
        let after = add(before, bin_sum(bin));
        if (!less(after, target_sum)) {
          found = bin;
          found_before = before;
          break;
        }
        before = after;
      }
    }
    workgroupBarrier();
    prefix = (prefix << 8u) | found;
    target_sum = subtract(target_sum, found_before);
    workgroupBarrier();
  }
  cutoff = prefix;
  tie = units(prefix);
  // So many of the equal ones reach what is left of the target.
  ties = 0u;
  if (by_count) {
    ties = target_sum.x;
    return;
  }
  var reached = U64(0u);
  while (less(reached, target_sum) && ties < args.vocabulary) {
    reached = add(reached, tie);
    ties++;
  }
}

/** Keeps all logits that equal the smallest one that is kept. */
fn keep_ties(li: u32) {
  var equal = 0u;
  for (var id = li; id < args.vocabulary; id += WORKGROUP) {
    if (order_at(id) == cutoff) { equal++; }
  }
  ties = total_of(U64(equal, 0u), li).x;
}

/** The sum of the weights that are kept. */
fn kept_total(li: u32) -> U64 {
  var sum = U64(0u);
  for (var id = li; id < args.vocabulary; id += WORKGROUP) {
    let order = order_at(id);
    if (order > cutoff) { sum = add(sum, units(order)); }
  }
  let total = total_of(sum, li);
  return add(total, times(tie, ties));
}

/** The token at 'random' of those that are kept, in the order of their ids. An invocation has a run of ids. */
fn draw(random: U64, li: u32) {
  let run = (args.vocabulary + WORKGROUP - 1u) / WORKGROUP;
  let first = li * run;
  let end = min(first + run, args.vocabulary);
  var sum = U64(0u);
  var equal = 0u;
  for (var id = first; id < end; id++) {
    let order = order_at(id);
    if (order > cutoff) { sum = add(sum, units(order)); }
    if (order == cutoff) { equal++; }
  }
  sums[li] = sum;
  ties_of[li] = equal;
  workgroupBarrier();
  // Less than min p it weighs nothing.
  tie = units(cutoff);
  var total = U64(0u);
  var before = U64(0u);
  var mine = U64(0u);
  var ties_left = ties;
  var my_ties = 0u;
  for (var i = 0u; i < WORKGROUP; i++) {
    let kept = min(ties_of[i], ties_left);
    let part = add(sums[i], times(tie, kept));
    if (i == li) {
      before = total;
      mine = part;
      my_ties = kept;
    }
    total = add(total, part);
    ties_left -= kept;
  }
  let at = part_of(total, random);
  if (less(at, before) || !less(at, add(before, mine))) { return; }
  for (var id = first; id < end; id++) {
    let order = order_at(id);
    if (order > cutoff) {
      before = add(before, units(order));
    } else if (order == cutoff && my_ties > 0u) {
      my_ties--;
      before = add(before, tie);
    }
    if (less(at, before)) {
      atomicStore(&drawn, id + 1u);
      return;
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) li: u32) {
  let row = id.x;
  if (li == 0u) {
    atomicStore(&best_order, 0u);
    atomicStore(&best_id, 0u);
    atomicStore(&is_damaged, 0u);
    atomicStore(&drawn, 0u);
  }
  workgroupBarrier();
  first_logit = row * args.pitch;
  let at = row * ${PARAMS_WORDS}u;
  var mine = 0u;
  var mine_id = 0u;
  var candidates = 0u;
  for (var i = li; i < args.vocabulary; i += WORKGROUP) {
    let order = order_at(i);
    if (order >= INFINITY || order < MINUS_INFINITY) { atomicStore(&is_damaged, 1u); }
    // NaN is no candidate.
    if (order > INFINITY || order <= MINUS_INFINITY) { continue; }
    candidates++;
    if (order > mine) {
      mine = order;
      mine_id = i;
    }
  }
  atomicMax(&best_order, mine);
  workgroupBarrier();
  let best = atomicLoad(&best_order);
  if (mine == best && best > 0u) { atomicMax(&best_id, ~mine_id); }
  let count = total_of(U64(candidates, 0u), li).x;
  inverse_temperature = bitcast<f32>(get_params(at));
  if (get_params(at) != 0u) {
    top = number_of(best);
    least = 0.0;
    cutoff = MINUS_INFINITY;
    ties = 0u;
    let top_k = get_params(at + 2u);
    let top_p = U64(get_params(at + 6u), get_params(at + 7u));
    // Top k, then top p: a loop, since some drivers compile keep_until anew for each call of it.
    for (var turn = 0u; turn < 2u; turn++) {
      let by_count = turn == 0u;
      if (select(all(top_p == U64(0u)), top_k == 0u, by_count)) { continue; }
      var wanted = U64(min(top_k, count), 0u);
      if (!by_count) {
        // Rounded down: with ten equal weights, 0.9 is reached by nine of them.
        wanted = part_of(kept_total(li), top_p);
        if (all(wanted == U64(0u))) { wanted = U64(1u, 0u); }
      }
      keep_until(wanted, by_count, li);
      if (by_count) { keep_ties(li); } // as transformers does
    }
    least = bitcast<f32>(get_params(at + 1u));
    draw(U64(get_params(at + 4u), get_params(at + 5u)), li);
  }
  workgroupBarrier();
  if (li != 0u) { return; }
  var chosen = -1;
  if (count > 0u) {
    chosen = i32(~atomicLoad(&best_id));
    if (get_params(at) != 0u) {
      chosen = i32(atomicLoad(&drawn)) - 1;
      if (atomicLoad(&is_damaged) != 0u) { chosen = -1; }
    }
  }
  set_tokens(row, max(chosen, 0));
  set_output(row, chosen);
  set_positions(row, get_positions(row) + 1);
}`,
};

/** Counts a token of each sequence. */
export const advanceKernel: Kernel = {
  name: 'advance_positions',
  memory: { positions: 'i32' },
  writes: ['positions'],
  integers: ['rows'],
  floats: [],
  workgroup: 64,
  code: `
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < args.rows) { set_positions(id.x, get_positions(id.x) + 1); }
}`,
};
