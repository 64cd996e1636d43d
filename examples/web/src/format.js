// Numbers as text.

export function megabytes(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const VERBS = { download: 'Downloading', pack: 'Packing', upload: 'Uploading' };

/** @param progress as loadInWorker reports it */
export function progressText({ phase, file, loaded, total, rate }) {
  if (phase !== 'download')
    return `${VERBS[phase]} weights: ${Math.round((100 * loaded) / total)} %`;
  const of = total ? ` of ${megabytes(total)}` : '';
  const speed = rate > 0 ? `, ${megabytes(rate)}/s` : '';
  return `${VERBS[phase]} ${file}: ${megabytes(loaded)}${of}${speed}`;
}

/** Times in milliseconds. */
export function describeSpeed(start, first, tokens) {
  const wait = `first token after ${((first - start) / 1000).toFixed(2)} s`;
  const seconds = (performance.now() - first) / 1000;
  if (tokens < 2 || seconds <= 0) return wait;
  return `${((tokens - 1) / seconds).toFixed(1)} tokens/s, ${wait}`;
}
