// Converts ARC and OpenBookQA questions from their authors' formats to the hub's.
import { keyOf, labelledChoices, replaceField, textOf } from '../fields.js';
import { type Doc, isDoc } from '../task.js';

/**
 * The original JSONL nests {stem, choices: [{text, label}]} in `question`; the hub stores stem and choices
 * side by side.
 *
 * @param stemKey the hub's name of the stem
 * @throws EvaluationError if the document has neither format
 */
export function hubQuestion(doc: Doc, stemKey: 'question' | 'question_stem'): Doc {
  const answerKey = keyOf(doc, 'answerKey');
  const { question } = doc;
  if (!isDoc(question)) return { ...doc, choices: labelledChoices(doc), answerKey };
  const fields = { [stemKey]: textOf(question, 'stem'), choices: labelledChoices(question) };
  return replaceField({ ...doc, answerKey }, 'question', fields);
}
