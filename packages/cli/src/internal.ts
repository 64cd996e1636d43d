/**
 * Shared with the browser tests of this project. May change at any time.
 *
 * @internal
 * @module @rene-js/cli/internal
 */
export { verifyElsewhere } from './commands/verify_elsewhere.js';
export {
  type Check,
  defaultTolerances,
  passed,
  type VerifyOptions,
} from './verify/check.js';
export { foldersWithin } from './verify/verify.js';
