// `rene verify DIR...`: compares this machine's results with reference numbers, one line per check.
import { type Check, defaultTolerances, passed, type VerifyOptions } from '../verify/check.js';
import { verify } from '../verify/verify.js';
import type { VerifyCommandOptions } from './verify_options.js';

/** @param check makes the checks of a folder. Default: in this process. */
export async function runVerify(
  folders: string[],
  options: VerifyCommandOptions,
  check: typeof verify = verify,
): Promise<void> {
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
    const path = folder.replace(/\/+$/, '');
    for await (const one of check(path, verifyOptions, { backend, dtype })) {
      count++;
      if (!passed(one)) {
        failures++;
        process.exitCode = 1;
      }
      print(one);
    }
  }
  if (json) console.log(JSON.stringify({ checks: count, failures }));
  else console.log(`\n${count - failures} passed, ${failures} failed`);
  if (failures === 0) return;
  if (dtype === undefined || dtype === 'auto' || dtype === 'f32') return;
  console.error(
    `--dtype ${dtype} rounds weights that are not ${dtype} in the file, but the references were computed ` +
      "with unrounded weights; omit it to check this machine's results",
  );
}

function printJson(check: Check): void {
  // JSON cannot represent Infinity.
  const error = Number.isFinite(check.error) ? check.error : null;
  console.log(JSON.stringify({ ...check, error, passed: passed(check) }));
}

/** Prints a heading for each folder and a line for each check. Errors are absolute unless marked. */
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
