// `rene serve` as a process: its output at start, and how it ends.
import { spawn } from 'node:child_process';
import { Agent, type IncomingMessage, request } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { childEnv } from '@rene-js/testing';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';

const bin = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));

interface Served {
  url: string;
  stderr: () => string;
  interrupt: () => void;
  exitCode: Promise<number | null>;
}

/** Starts a server and waits until it prints its address. */
function serve(args: readonly string[] = []): Promise<Served> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, 'serve', '--port', '0', ...args], {
      env: childEnv(),
    });
    let stderr = '';
    const exitCode = new Promise<number | null>((ended) => child.on('close', ended));
    child.on('error', reject);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      const url = /(http:\S+)\/v1\/completions .*\n/.exec(stderr)?.[1];
      if (url === undefined) return;
      resolve({ url, stderr: () => stderr, interrupt: () => child.kill('SIGINT'), exitCode });
    });
    void exitCode.then((code) => reject(new Error(`it ended with ${code}: ${stderr}`)));
  });
}

describe('rene serve', () => {
  it('prints its address, finishes requests in progress on Ctrl-C, and ends', async () => {
    const { url, stderr, interrupt, exitCode } = await serve();
    expect(stderr()).to.match(
      /^rene-tiny at http:\/\/127\.0\.0\.1:\d+\/v1\/completions \(backend /,
    );
    expect(stderr()).to.match(/\n {2}curl -N http:.* -d '\{"prompt":/);
    // A client's open connection must not keep the server running.
    const agent = new Agent({ keepAlive: true });
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const client = request(`${url}/v1/completions`, { method: 'POST', headers, agent }, resolve);
      client.on('error', reject);
      client.end('{"prompt":"A","max_tokens":100,"ignore_eos":true,"stream":true}');
    });
    response.once('data', interrupt);
    const answer = await readAll(response);
    expect(answer.match(/"finish_reason":"length"/g)).to.have.length(1);
    expect(answer).to.match(/data: \[DONE\]\n\n$/);
    expect(await exitCode).to.equal(0);
    agent.destroy();
    expect(stderr()).to.include('finishing 1 in progress, for at most 30 s');
  });

  it('ends requests in progress after the grace period, and informs the client', async () => {
    const { url, interrupt, exitCode } = await serve(['--grace', '0']);
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"prompt":"A","max_tokens":4000,"ignore_eos":true,"stream":true}',
    });
    interrupt();
    expect(await response.text()).to.match(/data: \{"error":.*shutting down.*\}\n\n$/);
    expect(await exitCode).to.equal(0);
  });

  it('distinguishes allowed origins and hosts from others, and keeps its port', async () => {
    const origins = ['--cors-origin', 'http://a.example, http://b.example', '--cors', 'http://c'];
    const args = [...origins, '--allowed-hosts', 'box.example'];
    const served = await serve(['rene-tiny', '-m', 'rene-tiny', ...args, '--api-key', 'k']);
    const origin = 'http://b.example';
    const health = await fetch(`${served.url}/health`, { headers: { origin } });
    expect(health.headers.get('access-control-allow-origin')).to.equal(origin);
    expect((await fetch(`${served.url}/v1/models`)).status, 'no key').to.equal(401);
    // A second server reports at once that the port is in use.
    const { port } = new URL(served.url);
    const second = await runInProcess(['serve', '--port', port, '/nowhere']);
    expect(second).to.deep.include({ code: 1, stdout: '' });
    expect(second.stderr).to.match(/^error: port \d+ of 127\.0\.0\.1 is in use: .* --port\n$/);
    served.interrupt();
    expect(await served.exitCode).to.equal(0);
  });

  it('ends even if a response is not read', async () => {
    const { url, interrupt, exitCode } = await serve(['--grace', '1']);
    const prompt = Array(2000).fill(5);
    const body = { prompt, echo: true, logprobs: 20, n: 12, max_tokens: 0 };
    const response = await new Promise<IncomingMessage>((resolve) => {
      const headers = { 'content-type': 'application/json' };
      request(`${url}/v1/completions`, { method: 'POST', headers }, resolve).end(
        JSON.stringify(body),
      );
    });
    response.on('error', () => {});
    interrupt();
    expect(await exitCode).to.equal(0);
    response.destroy();
  });

  it('reports invalid options', async () => {
    const two = await runInProcess(['serve', 'rene-tiny', '-m', 'other']);
    expect(two).to.deep.include({ code: 2, stdout: '' });
    expect(two.stderr).to.match(/expected one model, found 'rene-tiny' and --model 'other'/);
    const wrong = await runInProcess(['serve', '--port', '70000']);
    expect(wrong.code).to.equal(2);
    expect(wrong.stderr).to.include('0 to 65535');
  });
});
