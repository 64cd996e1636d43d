// PIQA: which of two solutions reaches a goal in the physical world.
import { integerOf, textOf } from '../fields.js';
import { oneContext, type Task } from '../task.js';

export const piqa: Task = {
  name: 'piqa',
  version: 1,
  dataset: { path: 'baber/piqa', name: null, training: 'train', validation: 'validation' },
  metrics: ['acc', 'acc_norm'],
  description: '',
  numFewshot: 0,
  process: (doc) => ({ ...doc, label: integerOf(doc, 'label') }),
  question(doc) {
    const label = integerOf(doc, 'label');
    const choices = [textOf(doc, 'sol1'), textOf(doc, 'sol2')];
    return oneContext(`Question: ${textOf(doc, 'goal')}\nAnswer:`, choices, label, String(label));
  },
  templates: {
    docToText: 'Question: {{goal}}\nAnswer:',
    docToTarget: 'label',
    docToChoice: '{{[sol1, sol2]}}',
    decontamination: 'goal',
  },
};
