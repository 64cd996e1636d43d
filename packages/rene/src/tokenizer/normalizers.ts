// Normalisers: transform a text before it is split into words.
import { toByteCharacters } from './byte_alphabet.js';
import type { Fields } from './fields.js';
import { type NormalForm, normalForm } from './normal_form.js';
import {
  NEWER_DECOMPOSITIONS,
  NEWER_FORMAT,
  NEWER_MARKS,
  NEWER_MARKS_FOR_BERT,
} from './older_unicode.js';
import { readPattern, replaceAll } from './pattern.js';
import { precompiledNormalizer } from './precompiled.js';

export type Normalizer = (text: string) => string;

/** @throws TokenizerError */
export function readNormalizer(fields: Fields): Normalizer {
  const type = fields.string('type');
  switch (type) {
    case 'Sequence': {
      const normalizers = fields.objects('normalizers').map(readNormalizer);
      return (text) => normalizers.reduce((result, normalize) => normalize(result), text);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => olderNormalForm(text, type);
    case 'Lowercase':
      return lowercase;
    case 'StripAccents':
      return (text) => text.replace(MARK, '');
    case 'Strip':
      return strip(fields);
    case 'Prepend': {
      const prefix = fields.string('prepend');
      return (text) => (text === '' ? '' : prefix + text);
    }
    case 'Replace': {
      const pattern = readPattern(fields);
      const content = fields.string('content');
      return (text) => replaceAll(text, pattern, content);
    }
    case 'Precompiled':
      return precompiledNormalizer(fields);
    case 'BertNormalizer':
      return bert(fields);
    case 'Nmt':
      return nmt;
    case 'ByteLevel':
      return toByteCharacters;
    default:
      return fields.refuseType('normalizer');
  }
}

/** Unassigned characters are treated like letters. */
function olderNormalForm(text: string, form: NormalForm): string {
  if (!UNKNOWN.test(text)) return normalForm(text, form);
  return text
    .split(UNKNOWN)
    .map((part) => (UNKNOWN.test(part) ? part : normalForm(part, form)))
    .join('');
}

const UNKNOWN = new RegExp(`([${NEWER_MARKS}${NEWER_DECOMPOSITIONS}]+)`, 'v');
const MARK = new RegExp(`[[\\p{M}--[${NEWER_MARKS}]]\\u1cf2\\u1cf3]`, 'gv');

/** Each character separately: a final sigma becomes σ, as in Rust. */
function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

function strip(fields: Fields): Normalizer {
  const left = fields.boolean('strip_left', true) ? '^\\p{White_Space}+' : undefined;
  const right = fields.boolean('strip_right', true)
    ? '(?<!\\p{White_Space})\\p{White_Space}+$'
    : undefined;
  const ends = [left, right].filter((end) => end !== undefined);
  if (ends.length === 0) return (text) => text;
  const regex = new RegExp(ends.join('|'), 'gu');
  return (text) => text.replace(regex, '');
}

function bert(fields: Fields): Normalizer {
  const cleans = fields.boolean('clean_text', true);
  const spaces = fields.boolean('handle_chinese_chars', true);
  const lowers = fields.boolean('lowercase', true);
  const strips = fields.boolean('strip_accents', lowers);
  return (text) => {
    let result = text;
    if (cleans) result = result.replace(NO_TEXT, '').replace(/\p{White_Space}/gu, ' ');
    if (spaces) result = result.replace(IDEOGRAPH, ' $& ');
    if (strips) result = olderNormalForm(result, 'NFD').replace(BERT_MARK, '');
    return lowers ? lowercase(result) : result;
  };
}

/** Tab and line breaks count as white space here. */
const NO_TEXT = new RegExp(
  `(?![\\t\\n\\r])[\\ufffd\\p{Cc}[\\p{Cf}--[${NEWER_FORMAT}]]\\p{Co}]`,
  'gv',
);
const BERT_MARK = new RegExp(
  `[[\\p{Mn}--[${NEWER_MARKS}${NEWER_MARKS_FOR_BERT}]]\\u1734\\u{1171e}]`,
  'gv',
);
const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function nmt(text: string): string {
  return text
    .replace(NMT_REMOVES, '')
    .replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, ' ');
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: it removes control characters
const NMT_REMOVES = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g;
