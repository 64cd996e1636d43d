// kill -9 at random moments. RENE_KILLS=20 kills more often.
import { fork } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const KILLS = Number(process.env.RENE_KILLS ?? 2);
/** Longer than all the killed runs together: every kill hits a running process. */
const STEPS = 10 * (KILLS + 1);
const CHILD = fileURLToPath(new URL('./kill_child.js', import.meta.url));

interface Ended {
  code: number | null;
  lastStep: number;
  messages: string;
}

/** Runs the child process and kills it some milliseconds after its first step, if it is still running. */
function trainInChild(dir: string, killAfter?: number): Promise<Ended> {
  const child = fork(CHILD, [dir, String(STEPS)], { silent: true });
  let output = '';
  let messages = '';
  child.stdout?.on('data', (chunk) => {
    if (output === '' && killAfter !== undefined) {
      setTimeout(() => child.kill('SIGKILL'), killAfter);
    }
    output += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    messages += chunk;
  });
  return new Promise((resolve) => {
    child.on('close', (code) => {
      resolve({ code, lastStep: Number(output.trim().split('\n').at(-1)), messages });
    });
  });
}

describe('a training run that is killed', function () {
  this.timeout(60_000 + 20_000 * KILLS);
  let dir = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-kill-'));
  });
  after(() => rm(dir, { recursive: true }));

  it(`resumes after each of ${KILLS} kills and ends with the same weights`, async () => {
    const whole = await trainInChild(`${dir}/whole`);
    expect(whole, whole.messages).to.include({ code: 0, lastStep: STEPS });
    let reached = 0;
    for (let i = 0; i < KILLS; i++) {
      const { code, lastStep, messages } = await trainInChild(`${dir}/killed`, Math.random() * 40);
      expect({ code, messages }).to.deep.equal({ code: null, messages: '' });
      // Each step is checkpointed: every reported step except the last is saved.
      expect(lastStep).to.be.at.least(reached);
      reached = lastStep;
    }
    const last = await trainInChild(`${dir}/killed`);
    expect(last.code, last.messages).to.equal(0);
    const [a, b] = await Promise.all(
      ['whole', 'killed'].map((run) => readFile(`${dir}/${run}/model.safetensors`)),
    );
    expect(b?.equals(a ?? new Uint8Array())).to.equal(true);
    const [weights, others] = await Promise.all(
      ['whole', 'killed'].map((run) => stateTensors(`${dir}/${run}/training_state.safetensors`)),
    );
    expect(others?.equals(weights ?? new Uint8Array())).to.equal(true);
  });
});

/** The file without its header, which has the run's duration in seconds. */
async function stateTensors(path: string): Promise<Buffer> {
  const file = await readFile(path);
  return file.subarray(8 + Number(file.readBigUInt64LE(0)));
}
