// The pages of the documentation, and the shell commands and programs on them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../../../../', import.meta.url));

export interface Page {
  /** Paths relative to the repository. */
  readonly path: string;
  readonly text: string;
}

const FILES = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'benchmarks/README.md',
  'goldens/README.md',
  'packages/cli/README.md',
  'packages/layers/README.md',
  'packages/rene/README.md',
  'packages/cli/src/serving/README.md',
  'packages/rene/src/training/README.md',
  'packages/rene/models/rene-tiny/README.md',
];
const FOLDERS = ['docs', 'docs/guide', 'docs/dev'];

export const pages: readonly Page[] = [
  ...FILES,
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
].map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

/** The contents of a page's fenced code blocks in a language. */
export function blocks({ text }: Page, language: string): string[] {
  const fenced = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm');
  return [...text.matchAll(fenced)].map(([, block = '']) => block);
}

/** A page's inline code. */
export function inlineCode({ text }: Page): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '');
  return [...prose.matchAll(/(`+)([^`]+)\1/g)].map(([, , code = '']) => code.trim());
}

export interface ShellCommand {
  readonly page: string;
  /** A command as printed on the page, without its comment. */
  readonly line: string;
}

/** All commands in the pages' `sh` blocks. A trailing backslash continues a line. */
export const shellCommands: readonly ShellCommand[] = pages.flatMap((page) =>
  blocks(page, 'sh').flatMap((block) =>
    block
      .replace(/\\\n\s*/g, '')
      .split('\n')
      .map((line) => line.replace(/(^|\s+)# .*$/, '').trim())
      .filter((line) => line !== '')
      .map((line) => ({ page: page.path, line })),
  ),
);

/** The arguments of a line that runs `rene`, in any form used on the pages; else undefined. */
export function reneArguments(line: string): string[] | undefined {
  const [, rest] =
    /^(?:\w+=\S+ )*(?:npm run (?:--silent )?rene --|npx rene|rene)\s+(.*)$/.exec(line) ?? [];
  const [, generate] = /^npm run generate --\s+(.*)$/.exec(line) ?? [];
  if (rest !== undefined) return words(rest);
  return generate === undefined ? undefined : ['generate', ...words(generate)];
}

/** Splits a command line like a shell, with quotes. */
function words(text: string): string[] {
  return [...text.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, '$1$2'),
  );
}
