// WGSL of a tile of a matrix multiplication: two blocks are staged in workgroup memory, and each invocation
// keeps the sums of its rows and 8 features in registers.

/** Invocations of a workgroup, 8 across the features and 8 down the rows. */
export const TILE_WORKGROUP = 64;
/** Features of a tile. */
export const TILE_FEATURES = 64;
/** Columns that are staged at a time: with 64 rows this fills WebGPU's default of 16 KiB. */
const DEPTH = 32;

/** Rows of a tile. */
export type TileRows = 32 | 64;
export const MOST_TILE_ROWS = 64;

/** Declares the staged blocks. Kernels must not use these names. */
export function tileDeclarations(rows: TileRows): string {
  return `
const DEPTH = ${DEPTH}u;
/** Columns that an invocation stages of 4 rows. */
const RUN = 8u;
/** 4 rows of a column, or 4 features. */
var<workgroup> xs: array<vec4<f32>, ${(DEPTH * rows) / 4}>;
var<workgroup> ws: array<vec4<f32>, ${(DEPTH * TILE_FEATURES) / 4}>;`;
}

const loadLeft =
  'for (var h = 0u; h < 2u; h++) { run[r][h] = left4(4u * four + r, start + column + 4u * h); }';
const loadRight = 'run[r] = right8(4u * four + r, start + column);';

/**
 * Sums over all columns. Needs functions that give zeros outside their matrix: \`left4(row, column)\`, 4 columns
 * of a row of the tile, and \`right8(feature, column)\`, 8 columns of a feature. Leaves \`sum0_0\`, \`sum0_1\` and
 * following: of row \`down + i\` the features \`across\` to \`across + 3\` and the 4 after them.
 */
export function tileSums(rows: TileRows): string {
  const perInvocation = rows / 8;
  const all = Array.from({ length: perInvocation }, (_, r) => r);
  return `
  let across = (li % 8u) * 8u;
  let down = (li / 8u) * ${perInvocation}u;
  ${all.map((r) => `var sum${r}_0 = vec4<f32>(); var sum${r}_1 = vec4<f32>();`).join('\n  ')}
  for (var start = 0u; start < args.columns; start += DEPTH) {
    for (var i = li; i < ${rows / 4}u * DEPTH / RUN; i += WORKGROUP) {
      let four = i % ${rows / 4}u;
      let column = (i / ${rows / 4}u) * RUN;
      ${transposed('xs', rows / 4, loadLeft)}
    }
    for (var i = li; i < ${TILE_FEATURES / 4}u * DEPTH / RUN; i += WORKGROUP) {
      let four = i % ${TILE_FEATURES / 4}u;
      let column = (i / ${TILE_FEATURES / 4}u) * RUN;
      ${transposed('ws', TILE_FEATURES / 4, loadRight)}
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      let w0 = ws[k * ${TILE_FEATURES / 4}u + across / 4u];
      let w1 = ws[k * ${TILE_FEATURES / 4}u + across / 4u + 1u];
      ${Array.from({ length: perInvocation / 4 }, (_, b) => `let x${b} = xs[k * ${rows / 4}u + down / 4u + ${b}u];`).join('\n      ')}
      ${all
        .map((r) => {
          const x = `x${Math.floor(r / 4)}.${'xyzw'[r % 4]}`;
          return `sum${r}_0 = fma(vec4(${x}), w0, sum${r}_0); sum${r}_1 = fma(vec4(${x}), w1, sum${r}_1);`;
        })
        .join('\n      ')}
    }
    workgroupBarrier();
  }`;
}

/** Loads 8 columns of 4 rows and stores them by column. Loops, so that a driver compiles each load once. */
function transposed(target: string, perColumn: number, load: string): string {
  const stores = Array.from({ length: 8 }, (_, column) => {
    const part = `[${Math.floor(column / 4)}].${'xyzw'[column % 4]}`;
    const values = [0, 1, 2, 3].map((r) => `run[${r}]${part}`).join(', ');
    return `${target}[(column + ${column}u) * ${perColumn}u + four] = vec4(${values});`;
  });
  return `
      var run: array<array<vec4<f32>, 2>, 4>;
      for (var r = 0u; r < 4u; r++) { ${load} }
      ${stores.join('\n      ')}`;
}

/**
 * Calls \`finish(row, feature, sum)\` for each sum of tileSums: row of the tile, feature of the tile, its sum. A
 * loop with a choice of registers, so that a driver compiles the call once.
 */
export function tileFinish(rows: TileRows): string {
  const perInvocation = rows / 8;
  const cases = Array.from({ length: 2 * perInvocation }, (_, n) => {
    return `case ${n}u: { sums = sum${Math.floor(n / 2)}_${n % 2}; }`;
  });
  return `
  for (var n = 0u; n < ${2 * perInvocation}u; n++) {
    var sums = vec4<f32>();
    switch (n) {
      ${cases.join('\n      ')}
      default: {}
    }
    for (var i = 0u; i < 4u; i++) { finish(down + n / 2u, across + 4u * (n % 2u) + i, sums[i]); }
  }`;
}
