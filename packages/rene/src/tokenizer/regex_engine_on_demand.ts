// Replaces regex_engine.ts in the bundled web workers: the parser of regular expressions is a script of its own there,
// since the tokenizers of most models need none.
import { TokenizerError } from '../errors.js';
import type { CompiledRegex } from './regex_engine.js';

let engine: typeof import('./regex_pattern.js') | undefined;

/** @throws TokenizerError before loadRegexEngine has resolved, or for an unsupported expression */
export function compileRegex(source: string): CompiledRegex {
  if (!engine) throw new TokenizerError('the parser of regular expressions is not loaded');
  return new engine.RegexPattern(source);
}

export async function loadRegexEngine(): Promise<void> {
  engine ??= await import('./regex_pattern.js');
}
