// Checks single ops and their gradients against ops.json + ops.safetensors, case by case.
import { runGoldenOp } from '@rene-js/layers/testing';
import { readJsonFile } from '@rene-js/rene/internal';
import * as tf from '@tensorflow/tfjs-core';
import { type Check, type VerifyOptions, WorstError } from './check.js';
import { isRecord, listOf, numberOr, textOf } from './json_fields.js';
import { ReferenceFile, tidily } from './reference_file.js';

/** One check per case for the outputs and one for the gradients. */
export async function* verifyOps(folder: string, options: VerifyOptions): AsyncGenerator<Check> {
  const cases = listOf(await readJsonFile(`${folder}/ops.json`), `${folder}/ops.json`);
  const reference = await ReferenceFile.open(`${folder}/ops.safetensors`);
  try {
    for (const entry of cases) {
      if (!isRecord(entry)) continue;
      const op = textOf(entry.op);
      const name = `${op} ${textOf(entry.case)}`;
      const attrs = isRecord(entry.attrs) ? entry.attrs : {};
      const prefix = `${op}/${textOf(entry.case)}/`;
      const grads = Array.isArray(entry.grads) ? entry.grads.map(textOf) : [];
      const chunkSizes = Array.isArray(attrs.chunk_sizes_checked) ? attrs.chunk_sizes_checked : [0];
      const outputs = new WorstError(options.relative);
      const gradients = new WorstError(options.relative);
      for (const size of chunkSizes) {
        const chunk = numberOr(size, 0);
        const where = chunk > 0 ? `chunks of ${chunk}: ` : '';
        const run = { op, prefix, attrs: { ...attrs, chunk_size: chunk }, where };
        await tidily(() => compareOutputs(reference, run, outputs));
        if (grads.length > 0)
          await tidily(() => compareGradients(reference, run, grads, gradients));
      }
      const tolerance = options.tolerances.ops;
      yield outputs.toCheck(folder, name, tolerance);
      if (grads.length > 0) yield gradients.toCheck(folder, `${name}, gradients`, tolerance);
    }
  } finally {
    await reference.close();
  }
}

interface OpRun {
  op: string;
  prefix: string;
  attrs: object;
  where: string;
}

async function compareOutputs(
  reference: ReferenceFile,
  { op, prefix, attrs, where }: OpRun,
  worst: WorstError,
): Promise<void> {
  const outputs = runGoldenOp(op, await reference.tensors(`${prefix}in.`), attrs);
  for (const [name, expected] of Object.entries(await reference.tensors(`${prefix}out.`))) {
    await worst.add(where + name, outputs[name] ?? tf.zeros([0]), expected);
  }
}

async function compareGradients(
  reference: ReferenceFile,
  { op, prefix, attrs, where }: OpRun,
  names: readonly string[],
  worst: WorstError,
): Promise<void> {
  const inputs = await reference.tensors(`${prefix}in.`);
  const cotangents = Object.entries(await reference.tensors(`${prefix}cot.`));
  const wanted = names.map((name) => inputs[name] ?? tf.zeros([0]));
  const { grads } = tf.engine().gradients(() => {
    const outputs = runGoldenOp(op, inputs, attrs);
    const terms = cotangents.map(([name, cot]) => tf.sum(tf.mul(outputs[name] ?? 0, cot)));
    return tf.addN(terms);
  }, wanted);
  for (const [i, name] of names.entries()) {
    const expected = await reference.tensor(`${prefix}grad.${name}`);
    await worst.add(`${where}${name}`, grads[i] ?? tf.zeros([0]), expected);
  }
}
