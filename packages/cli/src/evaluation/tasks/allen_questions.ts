// Questions of ARC and OpenBookQA in the hub's form, from the forms that their authors publish.
import { keyOf, labelledChoices, replaceField, textOf } from '../fields.js';
import { type Doc, isDoc } from '../task.js';

/**
 * The original JSONL nests {stem, choices: [{text, label}]} in `question`. The hub has the stem and
 * the choices side by side.
 *
 * @param stemKey what the hub calls the stem
 * @throws EvaluationError when the document is neither
 */
export function hubQuestion(doc: Doc, stemKey: 'question' | 'question_stem'): Doc {
  const answerKey = keyOf(doc, 'answerKey');
  const { question } = doc;
  if (!isDoc(question)) return { ...doc, choices: labelledChoices(doc), answerKey };
  const fields = { [stemKey]: textOf(question, 'stem'), choices: labelledChoices(question) };
  return replaceField({ ...doc, answerKey }, 'question', fields);
}
