// y = activation(x) * multiplier.
import { int, ptr } from '../shared/arguments';
import { activate4, load4, store4 } from '../shared/math';
import { ActivationArg } from './args';

/** Columns per unit of gatedActivation. */
const SPAN: i32 = 1024;

/** y = activation(x) [* multiplier]. A unit is a span of 1024 columns of a row. */
export function gatedActivation(args: usize, begin: i32, end: i32): void {
  const columns = int(args, ActivationArg.columns);
  const spans = (columns + SPAN - 1) / SPAN;
  const multiplier = ptr(args, ActivationArg.multiplier);
  for (let unit = begin; unit < end; unit++) {
    const row = <usize>(unit / spans);
    const first = (unit % spans) * SPAN;
    const last = min(first + SPAN, columns);
    const x = ptr(args, ActivationArg.x) + ((row * ptr(args, ActivationArg.xStride)) << 2);
    const m = multiplier + ((row * ptr(args, ActivationArg.multiplierStride)) << 2);
    const y = ptr(args, ActivationArg.y) + ((row * ptr(args, ActivationArg.yStride)) << 2);
    const activation = int(args, ActivationArg.activation);
    let i = first;
    for (; i + 4 <= last; i += 4) {
      const at = (<usize>i) << 2;
      let v = activate4(v128.load(x + at), activation);
      if (multiplier !== 0) v = f32x4.mul(v, v128.load(m + at));
      v128.store(y + at, v);
    }
    if (i < last) {
      const at = (<usize>i) << 2;
      let v = activate4(load4(x + at, last - i), activation);
      if (multiplier !== 0) v = f32x4.mul(v, load4(m + at, last - i));
      store4(y + at, v, last - i);
    }
  }
}
