// Post-processors: add special tokens to a text.
import type { Fields } from './fields.js';

/** The ids of a text with special tokens. */
export type PostProcessor = (ids: number[]) => number[];

/** @throws TokenizerError */
export function readPostProcessor(fields: Fields): PostProcessor {
  switch (fields.string('type')) {
    case 'Sequence': {
      const processors = fields.objects('processors').map(readPostProcessor);
      return (ids) => processors.reduce((result, process) => process(result), ids);
    }
    case 'TemplateProcessing':
      return template(fields);
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const start = idOfPair(fields, 'cls');
      const end = idOfPair(fields, 'sep');
      return (ids) => [start, ...ids, end];
    }
    case 'ByteLevel':
      return (ids) => ids;
    default:
      return fields.refuseType('post-processor');
  }
}

function template(fields: Fields): PostProcessor {
  const tokens = fields.has('special_tokens') ? fields.object('special_tokens') : undefined;
  /** Ids; undefined stands for the text. */
  const parts = fields.objects('single').map((part) => {
    if (part.has('Sequence')) return undefined;
    const name = part.object('SpecialToken').string('id');
    const ids = tokens?.has(name) ? tokens.object(name).list('ids') : [];
    const known = ids.filter((id) => typeof id === 'number');
    if (known.length === 0) fields.refuse('special_tokens', `the ids of ${JSON.stringify(name)}`);
    return known;
  });
  return (ids) => {
    const result: number[] = [];
    for (const part of parts) for (const id of part ?? ids) result.push(id);
    return result;
  };
}

/** `["[CLS]", 101]` */
function idOfPair(fields: Fields, name: string): number {
  const [, id] = fields.list(name);
  return typeof id === 'number' ? id : fields.refuse(name, 'a token and its id');
}
