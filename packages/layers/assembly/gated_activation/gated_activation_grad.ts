// The gradient of the gated activation.
import { int, ptr } from '../shared/arguments';
import { activate4, activateGrad4, load4, store4 } from '../shared/math';
import { ActivationGradArg } from './args';

/** A unit is 1024 values. */
export function gatedActivationGrad(args: usize, begin: i32, end: i32): void {
  const last = min(end << 10, int(args, ActivationGradArg.size));
  const multiplier = ptr(args, ActivationGradArg.multiplier);
  const activation = int(args, ActivationGradArg.activation);
  let i = begin << 10;
  if (multiplier === 0) {
    for (; i + 4 <= last; i += 4) {
      const at = (<usize>i) << 2;
      const d = v128.load(ptr(args, ActivationGradArg.dy) + at);
      const x = v128.load(ptr(args, ActivationGradArg.x) + at);
      v128.store(ptr(args, ActivationGradArg.dx) + at, f32x4.mul(d, activateGrad4(x, activation)));
    }
  }
  for (; i < last; i += 4) {
    const at = (<usize>i) << 2;
    const lanes = last - i;
    const x = load4(ptr(args, ActivationGradArg.x) + at, lanes);
    let d = load4(ptr(args, ActivationGradArg.dy) + at, lanes);
    if (multiplier !== 0) {
      store4(
        ptr(args, ActivationGradArg.dmultiplier) + at,
        f32x4.mul(d, activate4(x, activation)),
        lanes,
      );
      d = f32x4.mul(d, load4(multiplier + at, lanes));
    }
    store4(ptr(args, ActivationGradArg.dx) + at, f32x4.mul(d, activateGrad4(x, activation)), lanes);
  }
}
