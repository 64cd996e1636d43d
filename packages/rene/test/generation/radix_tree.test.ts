// The radix tree returns the same as a list of all sequences.
import { expect } from 'chai';
import fc from 'fast-check';
import { RadixTree } from '../../src/generation/radix_tree.js';

interface Value {
  readonly ids: readonly number[];
  readonly isTaken: boolean;
}

/** Few ids and lengths, so that sequences share prefixes. */
const sequences = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 7 });
const action = fc.record({
  kind: fc.constantFrom('set', 'set', 'delete', 'find'),
  ids: sequences,
  isTaken: fc.boolean(),
});

describe('RadixTree', () => {
  it('finds the longest accepted prefix, after any insertions and deletions', () =>
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const tree = new RadixTree<Value>();
        const known = new Map<string, Value>();
        for (const { kind, ids, isTaken } of actions) {
          const key = ids.join();
          if (kind === 'set') {
            const value = { ids, isTaken };
            expect(tree.set(ids, value)).to.equal(known.get(key));
            known.set(key, value);
          } else if (kind === 'delete') {
            tree.delete(ids);
            known.delete(key);
          }
          const prefixes = ids.map((_, i) => ids.slice(0, i + 1).join());
          const found = prefixes.flatMap((prefix) => known.get(prefix) ?? []);
          const accepts = (value: Value, length: number) => {
            expect(value.ids).to.have.length(length);
            return value.isTaken;
          };
          expect(tree.find(ids, accepts)).to.equal(found.filter((v) => v.isTaken).at(-1));
          const shared = [...known.values()].map((value) => sharedLength(value.ids, ids));
          expect(tree.sharedLength(ids)).to.equal(Math.max(0, ...shared));
        }
      }),
      { numRuns: 300 },
    ));
});

function sharedLength(a: readonly number[], b: readonly number[]): number {
  const end = a.findIndex((id, i) => id !== b[i]);
  return end < 0 ? a.length : end;
}
