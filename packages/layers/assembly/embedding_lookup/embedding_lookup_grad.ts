// The gradient of the embedding lookup.
import { int, ptr } from '../shared/arguments';
import { load4, store4 } from '../shared/math';
import { LookupGradArg } from './args';

/** out[ids[i]] += dy[i]. A unit is 64 columns. */
export function embeddingLookupGrad(args: usize, begin: i32, end: i32): void {
  const count = int(args, LookupGradArg.count);
  const columns = int(args, LookupGradArg.columns);
  for (let unit = begin; unit < end; unit++) {
    const first = unit << 6;
    const last = min(first + 64, columns);
    for (let i: i32 = 0; i < count; i++) {
      const id = load<i32>(ptr(args, LookupGradArg.ids) + ((<usize>i) << 2));
      if (id < 0 || id >= int(args, LookupGradArg.rows)) continue;
      const from = ptr(args, LookupGradArg.dy) + <usize>i * ((<usize>columns) << 2);
      const to = ptr(args, LookupGradArg.dweight) + <usize>id * ((<usize>columns) << 2);
      for (let c = first; c < last; c += 4) {
        const at = (<usize>c) << 2;
        const s = f32x4.add(load4(to + at, last - c), load4(from + at, last - c));
        store4(to + at, s, last - c);
      }
    }
  }
}
