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

/** Milliseconds of work between two turns on a page's thread: less than a frame. */
const FRAME_SHARE = 10;

/** Whether this is a page's own thread, which draws the frames. */
export function isPageThread(): boolean {
  return Reflect.has(globalThis, 'document');
}

/** Gives a page a turn between two pieces of work, once they have taken a good part of a frame. */
export class FrameTurns {
  private since = performance.now();

  async pass(): Promise<void> {
    if (performance.now() - this.since < FRAME_SHARE) return;
    await nextTurn();
    this.since = performance.now();
  }
}
