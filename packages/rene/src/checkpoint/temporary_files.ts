// Removes temporary files if the process exits before they are renamed.

const removals = new Set<() => void>();
let isWatching = false;

/**
 * Runs a synchronous function when the process exits.
 *
 * @returns a function that cancels it
 */
export function atExit(remove: () => void): () => void {
  if (!isWatching) process.on('exit', removeAll);
  isWatching = true;
  removals.add(remove);
  return () => void removals.delete(remove);
}

function removeAll(): void {
  for (const remove of removals) {
    try {
      remove();
    } catch {
      // The process is exiting, so errors are ignored.
    }
  }
}
