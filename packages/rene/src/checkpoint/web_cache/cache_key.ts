// What a kept file is found by: its URL without what signs it, which changes from visit to visit.

/** Query parameters of signatures: of S3, CloudFront, Google Cloud, Azure, and tokens. */
const SIGNATURE =
  /^(?:x-(?:amz|goog)-.*|signature|expires|policy|key-pair-id|awsaccesskeyid|googleaccessid|s(?:ig|e|t|p|v|r|pr|koid|ktid|kt|ke|ks|kv)|(?:access_)?token)$/i;

/** A URL without login, hash and signature. */
export function unsignedUrl(url: string): string {
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  parsed.hash = '';
  for (const name of [...parsed.searchParams.keys()]) {
    if (SIGNATURE.test(name)) parsed.searchParams.delete(name);
  }
  return parsed.href;
}

/** A name for a folder. */
export async function cacheKey(url: string): Promise<string> {
  const bytes = new TextEncoder().encode(unsignedUrl(url));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
