// ARC: school science questions, easy and challenge sets; three to five choices.
import { EvaluationError } from '../errors.js';
import { keyOf, labelIndex, labelledChoices, textOf } from '../fields.js';
import { type Doc, oneContext, type Task } from '../task.js';
import { hubQuestion } from './allen_questions.js';

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
    process: (doc) => ('AnswerKey' in doc ? tableRow(doc) : hubQuestion(doc, 'question')),
    question(doc) {
      const { text, label } = labelledChoices(doc);
      const gold = labelIndex(label, textOf(doc, 'answerKey'));
      const context = `Question: ${textOf(doc, 'question')}\nAnswer:`;
      return oneContext(context, text, gold, String(gold));
    },
    templates: {
      docToText: 'Question: {{question}}\nAnswer:',
      docToTarget: '{{choices.label.index(answerKey)}}',
      docToChoice: '{{choices.text}}',
      decontamination: 'Question: {{question}}\nAnswer:',
    },
  };
}

/** A row of the original CSV, whose question includes the choices: "Which is hot? (A) ice (B) fire". */
function tableRow(doc: Doc): Doc {
  const whole = textOf(doc, 'question');
  const [first = ''] = ['A', '1'].filter((label) => whole.includes(`(${label})`));
  const labels = first === 'A' ? 'ABCDE' : '12345';
  const parts: string[] = [];
  let rest = whole;
  for (const label of first === '' ? '' : labels) {
    // The stem may contain an (A) too.
    const at = label === first ? rest.lastIndexOf(`(${label})`) : rest.indexOf(`(${label})`);
    if (at < 0) break;
    parts.push(rest.slice(0, at).trim());
    rest = rest.slice(at + 3);
  }
  parts.push(rest.trim());
  const [stem = '', ...text] = parts;
  if (text.length < 2) {
    throw new EvaluationError("field 'question': expected choices as (A) ... (B) ..., found none");
  }
  const choices = { text, label: [...labels.slice(0, text.length)] };
  return { id: doc.questionID, question: stem, choices, answerKey: keyOf(doc, 'AnswerKey') };
}
