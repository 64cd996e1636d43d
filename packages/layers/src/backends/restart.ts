// How a backend starts again whose device has gone away.

const restarts = new Map<string, () => void>();

/** @param restart called before the backend is chosen; does nothing while its device is there */
export function registerRestart(backendName: string, restart: () => void): void {
  restarts.set(backendName, restart);
}

export function restartIfLost(backendName: string): void {
  restarts.get(backendName)?.();
}
