// Templates as Python's Jinja renders them, where @huggingface/jinja differs.
//
// Chat templates are written for Python: an undefined value is empty in a loop or a filter, and values are printed
// as Python prints them. The parsed template is changed accordingly before it is run.
import { Template } from '@huggingface/jinja';
import { asRecord } from '../json.js';

type Node = Record<string, unknown>;

/** A name that no template uses. */
const PRINT = '__print_as_python';

/** Renders a template. @throws Error of the template library, or of the template itself */
export function renderTemplate(
  source: string,
  variables: Readonly<Record<string, unknown>>,
): string {
  const template = new Template(source);
  adapt(template.parsed);
  return template.render({ ...variables, [PRINT]: printed });
}

/** Filters of lists and of texts. They treat an undefined value as empty. */
const LIST_FILTERS: ReadonlySet<unknown> = new Set([
  ...['length', 'join', 'list', 'map', 'selectattr', 'rejectattr', 'reverse', 'sort', 'unique'],
]);
const TEXT_FILTERS: ReadonlySet<unknown> = new Set(
  'trim upper lower title capitalize replace string indent'.split(' '),
);
/** Other names of filters. */
const SYNONYMS: Readonly<Record<string, string>> = { d: 'default', count: 'length' };

/** Nodes in a block whose value is printed. Numbers of arithmetic print as they are. */
const PRINTED: ReadonlySet<unknown> = new Set(
  ['Identifier', 'MemberExpression', 'CallExpression', 'FilterExpression', 'TestExpression'].concat(
    ['BooleanLiteral', 'ArrayLiteral', 'ObjectLiteral', 'UnaryExpression', 'Ternary'],
  ),
);

/** Operators whose value may be True or False. */
const TRUTHS: ReadonlySet<unknown> = new Set([
  'in',
  'not in',
  'and',
  'or',
  '==',
  '!=',
  '<',
  '>',
  '<=',
  '>=',
]);

/** Changes a node and all below it. */
function adapt(value: unknown): void {
  if (Array.isArray(value)) for (const each of value) adapt(each);
  else if (value instanceof Map) for (const [key, each] of value) adapt([key, each]);
  const node = asRecord(value);
  if (!node || value instanceof Map) return;
  for (const child of Object.values(node)) adapt(child);
  if (node.type === 'For') {
    const select = asRecord(node.iterable);
    if (select?.type === 'SelectExpression') select.lhs = orEmpty(select.lhs, 'ArrayLiteral');
    else node.iterable = orEmpty(node.iterable, 'ArrayLiteral');
  }
  if (node.type === 'FilterExpression') adaptFilter(node);
  for (const block of ['body', 'alternate', 'defaultBlock']) {
    const statements = node[block];
    if (Array.isArray(statements)) node[block] = statements.map(printing);
  }
}

function adaptFilter(node: Node): void {
  const filter = asRecord(node.filter);
  const name = filter?.type === 'CallExpression' ? asRecord(filter.callee) : filter;
  if (!name) return;
  if (typeof name.value === 'string' && Object.hasOwn(SYNONYMS, name.value)) {
    name.value = SYNONYMS[name.value];
  }
  if (LIST_FILTERS.has(name.value)) node.operand = orEmpty(node.operand, 'ArrayLiteral');
  if (TEXT_FILTERS.has(name.value)) node.operand = orEmpty(node.operand, 'StringLiteral');
}

/** `operand | default([])` or `operand | default('')`. */
function orEmpty(operand: unknown, type: 'ArrayLiteral' | 'StringLiteral'): Node {
  const empty = { type, value: type === 'ArrayLiteral' ? [] : '' };
  const filter = { type: 'CallExpression', callee: identifier('default'), args: [empty] };
  return { type: 'FilterExpression', operand, filter };
}

/** A statement that prints its value as Python does. */
function printing(statement: unknown): unknown {
  const node = asRecord(statement);
  const operator = asRecord(node?.operator)?.value;
  if (!PRINTED.has(node?.type) && !TRUTHS.has(operator)) return statement;
  const print = { type: 'CallExpression', callee: identifier(PRINT), args: [statement] };
  if (node?.type !== 'Identifier' && node?.type !== 'MemberExpression') return print;
  // The library does not distinguish None from undefined.
  const operand = statement;
  const condition = { type: 'TestExpression', operand, negate: false, test: identifier('none') };
  const none = { type: 'StringLiteral', value: 'None' };
  return { type: 'Ternary', condition, trueExpr: none, falseExpr: print };
}

function identifier(value: string): Node {
  return { type: 'Identifier', value };
}

/** A value as `{{ value }}` prints it. */
function printed(value: unknown): unknown {
  if (value === undefined) return '';
  return typeof value === 'string' || typeof value === 'number' ? value : pythonText(value);
}

/** Python's repr of a value, whose parts may be values of the template library. */
function pythonText(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') return quoted(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `[${value.map(pythonText).join(', ')}]`;
  if (value instanceof Map) {
    const entries = [...value].map(([key, each]) => `${pythonText(key)}: ${pythonText(each)}`);
    return `{${entries.join(', ')}}`;
  }
  const inner = asRecord(value);
  if (inner?.type === 'FloatValue' && Number.isInteger(inner.value)) return `${inner.value}.0`;
  return inner && 'value' in inner ? pythonText(inner.value) : String(value);
}

/** As Python writes a string: in single quotes, unless only those occur in it. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/[\\\n\r\t]|['"]/g, (found) => {
    if (found === '"' || found === "'") return found === quote ? `\\${found}` : found;
    return ESCAPES[found] ?? found;
  });
  return quote + escaped + quote;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};
