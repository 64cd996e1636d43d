// Errors in OpenAI's format: {"error": {"message", "type", "param", "code"}}.

export type ApiErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'rate_limit_error'
  | 'server_error';

/** An error for the client. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    /** HTTP status. */
    readonly statusCode: number,
    message: string,
    readonly type: ApiErrorType = 'invalid_request_error',
    readonly param: string | null = null,
    readonly code: string | null = null,
  ) {
    super(message);
  }

  toJSON() {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

export function badRequest(message: string, param: string | null = null, code?: string): ApiError {
  return new ApiError(400, message, 'invalid_request_error', param, code ?? null);
}
