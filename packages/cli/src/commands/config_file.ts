// Options in a JSON file: {"port": 8080, "api-key": ["a", "b"], "log": true}.
import { readFile } from 'node:fs/promises';
import { asRecord, fileError, parseJson } from '@rene-js/rene/internal';
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { UsageError } from './report_error.js';

/**
 * Sets the options of a command that the command line does not give.
 *
 * @throws UsageError for unknown options and invalid values; FileError
 */
export async function applyConfigFile(command: Command, path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileError(path, 'read', error);
  });
  const config = asRecord(parsed(path, text));
  if (!config) throw new UsageError(`${path}: expected a JSON object of options`);
  for (const [key, value] of Object.entries(config)) {
    const option = command.options.find(
      ({ long, hidden }) => long === `--${dashed(key)}` && !hidden,
    );
    if (!option || key === 'config') throw new UsageError(`${path}: there is no option '${key}'`);
    const name = option.attributeName();
    const source = command.getOptionValueSource(name);
    if (source !== undefined && source !== 'default') continue;
    command.setOptionValueWithSource(name, optionValue(option, value, `${path}: ${key}`), 'config');
  }
}

/** The name of an option as it is on the command line: 'maxBatch' and 'max_batch' are 'max-batch'. */
function dashed(key: string): string {
  return key.replaceAll('_', '-').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function parsed(path: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new UsageError(`${path}: not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function optionValue(option: Option, value: unknown, where: string): unknown {
  if (!option.required && !option.optional) {
    if (typeof value === 'boolean') return value;
    throw new UsageError(`${where}: expected true or false, found ${JSON.stringify(value)}`);
  }
  const isList = Array.isArray(option.defaultValue);
  const values: unknown[] = Array.isArray(value) && isList ? value : [value];
  let result: unknown = option.defaultValue;
  for (const each of values) {
    if (typeof each !== 'string' && typeof each !== 'number') {
      const expected = isList ? 'a text or a list of texts' : 'a text or a number';
      // A key must not get into a log.
      const found = option.long === '--api-key' ? describeKind(each) : JSON.stringify(value);
      throw new UsageError(`${where}: expected ${expected}, found ${found}`);
    }
    result = parseOne(option, String(each), result, where);
  }
  return result;
}

function describeKind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
}

function parseOne(option: Option, text: string, before: unknown, where: string): unknown {
  try {
    return option.parseArg ? option.parseArg(text, before) : text;
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new UsageError(`${where}: found '${text}'. ${error.message}`, { cause: error });
  }
}
