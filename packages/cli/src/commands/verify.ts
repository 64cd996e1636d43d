// `rene verify DIR...`: reference numbers against this machine's, a line a check.
import { type Command, InvalidArgumentError } from 'commander';
import { type Check, defaultTolerances, passed, type VerifyOptions } from '../verify/check.js';
import { verify } from '../verify/verify.js';

interface Options {
  backend?: string;
  dtype?: 'auto' | 'f32' | 'bf16' | 'f16' | 'int8' | 'int4';
  tolerance?: number;
  relative: boolean;
  json: boolean;
}

export function addVerify(program: Command): void {
  program
    .command('verify')
    .description('check folders of reference numbers: models, ops, sampling')
    .argument('<dir...>', 'folders to check; folders within are checked too')
    .option('--backend <name>', 'tfjs backend: auto, cpu, simd, tensorflow, ...', 'auto')
    .option('--dtype <format>', 'how weights are held: auto, f32, bf16, int8, int4', 'auto')
    .option('--tolerance <number>', 'one tolerance in place of all (except for ids)', positive)
    .option('--relative', "divide errors by the reference tensor's largest value", false)
    .option('--json', 'one JSON object a line', false)
    .action(run);
}

async function run(folders: string[], options: Options): Promise<void> {
  const { tolerance, relative, json, backend, dtype } = options;
  const verifyOptions: VerifyOptions = {
    tolerances:
      tolerance === undefined
        ? defaultTolerances
        : { values: tolerance, gradients: tolerance, ops: tolerance, sampling: tolerance },
    relative,
  };
  const print = json ? printJson : linePrinter();
  let count = 0;
  let failures = 0;
  for (const folder of folders) {
    for await (const check of verify(folder.replace(/\/+$/, ''), verifyOptions, {
      backend,
      dtype,
    })) {
      count++;
      if (!passed(check)) {
        failures++;
        process.exitCode = 1;
      }
      print(check);
    }
  }
  if (json) console.log(JSON.stringify({ checks: count, failures }));
  else console.log(`\n${count - failures} passed, ${failures} failed`);
  if (failures === 0) return;
  if (dtype === undefined || dtype === 'auto' || dtype === 'f32') return;
  console.error(
    `--dtype ${dtype} rounds weights that are not ${dtype} in the file: the references are the unrounded ` +
      "ones'; leave it out to check this machine's numbers",
  );
}

function printJson(check: Check): void {
  // JSON has no Infinity.
  const error = Number.isFinite(check.error) ? check.error : null;
  console.log(JSON.stringify({ ...check, error, passed: passed(check) }));
}

/** Prints a heading where the folder changes, then a line a check. Errors are absolute unless said. */
function linePrinter(): (check: Check) => void {
  let source = '';
  return (check) => {
    if (check.source !== source) {
      source = check.source;
      console.log(`\n${source}`);
    }
    const mark = passed(check) ? 'ok  ' : 'FAIL';
    const error = Number.isInteger(check.error)
      ? String(check.error)
      : check.error.toExponential(1);
    const limit = check.tolerance === 0 ? '0' : check.tolerance.toExponential(0);
    const figures = `${error.padStart(8)} <= ${limit.padEnd(6)}`;
    const of = check.relative ? 'relative, ' : '';
    console.log(`  ${mark}  ${check.name.padEnd(48)}${figures}  ${of}${check.detail}`);
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('expected a number above 0');
}
