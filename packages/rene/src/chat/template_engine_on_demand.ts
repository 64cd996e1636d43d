// Replaces template_engine.ts in the bundled web workers: the template library is a script of its own there, which is
// loaded with the first chat.
import { TokenizerError } from '../errors.js';

let engine: typeof import('./python_template.js') | undefined;

/** @throws TokenizerError before loadTemplateEngine has resolved; Error of the template */
export function renderTemplate(
  source: string,
  variables: Readonly<Record<string, unknown>>,
): string {
  if (!engine) throw new TokenizerError('the template library is not loaded');
  return engine.renderTemplate(source, variables);
}

export async function loadTemplateEngine(): Promise<void> {
  engine ??= await import('./python_template.js');
}
