// Launches with their bind groups, which can be encoded any number of times.

export interface Launch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  /** Workgroups in each dimension. Browsers call faster without spread arguments. */
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** The launches of some work, in their order. */
export interface Recording {
  readonly launches: readonly Launch[];
  /** Bytes of weights that they read. */
  readonly weightBytes: number;
  readonly dispose: () => void;
}

export function encode(
  pass: GPUComputePassEncoder,
  { pipeline, bindGroup, x, y, z }: Launch,
): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(x, y, z);
}
