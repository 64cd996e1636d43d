// Cross entropy and its gradient.
import { largest, softmaxRow } from '../core/softmax';
import { int, ptr } from '../shared/arguments';
import { exp4, sumLanes } from '../shared/math';
import { CrossEntropyArg, CrossEntropyGradArg } from './args';

/** A unit is a row. */
export function crossEntropy(args: usize, begin: i32, end: i32): void {
  const columns = int(args, CrossEntropyArg.columns);
  for (let row = begin; row < end; row++) {
    const target = load<i32>(ptr(args, CrossEntropyArg.targets) + ((<usize>row) << 2));
    let loss: f32 = 0;
    if (target >= 0) {
      const x = ptr(args, CrossEntropyArg.logits) + <usize>row * ((<usize>columns) << 2);
      const top = largest(x, columns);
      const sum = sumOfExponentials(x, columns, top);
      const chosen = target < columns ? load<f32>(x + ((<usize>target) << 2)) - top : f32.NaN;
      loss = <f32>Math.log(<f64>sum) - chosen;
    }
    store<f32>(ptr(args, CrossEntropyArg.loss) + ((<usize>row) << 2), loss);
  }
}

/** dlogits = (softmax - one_hot) dy. A unit is a row. */
export function crossEntropyGrad(args: usize, begin: i32, end: i32): void {
  const columns = int(args, CrossEntropyGradArg.columns);
  const rowBytes = (<usize>columns) << 2;
  for (let row = begin; row < end; row++) {
    const target = load<i32>(ptr(args, CrossEntropyGradArg.targets) + ((<usize>row) << 2));
    const out = ptr(args, CrossEntropyGradArg.dlogits) + <usize>row * rowBytes;
    if (target < 0) {
      memory.fill(out, 0, rowBytes);
      continue;
    }
    const x = ptr(args, CrossEntropyGradArg.logits) + <usize>row * rowBytes;
    const dy = load<f32>(ptr(args, CrossEntropyGradArg.dy) + ((<usize>row) << 2));
    softmaxRow(x, out, columns, dy);
    const at = out + ((<usize>target) << 2);
    if (target < columns) store<f32>(at, load<f32>(at) - dy);
  }
}

function sumOfExponentials(x: usize, count: i32, top: f32): f32 {
  const t = f32x4.splat(top);
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let i: i32 = 0;
  for (; i + 8 <= count; i += 8) {
    const at = x + ((<usize>i) << 2);
    s0 = f32x4.add(s0, exp4(f32x4.sub(v128.load(at), t)));
    s1 = f32x4.add(s1, exp4(f32x4.sub(v128.load(at, 16), t)));
  }
  let sum = sumLanes(f32x4.add(s0, s1));
  for (; i < count; i++) {
    const e = exp4(f32x4.sub(v128.load32_splat(x + ((<usize>i) << 2)), t));
    sum += f32x4.extract_lane(e, 0);
  }
  return sum;
}
