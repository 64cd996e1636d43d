// The packages' entry for browsers: no Node modules, and files that exist.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const packages = fileURLToPath(new URL('../../../', import.meta.url));

/** The files that a package replaces for browsers, by another file or by none. */
function browserMap(name: string): Map<string, string | false> {
  const { browser } = JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8'));
  return new Map(
    Object.entries<string | false>(browser).map(([from, to]) => [
      join(packages, name, from),
      to && join(packages, name, to),
    ]),
  );
}

const maps = new Map([...browserMap('layers'), ...browserMap('rene')]);

describe("the browser's entry", () => {
  it('imports no Node module, statically or with import()', () => {
    const seen = new Set<string>();
    const wrong: string[] = [];
    const follow = (path: string) => {
      const mapped = maps.get(path) ?? path;
      if (mapped === false || maps.get(path) === false || seen.has(mapped)) return;
      seen.add(mapped);
      const source = readFileSync(mapped, 'utf8');
      const imports = [
        ...source.matchAll(/^(?:import|export)\b[^;'"]*['"]([^'"]+)['"];/gm),
        ...source.matchAll(/\bimport\(['"]([^'"]+)['"]\)/g),
      ];
      for (const [, name = ''] of imports) {
        if (name.startsWith('node:') || name === 'undici') wrong.push(`${mapped} imports ${name}`);
        if (name.startsWith('.')) follow(join(dirname(mapped), name));
        if (name === '@rene-js/layers') follow(join(packages, 'layers/dist/src/index.js'));
      }
    };
    const { exports } = JSON.parse(readFileSync(join(packages, 'rene/package.json'), 'utf8'));
    const entries = [join('rene', exports['.'].default), 'layers/dist/src/backends/simd/index.js'];
    for (const entry of entries) follow(join(packages, entry));
    expect(wrong).to.deep.equal([]);
    expect(seen.size).to.be.above(100);
    expect([...seen].join()).to.contain('platform_browser.js');
  });

  it('maps to files that exist, with the exports of the files that they replace', async () => {
    for (const [from, to] of maps) {
      expect(existsSync(from), from).to.equal(true);
      if (to === false || to === undefined) continue;
      const [whole, part]: object[] = await Promise.all([import(from), import(to)]);
      if (from.includes('/rene/'))
        expect(Object.keys(part ?? {})).to.have.members(Object.keys(whole ?? {}));
    }
  });
});
