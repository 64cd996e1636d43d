// WGSL that kernels share: activations, and sums over a workgroup.

/** Ids of kernels.ts's Activation. */
export const activationIds = { linear: 0, silu: 1, gelu: 2, relu2: 3 } as const;

/** exp(88.7) is the largest that f32 holds. */
export const activations = `
fn sigmoid(v: f32) -> f32 { return 1.0 / (1.0 + exp(min(-v, 88.0))); }
fn silu(v: f32) -> f32 { return v * sigmoid(v); }
/** Abramowitz and Stegun 7.1.26: within 1.5e-7. */
fn erf(v: f32) -> f32 {
  let a = abs(v);
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return sign(v) * (1.0 - p * exp(-a * a));
}
fn gelu(v: f32) -> f32 { return 0.5 * v * (1.0 + erf(v * 0.70710678118654752)); }
fn activated(v: f32, id: u32) -> f32 {
  if (id == ${activationIds.silu}u) { return silu(v); }
  if (id == ${activationIds.gelu}u) { return gelu(v); }
  // NaN stays NaN: it may be lost in max().
  if (id == ${activationIds.relu2}u) { let positive = select(v, 0.0, v < 0.0); return positive * positive; }
  return v;
}
fn softplus(v: f32) -> f32 {
  let e = exp(-abs(v));
  // log(1 + e) loses the digits of a small e.
  return select(v, 0.0, v < 0.0) + select(log(1.0 + e), e * (1.0 - e * (0.5 - e / 3.0)), e < 0.01);
}
`;

/** Directives of kernels that use `workgroupSum`. */
export function reductionDirectives(hasSubgroups: boolean): string {
  return hasSubgroups ? 'enable subgroups;' : '';
}

/** Parameters of main() that `workgroupSum` needs. */
export function reductionParameters(hasSubgroups: boolean): string {
  const subgroup = hasSubgroups ? ', @builtin(subgroup_invocation_id) lane: u32' : '';
  return `@builtin(local_invocation_index) li: u32${subgroup}`;
}

/**
 * `workgroup_sum(v)` over the workgroup; all invocations call it together. Subgroups are runs of at least 4
 * invocations, so each has a place of its own for every 4. `subgroup_size` is not used for it: a driver may
 * report a larger size than a subgroup has.
 */
export function reduction(hasSubgroups: boolean): string {
  return hasSubgroups
    ? `
var<workgroup> partial: array<f32, WORKGROUP / 4u>;
fn workgroup_sum(v: f32, li: u32, lane: u32) -> f32 {
  let s = subgroupAdd(v);
  if (li % 4u == 0u) { partial[li / 4u] = select(0.0, s, lane == 0u); }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < WORKGROUP / 4u; i++) { total += partial[i]; }
  workgroupBarrier();
  return total;
}`
    : `
var<workgroup> partial: array<f32, WORKGROUP>;
fn workgroup_sum(v: f32, li: u32) -> f32 {
  partial[li] = v;
  workgroupBarrier();
  for (var s = WORKGROUP / 2u; s > 0u; s >>= 1u) {
    if (li < s) { partial[li] += partial[li + s]; }
    workgroupBarrier();
  }
  let total = partial[0];
  workgroupBarrier();
  return total;
}`;
}

/** The call of `workgroup_sum` for a value. */
export function workgroupSum(hasSubgroups: boolean, value: string): string {
  return `workgroup_sum(${value}, li${hasSubgroups ? ', lane' : ''})`;
}
