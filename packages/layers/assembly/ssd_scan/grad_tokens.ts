// The last step of the scan's gradient: from du and the decays' gradients to those of x, dt and D.
import { int, num, ptr } from '../shared/arguments';
import { load4, madd, sigmoid4, softplus4, store4, sumLanes } from '../shared/math';
import { ScanArg, ScanGradArg, ScanGradTable } from './args';

/** dx and d(dt) of a chunk's tokens, and dD of its channels; returns the head's part of dD. */
export function tokenGrads(args: usize, work: usize, row: i32, head: i32, t: i32, count: i32): f32 {
  const length = int(args, ScanArg.length);
  const heads = int(args, ScanArg.heads);
  const dim = int(args, ScanArg.headDim);
  const a = load<f32>(ptr(args, ScanArg.A) + ((<usize>head) << 2));
  const skip = ptr(args, ScanArg.D);
  const perChannel = int(args, ScanArg.dPerChannel) !== 0;
  const skipOf = skip + ((<usize>(perChannel ? head * dim : head)) << 2);
  const dD = ptr(args, ScanGradArg.dD);
  const dChannels = dD + ((<usize>((row * heads + head) * dim)) << 2);
  const channels = (<usize>(head * dim)) << 2;
  let dSkip = f32x4.splat(0);
  for (let i: i32 = 0; i < count; i++) {
    const token = <usize>(row * length + t + i);
    const own = token * ((<usize>(heads * dim)) << 2) + channels;
    const x = ptr(args, ScanArg.x) + token * (ptr(args, ScanArg.xStride) << 2) + channels;
    const dy = ptr(args, ScanGradArg.dy) + own;
    const dx = ptr(args, ScanGradArg.dx) + own;
    const du = ptr(work, ScanGradTable.du) + <usize>i * ptr(work, ScanGradTable.pRow);
    const at = (<usize>(t + i)) << 2;
    const dt = v128.load32_splat(ptr(work, ScanGradTable.dts) + at);
    let dDt = f32x4.splat(0);
    for (let p: i32 = 0; p < dim; p += 4) {
      const o = (<usize>p) << 2;
      const lanes = dim - p;
      const xi = load4(x + o, lanes);
      const dui = v128.load(du + o);
      dDt = madd(dui, xi, dDt);
      let dxi = f32x4.mul(dui, dt);
      if (skip !== 0) {
        const dyi = load4(dy + o, lanes);
        const product = f32x4.mul(dyi, xi);
        dSkip = f32x4.add(dSkip, product);
        dxi = madd(perChannel ? load4(skipOf + o, lanes) : v128.load32_splat(skipOf), dyi, dxi);
        if (dD !== 0 && perChannel) {
          store4(dChannels + o, f32x4.add(load4(dChannels + o, lanes), product), lanes);
        }
      }
      store4(dx + o, dxi, lanes);
    }
    store<f32>(
      ptr(work, ScanGradTable.sums) + ((<usize>i) << 2),
      load<f32>(ptr(work, ScanGradTable.dLog) + at) * a + sumLanes(dDt),
    );
  }
  for (let i: i32 = 0; i < count; i += 4) {
    const d = v128.load(ptr(work, ScanGradTable.sums) + ((<usize>i) << 2));
    const to =
      ((<usize>(row * length + t + i) * <usize>heads + <usize>head) << 2) +
      ptr(args, ScanGradArg.ddt);
    scatter4(
      to,
      (<usize>heads) << 2,
      rawDt4(args, <usize>(row * length + t + i), head, count - i, d),
      count - i,
    );
  }
  return sumLanes(dSkip);
}

/** Gradients of the raw dt of up to four tokens, back through limits and softplus. */
function rawDt4(args: usize, token: usize, head: i32, lanes: i32, dDt: v128): v128 {
  const stride = ptr(args, ScanArg.dtStride) << 2;
  const biases = ptr(args, ScanArg.dtBias);
  const bias = biases === 0 ? <f32>0 : load<f32>(biases + ((<usize>head) << 2));
  const given = gather4(
    ptr(args, ScanArg.dt) + token * stride + ((<usize>head) << 2),
    stride,
    lanes,
  );
  const raw = f32x4.add(given, f32x4.splat(bias));
  const softplus = int(args, ScanArg.dtSoftplus) !== 0;
  const unlimited = softplus ? softplus4(raw) : raw;
  let d = v128.andnot(dDt, f32x4.gt(unlimited, f32x4.splat(num(args, ScanArg.dtMax))));
  if (num(args, ScanArg.dtMin) > 0)
    d = v128.andnot(d, f32x4.lt(unlimited, f32x4.splat(num(args, ScanArg.dtMin))));
  return softplus ? f32x4.mul(d, sigmoid4(raw)) : d;
}

/** Up to four values `stride` bytes apart; the other lanes are 0. */
function gather4(from: usize, stride: usize, lanes: i32): v128 {
  let v = f32x4.splat(0);
  v = f32x4.replace_lane(v, 0, load<f32>(from));
  if (lanes > 1) v = f32x4.replace_lane(v, 1, load<f32>(from + stride));
  if (lanes > 2) v = f32x4.replace_lane(v, 2, load<f32>(from + (stride << 1)));
  if (lanes > 3) v = f32x4.replace_lane(v, 3, load<f32>(from + stride * 3));
  return v;
}

/** Stores up to four lanes `stride` bytes apart. */
function scatter4(to: usize, stride: usize, v: v128, lanes: i32): void {
  store<f32>(to, f32x4.extract_lane(v, 0));
  if (lanes > 1) store<f32>(to + stride, f32x4.extract_lane(v, 1));
  if (lanes > 2) store<f32>(to + (stride << 1), f32x4.extract_lane(v, 2));
  if (lanes > 3) store<f32>(to + stride * 3, f32x4.extract_lane(v, 3));
}
