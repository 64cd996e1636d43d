// AbortSignal.any, which Node has from 20.3 on.

/** A signal that is aborted as soon as one of these is, for its reason. */
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
