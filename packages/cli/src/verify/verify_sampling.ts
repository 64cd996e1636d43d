// Checks the samplers' probabilities against sampling.json, case by case.
import { readJsonFile, samplingProbabilities } from '@rene-js/rene/internal';
import { type Check, type VerifyOptions, WorstError } from './check.js';
import { isRecord, listOf, numberOr, numbersOf, recordOf, textOf } from './json_fields.js';

/** One check per case: API, parameters, probabilities of all tokens. */
export async function* verifySampling(
  folder: string,
  { relative, tolerances }: VerifyOptions,
): AsyncGenerator<Check> {
  const path = `${folder}/sampling.json`;
  const reference = recordOf(await readJsonFile(path), path);
  const vectors = listOf(reference.vectors, `${path}: vectors`);
  for (const entry of listOf(reference.cases, `${path}: cases`)) {
    const { api, vector, params, probs, tie_ambiguous } = recordOf(entry, `${path}: cases`);
    const { logits, previous } = recordOf(vectors[numberOr(vector, -1)], `${path}: vectors`);
    const given = isRecord(params) ? params : {};
    const actual = samplingProbabilities(
      textOf(api),
      numbersOf(logits),
      numbersOf(previous),
      given,
    );
    const expected = numbersOf(probs);
    const worst = new WorstError(relative);
    const name = `${textOf(api)} ${JSON.stringify(given)}`;
    // If equal logits compete for the last candidate, any of them is accepted.
    if (tie_ambiguous === true)
      worst.addValues('sorted', actual.toSorted(), expected.toSorted(ascending));
    else worst.addValues('probabilities', actual, expected);
    yield worst.toCheck(folder, `vector ${numberOr(vector, -1)}: ${name}`, tolerances.sampling);
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}
