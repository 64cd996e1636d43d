// Checks greedy generation against the sequences in generate.json, with the original's rules.

import type { CausalLM } from '@rene-js/rene';
import { generateReference, readJsonFile } from '@rene-js/rene/internal';
import { type Check, checkIds } from './check.js';
import { isRecord, listOf, numberOr, numbersOf, recordOf } from './json_fields.js';

/** One check for all cases: rows of the prompt, arguments, sequences. */
export async function* verifyGenerate(folder: string, model: CausalLM): AsyncGenerator<Check> {
  const path = `${folder}/generate.json`;
  const reference = recordOf(await readJsonFile(path), path);
  const prompt = listOf(reference.prompt, `${path}: prompt`).map(numbersOf);
  const pairs: { where: string; actual: number[]; expected: number[] }[] = [];
  for (const entry of listOf(reference.cases, `${path}: cases`)) {
    const { rows, args, sequences } = recordOf(entry, `${path}: cases`);
    const given = isRecord(args) ? args : {};
    const actual = await generateReference(model, prompt.slice(0, numberOr(rows, prompt.length)), {
      max_length: numberOr(given.max_length, 0),
      eos_token_id: typeof given.eos_token_id === 'number' ? given.eos_token_id : null,
      repetition_penalty: numberOr(given.repetition_penalty, 1),
    });
    listOf(sequences, `${path}: sequences`).forEach((sequence, row) => {
      const where = `${JSON.stringify(given)} row ${row}`;
      pairs.push({ where, actual: actual[row] ?? [], expected: numbersOf(sequence) });
    });
  }
  yield checkIds(folder, 'generated sequences', pairs);
}
