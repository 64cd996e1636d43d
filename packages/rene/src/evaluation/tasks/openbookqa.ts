// OpenBookQA: elementary science; the question is the beginning of a sentence. Four choices.
import { lstrip } from '../python_text.js';
import { labelledChoices, oneContext, type Task, textOf } from '../task.js';

export const openbookqa: Task = {
  name: 'openbookqa',
  version: 1,
  dataset: {
    path: 'allenai/openbookqa',
    name: 'main',
    training: 'train',
    validation: 'validation',
    test: 'test',
  },
  metrics: ['acc', 'acc_norm'],
  description: '',
  numFewshot: 0,
  question(doc) {
    const { texts, labels } = labelledChoices(doc);
    const gold = labels.indexOf(lstrip(textOf(doc, 'answerKey')));
    return oneContext(textOf(doc, 'question_stem'), texts, gold, String(gold));
  },
  templates: {
    docToText: 'question_stem',
    docToTarget: '{{choices.label.index(answerKey.lstrip())}}',
    docToChoice: '{{choices.text}}',
    decontamination: 'question_stem',
  },
};
