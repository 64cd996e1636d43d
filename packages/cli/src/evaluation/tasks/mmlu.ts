// MMLU: exam questions of 57 subjects in four groups; scores the letters A to D.
import { EvaluationError } from '../errors.js';
import { integerOf, textOf, textsOf } from '../fields.js';
import { strip } from '../python_text.js';
import { type Doc, oneContext, type Task } from '../task.js';

const LETTERS = ['A', 'B', 'C', 'D'];

/** The groups with their subjects, in lm-eval's order. */
export const MMLU_GROUPS = {
  stem: words(`abstract_algebra anatomy astronomy college_biology college_chemistry
    college_computer_science college_mathematics college_physics computer_security
    conceptual_physics electrical_engineering elementary_mathematics high_school_biology
    high_school_chemistry high_school_computer_science high_school_mathematics
    high_school_physics high_school_statistics machine_learning`),
  other: words(`business_ethics clinical_knowledge college_medicine global_facts human_aging
    management marketing medical_genetics miscellaneous nutrition professional_accounting
    professional_medicine virology`),
  social_sciences: words(`econometrics high_school_geography
    high_school_government_and_politics high_school_macroeconomics
    high_school_microeconomics high_school_psychology human_sexuality
    professional_psychology public_relations security_studies sociology us_foreign_policy`),
  humanities: words(`formal_logic high_school_european_history high_school_us_history
    high_school_world_history international_law jurisprudence logical_fallacies
    moral_disputes moral_scenarios philosophy prehistory professional_law world_religions`),
} as const;

export const mmluTasks: readonly Task[] = Object.values(MMLU_GROUPS).flat().map(mmlu);

function mmlu(subject: string): Task {
  const topic = subject.replaceAll('_', ' ');
  return {
    name: `mmlu_${subject}`,
    alias: subject,
    version: 1,
    dataset: { path: 'cais/mmlu', name: subject, test: 'test', fewshot: 'dev' },
    metrics: ['acc'],
    description: `The following are multiple choice questions (with answers) about ${topic}.\n\n`,
    // lm-eval's default; the model card uses five.
    numFewshot: 0,
    sampler: 'first_n',
    process: (doc) => hubForm(doc, subject),
    question(doc) {
      const choices = textsOf(doc, 'choices');
      if (choices.length !== LETTERS.length) {
        throw new EvaluationError(`field 'choices': expected 4, found ${choices.length}`);
      }
      const lines = choices.map((choice, i) => `${LETTERS[i]}. ${choice}`);
      const context = [strip(textOf(doc, 'question')), ...lines, 'Answer:'].join('\n');
      const answer = integerOf(doc, 'answer');
      return oneContext(context, LETTERS, answer, String(answer));
    },
    templates: {
      docToText:
        '{{question.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\nC. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:',
      docToTarget: 'answer',
      docToChoice: LETTERS,
    },
  };
}

/**
 * The document in the hub's format. Tables have one column per choice and a letter as answer; some call the
 * question `input` and the answer `target`.
 */
function hubForm(doc: Doc, subject: string): Doc {
  const key = doc.answer === undefined && doc.target !== undefined ? 'target' : 'answer';
  const letter = LETTERS.indexOf(String(doc[key]).trim());
  const answer = letter >= 0 ? letter : integerOf(doc, key);
  if (doc.choices !== undefined) return { ...doc, choices: textsOf(doc, 'choices'), answer };
  const question = textOf(doc, doc.question === undefined ? 'input' : 'question');
  return { question, subject, choices: LETTERS.map((name) => textOf(doc, name)), answer };
}

function words(text: string): readonly string[] {
  return text.split(/\s+/);
}
