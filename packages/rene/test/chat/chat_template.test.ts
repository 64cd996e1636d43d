// Chat templates render like Python's apply_chat_template (chat_templates.json, written by transformers
// 5.18).
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import type { ChatMessage } from '../../src/chat/chat_template.js';
import { TokenizerError } from '../../src/errors.js';
import { Tokenizer } from '../../src/tokenizer.js';

interface Reference {
  templates: Record<string, string>;
  tokens: Record<string, string>;
  tools: unknown[];
  cases: {
    template: string;
    messages: ChatMessage[];
    tools: boolean;
    addGenerationPrompt: boolean;
    text: string;
  }[];
}

/** Templates of the families' kinds, written for this test; texts by transformers 5.18. */
interface Families extends Pick<Reference, 'templates' | 'tokens' | 'tools'> {
  documents: unknown[];
  conversations: ChatMessage[][];
  cases: {
    template: string;
    conversation: number;
    tools: boolean;
    documents: boolean;
    addGenerationPrompt: boolean;
    text: string;
  }[];
}

const path = new URL('../../../test/chat/chat_templates.json', import.meta.url);
const reference: Reference = JSON.parse(readFileSync(path, 'utf8'));
const families: Families = JSON.parse(
  readFileSync(new URL('../../../test/chat/conversations.json', import.meta.url), 'utf8'),
);
const model = { type: 'BPE', vocab: { a: 0 }, merges: [] };

function tokenizerWith(config: object): Tokenizer {
  return Tokenizer.fromJson({ model }, config);
}

describe('chat templates', () => {
  const newFolder = temporaryFolders();

  for (const [name, template] of Object.entries(reference.templates)) {
    it(`${name}: renders the same text as Python`, () => {
      const tokenizer = tokenizerWith({ ...reference.tokens, chat_template: template });
      const cases = reference.cases.filter((each) => each.template === name);
      expect(cases.length).to.be.above(10);
      for (const { messages, addGenerationPrompt, tools, text } of cases) {
        const given = tools ? reference.tools : undefined;
        const options = { addGenerationPrompt, tools: given };
        expect(tokenizer.applyChatTemplate(messages, options)).to.equal(text);
      }
    });
  }

  it('conversations with system messages, tools, documents and several turns: the text that Python gives', () => {
    const { templates, tokens, tools, documents, conversations, cases } = families;
    expect(cases.length).to.be.above(50);
    for (const each of cases) {
      const { template, conversation, addGenerationPrompt, text } = each;
      const tokenizer = tokenizerWith({ ...tokens, chat_template: templates[template] });
      const options = {
        addGenerationPrompt,
        tools: each.tools ? tools : undefined,
        documents: each.documents ? documents : undefined,
      };
      const found = tokenizer.applyChatTemplate(conversations[conversation] ?? [], options);
      expect(found, `${template} ${conversation}`).to.equal(text);
    }
  });

  it('prints values, and takes undefined ones as empty, as Python does', () => {
    const text = (template: string) =>
      tokenizerWith({}).applyChatTemplate([{ role: 'user', content: null, n: 1.5 }], {
        chatTemplate: template,
      });
    for (const [template, expected] of [
      ['{% for x in messages[0].nothing %}a{% else %}none{% endfor %}', 'none'],
      ['{% for x in nothing if x %}a{% endfor %}', ''],
      ['{{ nothing | length }}{{ nothing | join }}[{{ nothing | trim }}]', '0[]'],
      ["{{ nothing | d('b') }}{{ messages | count }}", 'b1'],
      ['{{ messages[0].content }}{{ nothing }}{{ true }}{{ not true }}', 'NoneTrueFalse'],
      ["{{ 'role' in messages[0] }}{{ 2 == 3 }}{{ nothing is defined }}", 'TrueFalseFalse'],
      ['{{ messages[0] }}', "{'role': 'user', 'content': None, 'n': 1.5}"],
      [
        '{{ ["it\'s", "\\"q\\"", [true, none], "a\\nb"] }}',
        "[\"it's\", '\"q\"', [True, None], 'a\\nb']",
      ],
      ["{{ 'a' + 'b' }}{{ 1 + 2 }}{{ 3 / 2 }}{{ 4 / 2 }}", 'ab31.52.0'],
      ['{{ tools is none }}{{ documents is defined }}', 'TrueTrue'],
    ] as const) {
      expect(text(template), template).to.equal(expected);
    }
  });

  it('the tokenizer’s chat_template.jinja is read and overrides its config', async () => {
    const dir = `${await newFolder()}/chat`;
    await mkdir(dir);
    await writeFile(`${dir}/tokenizer.json`, JSON.stringify({ model }));
    await writeFile(`${dir}/tokenizer_config.json`, JSON.stringify({ chat_template: 'config' }));
    await writeFile(`${dir}/chat_template.jinja`, 'file {{ messages[0].content }}');
    const tokenizer = await Tokenizer.fromFile(`${dir}/tokenizer.json`);
    const messages = [{ role: 'user', content: 'hi' }];
    expect(tokenizer.applyChatTemplate(messages)).to.equal('file hi');
    expect(tokenizer.applyChatTemplate(messages, { chatTemplate: 'own' })).to.equal('own');
  });

  it('one of several templates is selected by name, or by tools', () => {
    const tokenizer = tokenizerWith({
      chat_template: [
        { name: 'default', template: 'plain' },
        { name: 'tool_use', template: 'tools' },
        { name: 'rag', template: 'rag' },
      ],
    });
    expect(tokenizer.applyChatTemplate([])).to.equal('plain');
    expect(tokenizer.applyChatTemplate([], { tools: [{}] })).to.equal('tools');
    expect(tokenizer.applyChatTemplate([], { chatTemplate: 'rag' })).to.equal('rag');
  });

  it('a template that refuses, and a missing one, are typed errors', () => {
    const strict = tokenizerWith({ chat_template: reference.templates.strict });
    const twice = [
      { role: 'user', content: 'a' },
      { role: 'user', content: 'b' },
    ];
    expect(() => strict.applyChatTemplate(twice)).to.throw(TokenizerError, 'roles must alternate');
    expect(() => tokenizerWith({}).applyChatTemplate(twice)).to.throw(
      TokenizerError,
      'no chat template',
    );
  });
});
