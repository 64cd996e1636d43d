// Values on the device in the formats of the kernels: f32, bf16 or f16.
import { expect } from 'chai';
import seedrandom from 'seedrandom';
import type { Device } from '../../../src/backends/cuda/device.js';
import type { CudaRuntime, Runtime } from '../../../src/backends/cuda/runtime.js';
import { type NumberFormat, numberBytes } from '../../../src/backends/native/activations.js';

/** Blocks of device memory that are freed together. */
export class DeviceNumbers {
  private readonly random = seedrandom('numbers');
  private readonly addresses: number[] = [];

  constructor(private readonly runtime: CudaRuntime) {}

  /** Values in [-scale, scale) that are exact in bf16. */
  draw(size: number, scale = 1): Float32Array {
    return rounded(
      Float32Array.from({ length: size }, () => (2 * this.random() - 1) * scale),
      'bf16',
    );
  }

  /** The address of these values. */
  put(values: Float32Array, format: NumberFormat = 'f32'): number {
    const address = this.space(values.length, format);
    this.runtime.device.upload(address, bytesOf(values, format));
    return address;
  }

  /** The address of `size` uninitialised values, which are NaN. */
  space(size: number, format: NumberFormat = 'f32'): number {
    const bytes = size * numberBytes[format];
    const address = this.runtime.pool.allocate(bytes);
    this.addresses.push(address);
    this.runtime.device.upload(address, new Uint8Array(bytes).fill(0xff));
    return address;
  }

  take(address: number, size: number, format: NumberFormat = 'f32'): Float32Array {
    const bytes = new Uint8Array(size * numberBytes[format]);
    this.runtime.device.download(bytes, address);
    if (format === 'f32') return new Float32Array(bytes.buffer);
    const read = format === 'bf16' ? fromBf16 : fromF16;
    return Float32Array.from(new Uint16Array(bytes.buffer), read);
  }

  free(): void {
    for (const address of this.addresses) this.runtime.pool.release(address);
    this.addresses.length = 0;
  }
}

/** The values rounded to a format: to nearest, ties to even. */
export function rounded(values: Float32Array, format: NumberFormat): Float32Array {
  if (format === 'f32') return values;
  return Float32Array.from(values, format === 'bf16' ? roundBf16 : roundF16);
}

/** `found` equals the exact values, rounded once to `format`. */
export function expectRounded(
  found: Float32Array,
  exact: Float32Array,
  format: NumberFormat,
  what: string,
): void {
  expect(found.length, what).to.equal(exact.length);
  const wanted = rounded(exact, format);
  const wrong = found.findIndex((v, i) => !Object.is(v + 0, (wanted[i] ?? 0) + 0));
  if (wrong < 0) return;
  expect.fail(`${what}[${wrong}] as ${format}: ${found[wrong]}, expected ${wanted[wrong]}`);
}

/** The runtime with the multiprocessors of a large GPU, so that kernels split their work. */
export function widened(runtime: CudaRuntime): Runtime {
  const device: Device = new Proxy(runtime.device, {
    get: (target, key) => (key === 'multiprocessors' ? 132 : Reflect.get(target, key)),
  });
  return { device, pool: runtime.pool, launch: runtime.launch.bind(runtime) };
}

function bytesOf(values: Float32Array, format: NumberFormat): Uint8Array {
  if (format === 'f32') return new Uint8Array(values.slice().buffer);
  const bits = Uint16Array.from(values, format === 'bf16' ? toBf16 : toF16);
  return new Uint8Array(bits.buffer);
}

const word = new DataView(new ArrayBuffer(4));

function roundBf16(value: number): number {
  if (!Number.isFinite(value)) return value;
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  word.setUint32(0, ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0);
  return word.getFloat32(0);
}

function roundF16(value: number): number {
  const magnitude = Math.abs(value);
  if (!(magnitude < 65520)) return value < 0 ? Number.NEGATIVE_INFINITY : value;
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude || 1)));
  const step = 2 ** (exponent - 10);
  const digits = value / step;
  const floor = Math.floor(digits);
  const isUp = digits - floor > 0.5 || (digits - floor === 0.5 && floor % 2 !== 0);
  return (floor + (isUp ? 1 : 0)) * step;
}

/** The bits of the nearest bf16 value. */
export function toBf16(value: number): number {
  word.setFloat32(0, roundBf16(value));
  return word.getUint16(0);
}

export function fromBf16(bits: number): number {
  word.setUint32(0, (bits << 16) >>> 0);
  return word.getFloat32(0);
}

/** The bits of the nearest f16 value. */
export function toF16(value: number): number {
  const magnitude = Math.abs(roundF16(value));
  const sign = value < 0 ? 0x8000 : 0;
  if (magnitude < 2 ** -14) return sign | Math.round(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  return sign | ((exponent + 15) << 10) | ((magnitude / 2 ** exponent - 1) * 1024);
}

export function fromF16(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const digits = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return digits === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? digits * 2 ** -24 : (1 + digits / 1024) * 2 ** (exponent - 15));
}
