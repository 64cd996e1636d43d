// What removes temporary files when the process exits before they got their names.

const removals = new Set<() => void>();
let isWatching = false;

/**
 * Runs a function when the process exits, which must be synchronous.
 *
 * @returns a function that takes it back
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
      // The process ends: there is nobody left to tell.
    }
  }
}
