// One row of x by a panel of an f32 weight.
import { madd } from '../shared/math';

/** One row by 32 columns of sums; the row's values are xStep bytes apart. */
export function rowF32(w: usize, x: usize, xStep: usize, count: usize, c: usize): void {
  let s0 = v128.load(c);
  let s1 = v128.load(c, 16);
  let s2 = v128.load(c, 32);
  let s3 = v128.load(c, 48);
  let s4 = v128.load(c, 64);
  let s5 = v128.load(c, 80);
  let s6 = v128.load(c, 96);
  let s7 = v128.load(c, 112);
  const end = w + (count << 7);
  while (w < end) {
    const t = v128.load32_splat(x);
    s0 = madd(v128.load(w), t, s0);
    s1 = madd(v128.load(w, 16), t, s1);
    s2 = madd(v128.load(w, 32), t, s2);
    s3 = madd(v128.load(w, 48), t, s3);
    s4 = madd(v128.load(w, 64), t, s4);
    s5 = madd(v128.load(w, 80), t, s5);
    s6 = madd(v128.load(w, 96), t, s6);
    s7 = madd(v128.load(w, 112), t, s7);
    w += 128;
    x += xStep;
  }
  v128.store(c, s0);
  v128.store(c, s1, 16);
  v128.store(c, s2, 32);
  v128.store(c, s3, 48);
  v128.store(c, s4, 64);
  v128.store(c, s5, 80);
  v128.store(c, s6, 96);
  v128.store(c, s7, 112);
}
