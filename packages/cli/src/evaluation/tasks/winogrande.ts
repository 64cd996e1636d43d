// WinoGrande: which of two nouns fills the blank; scores the text after it for each.
import { EvaluationError } from '../errors.js';
import { integerOf, textOf } from '../fields.js';
import { strip } from '../python_text.js';
import { checkGold, type Task } from '../task.js';

export const winogrande: Task = {
  name: 'winogrande',
  version: 1,
  dataset: {
    path: 'allenai/winogrande',
    name: 'winogrande_xl',
    training: 'train',
    validation: 'validation',
  },
  metrics: ['acc'],
  description: '',
  numFewshot: 0,
  process: (doc) => ({ ...doc, answer: String(integerOf(doc, 'answer')) }),
  question(doc) {
    const sentence = textOf(doc, 'sentence');
    const blank = sentence.indexOf('_');
    if (blank < 0) throw new EvaluationError(`field 'sentence': expected a blank '_', found none`);
    const gold = integerOf(doc, 'answer') - 1;
    checkGold(gold, 2);
    const contexts = ['option1', 'option2'].map(
      (key) => sentence.slice(0, blank) + textOf(doc, key),
    );
    const target = strip(sentence.slice(blank + 1));
    return {
      contexts,
      choices: contexts,
      continuations: contexts.map(() => ` ${target}`),
      gold,
      target,
    };
  },
  templates: {
    docToText: '{{sentence up to the blank, option1 or option2}}',
    docToTarget: '{{sentence after the blank}}',
    docToChoice: '{{[option1, option2], each after the sentence up to the blank}}',
    decontamination: 'sentence',
  },
};
