// HellaSwag: which of four endings continues the text?
import { integerOf, textOf, textsOf } from '../fields.js';
import { capitalize, strip } from '../python_text.js';
import { type Doc, oneContext, type Task } from '../task.js';

export const hellaswag: Task = {
  name: 'hellaswag',
  version: 1,
  dataset: { path: 'Rowan/hellaswag', name: null, training: 'train', validation: 'validation' },
  metrics: ['acc', 'acc_norm'],
  description: '',
  numFewshot: 0,
  process(doc) {
    const endings = textsOf(doc, 'endings');
    const label = String(integerOf(doc, 'label'));
    return { ...doc, endings, label, ...preprocess(doc) };
  },
  question(doc) {
    const { query, choices, gold } = preprocess(doc);
    return oneContext(query, choices, gold, String(gold));
  },
  templates: { docToText: '{{query}}', docToTarget: '{{label}}', docToChoice: 'choices' },
};

function preprocess(doc: Doc): { query: string; choices: string[]; gold: number } {
  const context = `${textOf(doc, 'ctx_a')} ${capitalize(textOf(doc, 'ctx_b'))}`;
  return {
    query: clean(`${textOf(doc, 'activity_label')}: ${context}`),
    choices: textsOf(doc, 'endings').map(clean),
    gold: integerOf(doc, 'label'),
  };
}

/**
 * Removes WikiHow's markup. As in the original, the result is not stripped again and runs of spaces are
 * halved once, so that choices may begin with a space.
 */
function clean(text: string): string {
  return strip(text)
    .replaceAll(' [title]', '. ')
    .replace(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ');
}
