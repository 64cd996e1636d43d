// `rene verify` whose checks run elsewhere, for instance in a page.
import { Command } from 'commander';
import type { verify } from '../verify/verify.js';
import { runVerify } from './verify.js';
import { addVerify } from './verify_options.js';

/**
 * Parses the arguments of `rene verify` and prints what `check` yields.
 *
 * @param check makes the checks of a folder
 */
export async function verifyElsewhere(
  args: readonly string[],
  check: typeof verify,
): Promise<void> {
  const program = new Command();
  addVerify(program).action((folders, options) => runVerify(folders, options, check));
  await program.parseAsync(['verify', ...args], { from: 'user' });
}
