// Unicode normal forms equal the engine's, also for long runs of combining marks, in bounded time.
import { expect } from 'chai';
import * as fc from 'fast-check';
import { normalForm } from '../../src/tokenizer/normal_form.js';

/** Marks of many classes, some of class 0, some that decompose, and the two halfwidth letters. */
const MARKS = [
  ...'\u0300\u0316\u0323\u0334\u0345\u0340\u0344\u0360\u05b0\u064b\u0651\u0e38\u302e\u3099\uff9e\uff9f',
  ...'\u093f\u09be\u20dd\u0f71\u0f73\u{1d165}\u{1d16e}\u{e0100}',
];
const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'] as const;

describe('normal forms', () => {
  it("runs of marks equal the engine's result", () => {
    const row = fc.array(fc.constantFrom(...MARKS), { minLength: 60, maxLength: 200 });
    const text = fc.array(fc.oneof(row, fc.array(fc.constantFrom(...'aéㅏㄱ가ệ '))), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(text, fc.constantFrom(...FORMS), (parts, form) => {
        const joined = parts.flat().join('');
        expect(normalForm(joined, form)).to.equal(joined.normalize(form));
      }),
    );
  });

  it("every mark is in the same position as in the engine's result", () => {
    const marks: string[] = [];
    for (let code = 0x300; code < 0x20000; code++) {
      if (code === 0xd800) code = 0xe000;
      const text = String.fromCodePoint(code);
      if (/^[\p{M}\uff9e\uff9f]$/u.test(text)) marks.push(text);
    }
    // Far apart, so that every mark is next to many others.
    const mixed = marks.map((_, i) => marks[(i * 1009) % marks.length]).join('');
    for (const form of FORMS) expect(normalForm(mixed, form)).to.equal(mixed.normalize(form));
  });

  // The engine alone takes minutes.
  it('a million marks take no longer than a million letters', () => {
    const found = normalForm(`x${'\u0301\u0316'.repeat(500_000)}`, 'NFC');
    expect(found === `x${'\u0316'.repeat(500_000)}${'\u0301'.repeat(500_000)}`).to.equal(true);
  });
});
