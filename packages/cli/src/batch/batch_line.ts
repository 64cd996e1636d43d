// A line of a batch in OpenAI's format: {"custom_id", "method", "url", "body"}.
import { createHash } from 'node:crypto';
import { asRecord } from '@rene-js/rene/internal';

/** A request as it is sent to the server. */
export interface BatchRequest {
  url: string;
  body: Readonly<Record<string, unknown>>;
}

/** Why a line has no response. */
export interface BatchLineError {
  code: string;
  message: string;
  param: string | null;
  /** The line's number in the input file. */
  line: number;
}

export interface BatchLine {
  /** Identifies the request and the model: the id of the result. */
  id: string;
  number: number;
  /** null if the line has none. */
  customId: string | null;
  request: BatchRequest | BatchLineError;
}

/** The routes that a batch may call. */
const ROUTES: ReadonlySet<unknown> = new Set(['/v1/completions', '/v1/chat/completions']);

/**
 * Parses a line. A line that is not a valid request has an error instead of one.
 *
 * A request without a seed gets one that depends on its custom_id, so that every run of a batch has the same
 * results.
 *
 * @param model identifies the model and its dtype
 */
export function parseBatchLine(text: string, number: number, model: string): BatchLine {
  const fields = recordOf(text);
  const { custom_id: customId, method, url, body } = fields ?? {};
  const own = typeof customId === 'string' && customId !== '' ? customId : null;
  const request = checkFields(fields, number);
  const key = own === null ? [number, text] : [own, method ?? null, url ?? null, body ?? null];
  const id = `${ID_PREFIX}${hash(JSON.stringify([model, ...key]))
    .toString('hex')
    .slice(0, 32)}`;
  return { id, number, customId: own, request: withSeed(request, own) };
}

/** Begins the ids of all results. */
export const ID_PREFIX = 'batch_req_';

export function isLineError(request: BatchLine['request']): request is BatchLineError {
  return 'code' in request;
}

function recordOf(text: string): Record<string, unknown> | undefined {
  try {
    return asRecord(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function checkFields(
  fields: Record<string, unknown> | undefined,
  line: number,
): BatchLine['request'] {
  const invalid = (code: string, param: string | null, message: string): BatchLineError => {
    return { code, message: `line ${line}: ${message}`, param, line };
  };
  if (!fields) return invalid('invalid_json_line', null, 'expected a JSON object');
  const { custom_id: customId, method, url } = fields;
  if (typeof customId !== 'string' || customId === '') {
    return invalid('missing_required_parameter', 'custom_id', 'expected a custom_id, a text');
  }
  if (method !== 'POST') {
    return invalid('invalid_method', 'method', `expected the method POST, found ${shown(method)}`);
  }
  if (typeof url !== 'string' || !ROUTES.has(url)) {
    return invalid(
      'invalid_url',
      'url',
      `expected ${[...ROUTES].join(' or ')}, found ${shown(url)}`,
    );
  }
  const body = asRecord(fields.body);
  if (!body) return invalid('missing_required_parameter', 'body', 'expected a body, an object');
  if (body.stream) {
    return invalid('invalid_request', 'stream', 'expected no stream: a batch has whole answers');
  }
  return { url, body };
}

function withSeed(request: BatchLine['request'], customId: string | null): BatchLine['request'] {
  if (isLineError(request) || customId === null || request.body.seed != null) return request;
  return { ...request, body: { ...request.body, seed: hash(customId).readUIntBE(0, 6) } };
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'none';
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
