// OpenBookQA: elementary science; the question is the start of a sentence; four choices.
import { labelIndex, labelledChoices, textOf } from '../fields.js';
import { lstrip } from '../python_text.js';
import { oneContext, type Task } from '../task.js';
import { hubQuestion } from './allen_questions.js';

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
  process: (doc) => hubQuestion(doc, 'question_stem'),
  question(doc) {
    const { text, label } = labelledChoices(doc);
    const gold = labelIndex(label, lstrip(textOf(doc, 'answerKey')));
    return oneContext(textOf(doc, 'question_stem'), text, gold, String(gold));
  },
  templates: {
    docToText: 'question_stem',
    docToTarget: '{{choices.label.index(answerKey.lstrip())}}',
    docToChoice: '{{choices.text}}',
    decontamination: 'question_stem',
  },
};
