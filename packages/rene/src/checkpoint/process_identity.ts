// Identifies the process that wrote a file, and whether it is still running.
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

/** Identity of a process. */
export interface ProcessIdentity {
  /** The machine, and on Linux the container, in which the process id is valid. */
  readonly host: string;
  readonly pid: number;
  /** Start time in the kernel's ticks, since process ids are reused. Linux only. */
  readonly started: string | undefined;
}

/** The running process. */
export async function thisProcess(): Promise<ProcessIdentity> {
  const started = (await linuxProcess(process.pid))?.started;
  return { host: await thisHost(), pid: process.pid, started };
}

/** Whether a process is still running; undefined if unknown. */
export async function isAlive({
  host,
  pid,
  started,
}: ProcessIdentity): Promise<boolean | undefined> {
  if (host !== (await thisHost())) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs as another user.
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
  }
  const found = await linuxProcess(pid);
  if (!found || started === undefined) return undefined;
  return found.started === started && !found.isZombie;
}

async function thisHost(): Promise<string> {
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${hostname()} ${namespace}`.trim();
}

/** Fields of /proc for a process; undefined if there are none. */
async function linuxProcess(
  pid: number,
): Promise<{ started: string; isZombie: boolean } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  // The second field, the program's name in parentheses, may contain anything.
  const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { started: fields[18] ?? '', isZombie: state === 'Z' || state === 'X' };
}
