// Reads memory once, to measure its bandwidth.
import { ptr } from '../shared/arguments';
import { sumLanes } from '../shared/math';
import { ReadProbeArg } from './args';

/** Reads n bytes from p once and stores a digest, so that no compiler removes the reads. A unit is 64 KB. */
export function readProbe(args: usize, begin: i32, end: i32): void {
  let p = ptr(args, ReadProbeArg.from) + ((<usize>begin) << 16);
  const last = ptr(args, ReadProbeArg.from) + ((<usize>end) << 16);
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  while (p < last) {
    a = v128.xor(a, v128.load(p));
    b = v128.xor(b, v128.load(p, 16));
    a = v128.xor(a, v128.load(p, 32));
    b = v128.xor(b, v128.load(p, 48));
    p += 64;
  }
  store<f32>(ptr(args, ReadProbeArg.digest), sumLanes(v128.xor(a, b)));
}
