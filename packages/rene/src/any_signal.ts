// AbortSignal.any for Node before 20.3.

/** A signal that aborts as soon as one of these does, with its reason. */
export function anySignal(signals: readonly AbortSignal[]): AbortSignal {
  return typeof AbortSignal.any === 'function' ? AbortSignal.any([...signals]) : joined(signals);
}

/** Like AbortSignal.any, for runtimes without it. */
export function joined(signals: readonly AbortSignal[]): AbortSignal {
  const controller = new AbortController();
  for (const each of signals) {
    if (each.aborted) controller.abort(each.reason);
    const abort = () => controller.abort(each.reason);
    each.addEventListener('abort', abort, { once: true, signal: controller.signal });
  }
  return controller.signal;
}
