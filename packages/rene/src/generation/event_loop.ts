// Lets timers, signals, requests and the page run between two tokens.

/** Resolves on the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  // A page has no setImmediate, and its timers wait 4 ms. A message does not wait.
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const onmessage = () => {
      port1.close();
      resolve();
    };
    Object.assign(port1, { onmessage }); // Node's type of a port lacks it
    port2.postMessage(null);
  });
}
