// Which requests belong to one client: by key where there are several, else by the network of the address.
import { Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import { network } from '../../src/serving/api_keys.js';
import { createServer } from '../../src/serving/server.js';
import { instantEngine } from './fake_engines.js';

describe('clients', () => {
  it('have an address, of which IPv6 has a /64 each', () => {
    for (const [address, expected] of [
      ['10.1.2.3', '10.1.2.3'],
      ['::ffff:10.1.2.3', '10.1.2.3'],
      ['2001:db8:0:7:1:2:3:4', '2001:db8:0:7::/64'],
      ['2001:DB8:0:7::9', '2001:db8:0:7::/64'],
      ['2001:db8::9', '2001:db8:0:0::/64'],
      ['::1', '0:0:0:0::/64'],
      ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ] as const) {
      expect(network(address), address).to.equal(expected);
    }
  });

  it('are told to the engine with each job', async () => {
    const tokenizer = await Tokenizer.fromPretrained('rene-tiny');
    const clientsOf = async (apiKey: string[], requests: { key: string; address: string }[]) => {
      const clients: (string | undefined)[] = [];
      const app = createServer({
        engine: instantEngine(({ client }) => clients.push(client)),
        tokenizer,
        modelName: 'm',
        vocabSize: tokenizer.vocabSize,
        apiKey,
      });
      for (const { key, address } of requests) {
        await app.inject({
          ...{ method: 'POST', url: '/v1/completions', remoteAddress: address },
          headers: { authorization: `Bearer ${key}` },
          payload: { prompt: [5], max_tokens: 1 },
        });
      }
      await app.close();
      return clients;
    };
    const [a, b, again] = await clientsOf(
      ['one', 'two'],
      [
        { key: 'one', address: '10.0.0.1' },
        { key: 'two', address: '10.0.0.1' },
        { key: 'one', address: '10.0.0.2' },
      ],
    );
    expect([a === b, a === again, a?.includes('one')]).to.deep.equal([false, true, false]);
    const addresses = ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1'];
    const found = await clientsOf(
      ['one'],
      addresses.map((address) => ({ key: 'one', address })),
    );
    expect(found).to.deep.equal([
      ...['2001:db8:0:0::/64', '2001:db8:0:0::/64', '2001:db8:0:1::/64'],
    ]);
  });
});
