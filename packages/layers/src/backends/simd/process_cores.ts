// The cores that this process may use, in Node.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { cgroupCpus, type ReadText } from './cgroup_cpus.js';

/** Whole cores of the CPU affinity (taskset, cpusets), or fewer if a cgroup has a CPU quota. At least 1. */
export function processCores(readText: ReadText = readFile): number {
  const quota = process.platform === 'linux' ? cgroupCpus(readText) : Number.POSITIVE_INFINITY;
  return Math.max(1, Math.min(availableParallelism(), Math.floor(quota)));
}

function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
