// Compiles the regular expressions of a tokenizer.json. In the bundled web workers, the file
// regex_engine_on_demand.ts replaces this one.
import type { Pattern } from './native_pattern.js';
import { RegexPattern } from './regex_pattern.js';

export interface CompiledRegex extends Pattern {
  /** Whether the search time is bounded for any text. */
  readonly isFast: boolean;
}

/** @throws TokenizerError for an unsupported expression */
export function compileRegex(source: string): CompiledRegex {
  return new RegexPattern(source);
}

/** Loads what compileRegex needs: nothing here. */
export async function loadRegexEngine(): Promise<void> {}
