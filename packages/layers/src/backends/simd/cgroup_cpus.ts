// The CPU quota of this process's cgroups. Node counts it only from version 24 on, and without parent
// cgroups.

/** The text of a file; undefined if it does not exist. */
export type ReadText = (path: string) => string | undefined;

/**
 * CPUs that the quotas of the process's cgroup and of its parents allow; may be a fraction. Infinity
 * without a quota.
 */
export function cgroupCpus(readText: ReadText): number {
  const mounts = readMounts(readText('/proc/self/mountinfo') ?? '');
  const quotas = readMemberships(readText('/proc/self/cgroup') ?? '').flatMap(
    ({ isV2, controllers, path }) => {
      const mount = mounts.find((candidate) =>
        isV2
          ? candidate.isV2
          : candidate.controllers.includes('cpu') && controllers.includes('cpu'),
      );
      if (!mount) return [];
      const readQuota = isV2 ? readQuotaV2 : readQuotaV1;
      return foldersOf(mount, path).map((folder) => readQuota(folder, readText));
    },
  );
  return Math.min(Number.POSITIVE_INFINITY, ...quotas);
}

interface Mount {
  isV2: boolean;
  controllers: string[];
  /** The cgroup that is mounted. */
  root: string;
  /** Where it is mounted. */
  point: string;
}

/** The cgroup mounts of /proc/self/mountinfo (see proc(5)). */
function readMounts(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [fields = '', ofType = ''] = line.split(' - ');
    const [type = '', , options = ''] = ofType.split(' ');
    if (type !== 'cgroup' && type !== 'cgroup2') return [];
    const [, , , root = '/', point = ''] = fields.split(' ').map(unescapeOctal);
    return [{ isV2: type === 'cgroup2', controllers: options.split(','), root, point }];
  });
}

const unescapeOctal = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );

interface Membership {
  isV2: boolean;
  controllers: string[];
  path: string;
}

/** The lines of /proc/self/cgroup: `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers. */
function readMemberships(text: string): Membership[] {
  return text.split('\n').flatMap((line) => {
    const [, hierarchy, controllers = '', path = ''] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (hierarchy === undefined) return [];
    return [
      { isV2: hierarchy === '0' && controllers === '', controllers: controllers.split(','), path },
    ];
  });
}

/** The folders of a cgroup and of its parents, as far up as they are mounted. */
function foldersOf({ root, point }: Mount, path: string): string[] {
  // In a container the path may be the host's; the mount then shows its lower part.
  const prefix = root === '/' ? '' : root;
  const isBelow = path === root || path.startsWith(`${prefix}/`);
  const names = isBelow ? path.slice(prefix.length).split('/').filter(Boolean) : [];
  if (names.includes('..')) return [point];
  return [...names.keys(), names.length].map((count) =>
    [point, ...names.slice(0, count)].join('/'),
  );
}

/** `cpu.max`: "quota period" or "max period". */
function readQuotaV2(folder: string, readText: ReadText): number {
  const [quota, period = '100000'] = (readText(`${folder}/cpu.max`) ?? '').trim().split(/\s+/);
  return cpus(Number(quota), Number(period));
}

/** `cpu.cfs_quota_us`: microseconds of each period; -1 without a quota. */
function readQuotaV1(folder: string, readText: ReadText): number {
  const quota = Number(readText(`${folder}/cpu.cfs_quota_us`));
  return cpus(quota, Number(readText(`${folder}/cpu.cfs_period_us`)));
}

function cpus(quota: number, period: number): number {
  return quota > 0 && period > 0 ? quota / period : Number.POSITIVE_INFINITY;
}
