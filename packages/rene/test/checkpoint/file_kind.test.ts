// Files that are not checkpoints: the error names their type.
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import { bytesSource } from '../../src/checkpoint/byte_source.js';
import { openPyTorchBin } from '../../src/checkpoint/pytorch_bin.js';
import { openSafetensors, writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { CheckpointError } from '../../src/errors.js';

const KINDS: Readonly<Record<string, [content: string, kind: RegExp]>> = {
  'a Git LFS pointer': [
    'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n',
    /found a Git LFS pointer.*git lfs pull/,
  ],
  'a web page': ['\n<!DOCTYPE html>\n<title>Sign in</title>', /found a web page or XML/],
  "a bucket's error": [
    '<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
    /web page or XML/,
  ],
  GGUF: ['GGUF\u0003\u0000\u0000\u0000 and so on', /found a GGUF file.*safetensors/],
  JSON: ['{"error": "Repository not found"}', /found JSON/],
};

describe('files that are no checkpoints', () => {
  for (const [name, [content, kind]] of Object.entries(KINDS)) {
    it(`names the type: ${name}`, async () => {
      for (const open of [openSafetensors, openPyTorchBin]) {
        const source = bytesSource(Buffer.from(content), 'model.x');
        const { message } = await errorOf(CheckpointError, () => open(source));
        expect(message)
          .to.match(/^model\.x: expected a /)
          .and.match(kind);
      }
    });
  }

  it('a safetensors header of any length is not mistaken for another type', async () => {
    // The first byte of the length equals '<', '{' and so on.
    for (let extra = 0; extra < 300; extra++) {
      const parts: Uint8Array[] = [];
      await writeSafetensors([], { note: 'x'.repeat(extra) }, async (bytes) => {
        parts.push(bytes);
      });
      const file = await openSafetensors(bytesSource(Buffer.concat(parts), 'model.x'));
      expect(file.metadata.get('note')).to.have.length(extra);
    }
  });
});
