// COPA: what was the cause, or the effect, of an event? Two alternatives.
import { EvaluationError } from '../errors.js';
import { integerOf, textOf } from '../fields.js';
import { strip } from '../python_text.js';
import { checkGold, oneContext, type Task } from '../task.js';

const CONNECTORS: Readonly<Record<string, string>> = { cause: 'because', effect: 'therefore' };

export const copa: Task = {
  name: 'copa',
  version: 1,
  dataset: { path: 'aps/super_glue', name: 'copa', training: 'train', validation: 'validation' },
  metrics: ['acc'],
  description: '',
  numFewshot: 0,
  process: (doc) => ({ ...doc, label: integerOf(doc, 'label') }),
  question(doc) {
    const kind = textOf(doc, 'question');
    const connector = CONNECTORS[kind];
    if (!connector) {
      throw new EvaluationError(`field 'question': expected 'cause' or 'effect', found '${kind}'`);
    }
    // Removes the last character, a full stop.
    const premise = [...strip(textOf(doc, 'premise'))].slice(0, -1).join('');
    // A choice starts with a space, so its continuation has two, as in the original.
    const choices = ['choice1', 'choice2'].map((key) => ` ${lowerFirst(textOf(doc, key))}`);
    const label = integerOf(doc, 'label');
    checkGold(label, choices.length);
    const target = choices[label] ?? '';
    return oneContext(`${premise} ${connector}`, choices, choices.indexOf(target), target);
  },
  templates: {
    docToText: '{{premise.strip()[:-1]}} {{"because" if question == "cause" else "therefore"}}',
    docToTarget: '{{" " + gold choice, its first letter in lower case}}',
    docToChoice: '{{[" " + choice1, " " + choice2], first letters in lower case}}',
  },
};

function lowerFirst(text: string): string {
  const [first = ''] = text;
  return first.toLowerCase() + text.slice(first.length);
}
