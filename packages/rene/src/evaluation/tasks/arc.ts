// ARC: science questions from school, an easy and a challenging set; three to five choices.
import { labelledChoices, oneContext, type Task, textOf } from '../task.js';

export const arcEasy = arc('arc_easy', 'ARC-Easy');
export const arcChallenge = arc('arc_challenge', 'ARC-Challenge');

function arc(name: string, subset: string): Task {
  return {
    name,
    version: 1,
    dataset: {
      path: 'allenai/ai2_arc',
      name: subset,
      training: 'train',
      validation: 'validation',
      test: 'test',
    },
    metrics: ['acc', 'acc_norm'],
    description: '',
    numFewshot: 0,
    question(doc) {
      const { texts, labels } = labelledChoices(doc);
      const gold = labels.indexOf(textOf(doc, 'answerKey'));
      const context = `Question: ${textOf(doc, 'question')}\nAnswer:`;
      return oneContext(context, texts, gold, String(gold));
    },
    templates: {
      docToText: 'Question: {{question}}\nAnswer:',
      docToTarget: '{{choices.label.index(answerKey)}}',
      docToChoice: '{{choices.text}}',
      decontamination: 'Question: {{question}}\nAnswer:',
    },
  };
}
