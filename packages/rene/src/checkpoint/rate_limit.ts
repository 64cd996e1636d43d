// How long a busy server asks clients to wait.

/**
 * Seconds until a server accepts requests again, from its headers; undefined if not stated. Retry-After
 * (seconds or a date) wins over RateLimit and RateLimit-Reset.
 */
export function secondsToWait(headers: Headers, now = Date.now()): number | undefined {
  const after = headers.get('retry-after')?.trim();
  if (after !== undefined && /^\d+(\.\d+)?$/.test(after)) return Number(after);
  // Date.parse takes numbers for years.
  const date = after !== undefined && /[a-z]{3}/i.test(after) ? Date.parse(after) : Number.NaN;
  if (!Number.isNaN(date)) return Math.max(0, (date - now) / 1000);
  return windowReset(headers.get('ratelimit')) ?? resetHeader(headers, now);
}

/** RateLimit: "api";r=0;t=25 (requests left, seconds to the next window), one part per policy. */
function windowReset(header: string | null): number | undefined {
  // Names may contain separators.
  const policies = (header ?? '').replace(/"(?:[^"\\]|\\.)*"/g, '').split(',');
  const windows = policies.flatMap((policy) => {
    const seconds = /(?:^|[;\s])(?:t|reset)\s*=\s*(\d+)/i.exec(policy)?.[1];
    const left = /(?:^|[;\s])(?:r|remaining)\s*=\s*(\d+)/i.exec(policy)?.[1] ?? '0';
    return seconds === undefined ? [] : [{ seconds: Number(seconds), left: Number(left) }];
  });
  const closed = windows.filter(({ left }) => left === 0);
  const seconds = (closed.length > 0 ? closed : windows).map((window) => window.seconds);
  return seconds.length > 0 ? Math.max(...seconds) : undefined;
}

/** The older headers: seconds, or the time of the reset in seconds since 1970. */
function resetHeader(headers: Headers, now: number): number | undefined {
  const value = headers.get('ratelimit-reset') ?? headers.get('x-ratelimit-reset') ?? '';
  if (!/^\s*\d+\s*$/.test(value)) return undefined;
  const seconds = Number(value);
  return seconds > 1e9 ? Math.max(0, seconds - now / 1000) : seconds;
}
