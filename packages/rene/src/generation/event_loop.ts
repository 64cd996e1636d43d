// Lets other work of this thread run between two tokens: timers, signals, requests, the page.

/** Resolves on the event loop's next turn. */
export function nextTurn(): Promise<void> {
  // A page has no setImmediate, and its timers wait 4 ms each; a message does not.
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
