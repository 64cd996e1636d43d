// One step of AdamW.
import { int, num, ptr } from '../shared/arguments';
import { load4, madd, store4 } from '../shared/math';
import { AdamWArg } from './args';

/** Values per unit. */
const SPAN: i32 = 4096;

/** One AdamW step. A unit is 4096 values. */
export function adamWStep(args: usize, begin: i32, end: i32): void {
  const last = min(end * SPAN, int(args, AdamWArg.size));
  const factor = f32x4.splat(num(args, AdamWArg.scale));
  const beta1 = f32x4.splat(num(args, AdamWArg.beta1));
  const beta2 = f32x4.splat(num(args, AdamWArg.beta2));
  const rest1 = f32x4.sub(f32x4.splat(1), beta1);
  const rest2 = f32x4.sub(f32x4.splat(1), beta2);
  const eps = f32x4.splat(num(args, AdamWArg.eps));
  const correction = f32x4.splat(num(args, AdamWArg.squareCorrection));
  const step = f32x4.splat(num(args, AdamWArg.step));
  const kept = f32x4.splat(num(args, AdamWArg.kept));
  for (let i = begin * SPAN; i < last; i += 4) {
    const at = (<usize>i) << 2;
    const lanes = last - i;
    const g = f32x4.mul(load4(ptr(args, AdamWArg.gradient) + at, lanes), factor);
    const m = madd(load4(ptr(args, AdamWArg.mean) + at, lanes), beta1, f32x4.mul(g, rest1));
    const s = madd(
      load4(ptr(args, AdamWArg.square) + at, lanes),
      beta2,
      f32x4.mul(f32x4.mul(g, g), rest2),
    );
    const deviation = f32x4.add(f32x4.sqrt(f32x4.mul(s, correction)), eps);
    const move = f32x4.mul(f32x4.div(m, deviation), step);
    store4(
      ptr(args, AdamWArg.newVariable) + at,
      madd(load4(ptr(args, AdamWArg.variable) + at, lanes), kept, move),
      lanes,
    );
    store4(ptr(args, AdamWArg.newMean) + at, m, lanes);
    store4(ptr(args, AdamWArg.newSquare) + at, s, lanes);
  }
}
