// Grids within WebGPU's limit of 65,535 workgroups a dimension.

const MOST = 65535;

/** Workgroups along y for so many rows; a kernel takes further rows in a loop. */
export function gridRows(rows: number): number {
  return Math.min(rows, MOST);
}

/** Workgroups along x and y for so many blocks; block y * (workgroups along x) + x is each one's. */
export function gridBlocks(blocks: number): readonly [x: number, y: number] {
  const y = Math.ceil(blocks / MOST);
  return [Math.ceil(blocks / y), y];
}
