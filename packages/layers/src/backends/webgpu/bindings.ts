// Chooses the bindings of a launch from the addresses of its memory.
import { BackendError } from '../../errors.js';
import type { Address } from '../native/address.js';
import type { Buffers } from './buffers.js';
import { GpuOutOfMemoryError, megabytes } from './errors.js';
import { type BindingPlan, type Element, elementBytes, type Kernel } from './kernel.js';

interface BoundRange {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

export interface Bound extends BindingPlan {
  /** The same for equal plans. */
  readonly key: string;
  readonly ranges: readonly BoundRange[];
  /** The element of its binding at which each named memory starts. */
  readonly places: Readonly<Record<string, number>>;
}

interface Range {
  buffer: GPUBuffer;
  element: Element;
  isWritten: boolean;
  first: number;
}

/** @param memory addresses by name; 0 for what is absent */
export function bind(
  kernel: Kernel,
  memory: Readonly<Record<string, Address>>,
  buffers: Buffers,
  limits: GPUSupportedLimits,
): Bound {
  const align = limits.minStorageBufferOffsetAlignment;
  const most = limits.maxStorageBufferBindingSize;
  const ranges: Range[] = [];
  const given: { name: string; range: Range; offset: number }[] = [];
  const names = Object.entries(kernel.memory);
  for (const [name, element] of names) {
    const address = memory[name] ?? 0;
    if (address === 0) continue;
    const { buffer, offset } = buffers.at(address);
    const isWritten = kernel.writes.includes(name);
    const first = Math.floor(offset / align) * align;
    const range = ranges.find(
      (one) =>
        one.buffer === buffer &&
        one.element === element &&
        (one.isWritten || isWritten || buffer.size - Math.min(one.first, first) <= most),
    );
    if (range) {
      range.first = Math.min(range.first, first);
      range.isWritten ||= isWritten;
      given.push({ name, range, offset });
    } else {
      const own = { buffer, element, isWritten, first };
      ranges.push(own);
      given.push({ name, range: own, offset });
    }
  }
  checkWrites(kernel, ranges);
  checkSizes(kernel, given, most);
  const indexes: Record<string, number> = {};
  const places: Record<string, number> = {};
  for (const { name, range, offset } of given) {
    indexes[name] = ranges.indexOf(range);
    places[name] = (offset - range.first) / elementBytes[range.element];
  }
  const key = [
    ...ranges.map(({ element, isWritten }) => element + (isWritten ? '!' : '')),
    ...names.map(([name]) => indexes[name] ?? '-'),
  ].join(' ');
  return {
    key,
    bindings: ranges,
    indexes,
    places,
    ranges: ranges.map(({ buffer, first }) => {
      return { buffer, offset: first, size: Math.min(buffer.size - first, most - (most % 4)) };
    }),
  };
}

/** A shorter binding would read zeros. @throws GpuOutOfMemoryError for memory that no binding covers */
function checkSizes(
  { name: kernel, inParts = [] }: Kernel,
  given: readonly { name: string; range: Range }[],
  most: number,
): void {
  for (const { name, range } of given) {
    const bytes = range.buffer.size - range.first;
    if (bytes <= most || inParts.includes(name)) continue;
    throw new GpuOutOfMemoryError(
      bytes,
      `${kernel} reads or writes it at once, and this GPU allows ${megabytes(most)} a binding`,
    );
  }
}

/** WebGPU would only report it after the launch. */
function checkWrites({ name }: Kernel, ranges: readonly Range[]): void {
  for (const range of ranges) {
    const isShared = ranges.some((other) => other !== range && other.buffer === range.buffer);
    if (range.isWritten && isShared) {
      throw new BackendError(`webgpu: ${name} writes a buffer that it reads as other numbers`);
    }
  }
}
