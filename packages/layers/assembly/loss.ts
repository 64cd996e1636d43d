// Rows of logits: cross entropy and its gradient, softmax, the largest.
import { exp4, int, load4, ptr, store4, sumLanes } from './math';

/** Words: logits, targets, losses, columns. A unit is a row. */
export function crossEntropy(args: usize, begin: i32, end: i32): void {
  const columns = int(args, 3);
  for (let row = begin; row < end; row++) {
    const target = load<i32>(ptr(args, 1) + ((<usize>row) << 2));
    let loss: f32 = 0;
    if (target >= 0) {
      const x = ptr(args, 0) + <usize>row * ((<usize>columns) << 2);
      const top = largest(x, columns);
      const sum = sumOfExponentials(x, columns, top);
      const chosen = target < columns ? load<f32>(x + ((<usize>target) << 2)) - top : f32.NaN;
      loss = <f32>Math.log(<f64>sum) - chosen;
    }
    store<f32>(ptr(args, 2) + ((<usize>row) << 2), loss);
  }
}

/** Words: logits, targets, dlogits, columns, dy. dlogits = (softmax - hot) dy. A unit is a row. */
export function crossEntropyGrad(args: usize, begin: i32, end: i32): void {
  const columns = int(args, 3);
  const rowBytes = (<usize>columns) << 2;
  for (let row = begin; row < end; row++) {
    const target = load<i32>(ptr(args, 1) + ((<usize>row) << 2));
    const out = ptr(args, 2) + <usize>row * rowBytes;
    if (target < 0) {
      memory.fill(out, 0, rowBytes);
      continue;
    }
    const x = ptr(args, 0) + <usize>row * rowBytes;
    const dy = load<f32>(ptr(args, 4) + ((<usize>row) << 2));
    softmaxRow(x, out, columns, dy);
    const at = out + ((<usize>target) << 2);
    if (target < columns) store<f32>(at, load<f32>(at) - dy);
  }
}

/** Words: x, y, columns. A unit is a row. */
export function softmax(args: usize, begin: i32, end: i32): void {
  const columns = int(args, 2);
  const rowBytes = (<usize>columns) << 2;
  for (let row = begin; row < end; row++) {
    softmaxRow(
      ptr(args, 0) + <usize>row * rowBytes,
      ptr(args, 1) + <usize>row * rowBytes,
      columns,
      1,
    );
  }
}

/** Words: x, y, columns. A unit is a row; a NaN in it is its largest number. */
export function maxOfRows(args: usize, begin: i32, end: i32): void {
  const columns = int(args, 2);
  for (let row = begin; row < end; row++) {
    const top = largest(ptr(args, 0) + <usize>row * ((<usize>columns) << 2), columns);
    store<f32>(ptr(args, 1) + ((<usize>row) << 2), top);
  }
}

/** y = softmax(x) factor. The exponentials stand in y until their sum is known. */
function softmaxRow(x: usize, y: usize, columns: i32, factor: f32): void {
  const t = f32x4.splat(largest(x, columns));
  const whole = (<usize>(columns & ~3)) << 2;
  const rest = columns & 3;
  let s0 = f32x4.splat(0);
  let s1 = f32x4.splat(0);
  let at: usize = 0;
  for (; at + 32 <= whole; at += 32) {
    const e0 = exp4(f32x4.sub(v128.load(x + at), t));
    const e1 = exp4(f32x4.sub(v128.load(x + at, 16), t));
    v128.store(y + at, e0);
    v128.store(y + at, e1, 16);
    s0 = f32x4.add(s0, e0);
    s1 = f32x4.add(s1, e1);
  }
  let sum = sumLanes(f32x4.add(s0, s1));
  for (const end = (<usize>columns) << 2; at < end; at += 4) {
    const e = f32x4.extract_lane(exp4(f32x4.sub(v128.load32_splat(x + at), t)), 0);
    store<f32>(y + at, e);
    sum += e;
  }
  const scale = f32x4.splat(factor / sum);
  for (at = 0; at < whole; at += 16) v128.store(y + at, f32x4.mul(v128.load(y + at), scale));
  if (rest !== 0) store4(y + whole, f32x4.mul(load4(y + whole, rest), scale), rest);
}

function largest(x: usize, count: i32): f32 {
  let top = f32x4.splat(-Infinity);
  let i: i32 = 0;
  for (; i + 4 <= count; i += 4) top = f32x4.max(top, v128.load(x + ((<usize>i) << 2)));
  let top1 = max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
  );
  for (; i < count; i++) top1 = max(top1, load<f32>(x + ((<usize>i) << 2)));
  return top1;
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
