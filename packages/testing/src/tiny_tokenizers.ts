// Two small tokenizers as the JSON of a tokenizer.json.

/** A byte-level tokenizer with one token per byte, two merges and two special tokens. */
export function tinyByteLevelJson(): object {
  const letters = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
  const others = Array.from({ length: 163 }, (_, i) => String.fromCodePoint(0xa1 + i));
  const alphabet = [...letters, ...others].filter((c) => c !== '\u00ad');
  const vocab = Object.fromEntries([...alphabet, 'th', 'the'].map((token, id) => [token, id]));
  const size = Object.keys(vocab).length;
  return {
    version: '1.0',
    added_tokens: [
      { id: size, content: '<|endoftext|>', special: true },
      { id: size + 1, content: '<|padding|>', special: true },
      { id: size + 2, content: '[été]', special: false },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab, merges: ['t h', 'th e'] },
  };
}

/** A tokenizer with a mark before each word, and bytes as <0x41>. */
export function tinyMetaspaceJson(): object {
  const bytes = Array.from({ length: 256 }, (_, i) => hexToken(i));
  const tokens = ['<unk>', ...bytes, '▁', 'a', 'b', '▁a', '▁ab'];
  return {
    added_tokens: [{ id: 0, content: '<unk>', special: true }],
    pre_tokenizer: null,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: ['▁ a', '▁a b'],
      byte_fallback: true,
      unk_token: '<unk>',
      fuse_unk: true,
    },
  };
}

function hexToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}
