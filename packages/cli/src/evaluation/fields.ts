// Reads fields of documents in the JSON types and spellings of data sets.
import { parsePythonLiteral } from './data/python_literal.js';
import { EvaluationError } from './errors.js';
import { type Doc, isDoc } from './task.js';

/** Added to errors if the label is empty. */
const UNLABELLED = ': the document has no label, as those of some test splits';

/** A string field. */
export function textOf(doc: Doc, key: string): string {
  const value = doc[key];
  if (typeof value === 'string') return value;
  throw wrongField(key, 'a string', value);
}

/** A string field, or an integer as a string: an answer key of 2 is '2'. */
export function keyOf(doc: Doc, key: string): string {
  const text = spelled(doc[key]);
  if (text !== undefined) return text;
  throw wrongField(key, 'a string', doc[key]);
}

/** An integer in any JSON type: 1, 1.0, "1", " 1.0 ", true, [1]. */
export function integerOf(doc: Doc, key: string): number {
  const number = wholeNumber(doc[key]);
  if (number !== undefined) return number;
  const hint = doc[key] === '' ? UNLABELLED : '';
  throw new EvaluationError(wrongField(key, 'a whole number', doc[key]).message + hint);
}

function wholeNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) ? value : undefined;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'string') {
    return /^\s*[+-]?\d+(?:\.0*)?\s*$/.test(value) ? Number(value) : undefined;
  }
  return Array.isArray(value) && value.length === 1 ? wholeNumber(value[0]) : undefined;
}

/** A list of strings, or its text form. */
export function textsOf(doc: Doc, key: string): string[] {
  const value = parsed(doc[key]);
  const texts = Array.isArray(value) ? value.map(spelled) : [undefined];
  const strings = texts.filter((text) => text !== undefined);
  if (strings.length === texts.length) return strings;
  throw wrongField(key, 'a list of strings', doc[key]);
}

/** Choices in the format of ARC and OpenBookQA on the hub. */
export interface LabelledChoices {
  text: string[];
  label: string[];
}

/**
 * {text: [...], label: [...]}, a list of {text, label}, the text form of either, or the fields
 * 'choices.text' and 'choices.label'.
 */
export function labelledChoices(doc: Doc): LabelledChoices {
  const value = parsed(doc.choices);
  if (Array.isArray(value) && value.every(isDoc)) {
    return {
      text: value.map((choice) => keyOf(choice, 'text')),
      label: value.map((choice) => keyOf(choice, 'label')),
    };
  }
  if (isDoc(value)) return { text: textsOf(value, 'text'), label: textsOf(value, 'label') };
  if ('choices.text' in doc) {
    return { text: textsOf(doc, 'choices.text'), label: textsOf(doc, 'choices.label') };
  }
  throw wrongField('choices', 'an object with text and label', doc.choices);
}

/** The index of the answer among the labels. @throws EvaluationError if it is not among them */
export function labelIndex(labels: readonly string[], answer: string): number {
  const index = labels.indexOf(answer);
  if (index >= 0) return index;
  const hint = answer === '' ? UNLABELLED : '';
  throw new EvaluationError(
    `field 'answerKey': expected one of ${labels.join(', ')}, found ${JSON.stringify(answer)}${hint}`,
  );
}

/** The document with other keys in place of `from`, at the same position. */
export function replaceField(doc: Doc, from: string, fields: Doc): Doc {
  const entries = Object.entries(doc).filter(
    ([key]) => key === from || !Object.hasOwn(fields, key),
  );
  const at = entries.findIndex(([key]) => key === from);
  if (at < 0) return { ...doc, ...fields };
  return Object.fromEntries(entries.toSpliced(at, 1, ...Object.entries(fields)));
}

/** Parses a list or object that a CSV stores as text. */
function parsed(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*(?:[[{(]|array\()/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    // Not JSON: Python syntax, or plain text.
  }
  try {
    return parsePythonLiteral(value);
  } catch {
    return value;
  }
}

function spelled(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : undefined;
}

function wrongField(key: string, expected: string, found: unknown): EvaluationError {
  const shown = JSON.stringify(found)?.slice(0, 80) ?? 'none';
  return new EvaluationError(`field '${key}': expected ${expected}, found ${shown}`);
}
