// Arguments of launches: slots of a uniform buffer, written together before the launches are submitted.

/** WebGPU's largest alignment of a uniform binding. */
const SLOT_BYTES = 256;

export class Uniforms {
  readonly buffer: GPUBuffer;
  private readonly staged: Uint32Array<ArrayBuffer>;
  private used = 0;

  constructor(
    private readonly device: GPUDevice,
    private readonly slots: number,
  ) {
    const size = slots * SLOT_BYTES;
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    this.buffer = device.createBuffer({ size, usage });
    this.staged = new Uint32Array(size / 4);
  }

  get isFull(): boolean {
    return this.used === this.slots;
  }

  /** @returns the offset of the slot, in bytes */
  add(words: Uint32Array): number {
    const offset = this.used++ * SLOT_BYTES;
    this.staged.set(words, offset / 4);
    return offset;
  }

  /** Writes the slots that have been added. */
  write(): void {
    if (this.used === 0) return;
    this.device.queue.writeBuffer(this.buffer, 0, this.staged, 0, (this.used * SLOT_BYTES) / 4);
  }

  /** Lets the slots be used again, by launches that are submitted later. */
  reset(): void {
    this.used = 0;
  }
}
