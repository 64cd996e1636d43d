// CPU quotas of cgroups, read from Linux's files.
import { availableParallelism } from 'node:os';
import { expect } from 'chai';
import { cgroupCpus } from '../../../src/backends/simd/cgroup_cpus.js';
import { processCores } from '../../../src/backends/simd/process_cores.js';

type Files = Record<string, string>;
const cpusOf = (files: Files) => cgroupCpus((path) => files[path]);

/** Version 2, mounted at /sys/fs/cgroup, with the process in `path`; cpu.max by folder. */
function v2(path: string, quotas: Files, root = '/'): Files {
  return {
    '/proc/self/mountinfo':
      '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n' +
      `30 22 0:26 ${root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n`,
    '/proc/self/cgroup': `0::${path}\n`,
    ...Object.fromEntries(
      Object.entries(quotas).map(([folder, text]) => [`/sys/fs/cgroup${folder}/cpu.max`, text]),
    ),
  };
}

/** Version 1 with cpu and cpuacct in one hierarchy at `point`; quota and period by folder. */
function v1(
  path: string,
  quotas: Record<string, [number, number]>,
  { root = '/', point = '/sys/fs/cgroup/cpu,cpuacct' } = {},
): Files {
  const folders = Object.entries(quotas).flatMap(([folder, [quota, period]]) => [
    [`${point}${folder}/cpu.cfs_quota_us`, `${quota}\n`],
    [`${point}${folder}/cpu.cfs_period_us`, `${period}\n`],
  ]);
  return {
    '/proc/self/mountinfo':
      '35 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n' +
      `33 30 0:31 ${root} ${point.replaceAll(' ', '\\040')} rw - cgroup cgroup rw,cpu,cpuacct\n` +
      '40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
    '/proc/self/cgroup': `5:cpuset:/other\n4:cpu,cpuacct:${path}\n0::/user.slice\n`,
    ...Object.fromEntries(folders),
  };
}

describe('cgroup CPU quotas', () => {
  const cases: [string, Files, number][] = [
    ['no cgroups', {}, Number.POSITIVE_INFINITY],
    ['v2 without a quota', v2('/a', { '/a': 'max 100000\n' }), Number.POSITIVE_INFINITY],
    ['v2 with a quota', v2('/a', { '/a': '250000 100000\n' }), 2.5],
    ['v2 with a period of its own', v2('/', { '': '30000 10000\n' }), 3],
    [
      'v2, where a parent has less',
      v2('/pod/inner', { '/pod/inner': '800000 100000', '/pod': '150000 100000' }),
      1.5,
    ],
    ['v2, where only the root has one', v2('/pod/inner', { '': '400000 100000' }), 4],
    [
      'v2 in a container without a namespace',
      v2('/docker/abc/job', { '/job': '200000 100000' }, '/docker/abc'),
      2,
    ],
    [
      'v2 of a process that is outside of what is mounted',
      v2('/../other', { '': '300000 100000' }),
      3,
    ],
    ['v1 without a quota', v1('/', { '': [-1, 100000] }), Number.POSITIVE_INFINITY],
    ['v1 with a quota', v1('/job', { '/job': [150000, 50000] }), 3],
    [
      'v1, where a grandparent has less',
      v1('/a/b/c', { '/a/b/c': [900000, 100000], '/a/b': [-1, 100000], '/a': [50000, 100000] }),
      0.5,
    ],
    [
      'v1 in a container, which shows the host its path',
      v1('/docker/abc', { '': [200000, 100000] }, { root: '/docker/abc' }),
      2,
    ],
    ['v1 at an unusual place', v1('/x', { '/x': [600000, 100000] }, { point: '/cg roups/cpu' }), 6],
  ];
  for (const [title, files, cpus] of cases) {
    it(title, () => expect(cpusOf(files)).to.equal(cpus));
  }

  it('limit the cores of the process, to at least one', function () {
    if (process.platform !== 'linux') this.skip();
    const coresOf = (quota: string) => {
      const files = v2('/a', { '/a': quota });
      return processCores((path) => files[path]);
    };
    const all = availableParallelism();
    expect(coresOf('max 100000')).to.equal(all);
    expect(coresOf('100000000 100000')).to.equal(all);
    expect(coresOf('150000 100000')).to.equal(1);
    expect(coresOf('20000 100000')).to.equal(1);
    if (all > 2) expect(coresOf('290000 100000')).to.equal(2);
  });
});
