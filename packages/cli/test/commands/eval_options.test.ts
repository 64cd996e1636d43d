// The options of `rene eval` in lm-eval's spellings, and the model that they select.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { Command, CommanderError } from 'commander';
import { refuseUnavailable } from '../../src/commands/eval_harness_options.js';
import {
  chooseModel,
  chosenBackend,
  chosenBatchSize,
  chosenDtype,
  countArg,
  deviceNotice,
} from '../../src/commands/eval_model_choice.js';
import { addEvalOptions, type EvalOptions } from '../../src/commands/eval_options.js';
import { UsageError } from '../../src/commands/report_error.js';

const folder = temporaryFolders();

function parse(...args: string[]): { command: Command; options: EvalOptions } {
  const command = addEvalOptions(new Command('eval').argument('[model]').allowExcessArguments());
  command.exitOverride().configureOutput({ writeErr: () => {} });
  command.parse(args, { from: 'user' });
  return { command, options: command.opts() };
}

const choose = (...args: string[]) => chooseModel([], parse(...args).options);

describe("lm-eval's options", () => {
  it('have short flags', () => {
    const long = [
      ...['--model', 'hf', '--tasks', 'copa,piqa', '--num_fewshot', '2', '--batch_size', '4'],
      ...['--limit', '0.5', '--output_path', 'out', '--use_cache', 'cache', '--log_samples'],
      ...['--write_out', '--model_args', 'pretrained=x'],
    ];
    const short = [
      ...['-m', 'hf', '-t', 'copa,piqa', '-f', '2', '-b', '4', '-L', '0.5', '-o', 'out'],
      ...['-c', 'cache', '-s', '-w', '-a', 'pretrained=x'],
    ];
    expect(parse(...short).options).to.deep.equal(parse(...long).options);
    expect(parse('-M', 'hf', '-v', 'DEBUG').options.model).to.equal('hf');
    expect(parse('-E', '{"copa": [3, 1]}').options.samples).to.deep.equal(
      new Map([['copa', [3, 1]]]),
    );
  });

  it('can be spelled with dashes, also mixed', () => {
    const { options } = parse(
      ...['--num-fewshot=3', '--model-args', 'a=1', '--model_args', 'b=2', '-a', 'c=3,d=4'],
      ...['--output-path=o', '--', 'x', '--num-fewshot'],
    );
    expect(options.num_fewshot).to.equal(3);
    expect(options.model_args).to.deep.equal({ a: '1', b: '2', c: '3', d: '4' });
    expect(options).not.to.have.any.keys('modelArgs', 'numFewshot');
  });

  it('parse seeds like the harness', () => {
    const seeds = (text: string) => parse('--seed', text).options.seed;
    expect(seeds('42')).to.deep.equal([42, 42, 42, 42]);
    expect(seeds('1,2,3')).to.deep.equal([1, 2, 3, 1234]);
    expect(seeds('0, None ,-8,52')).to.deep.equal([0, null, -8, 52]);
    expect(seeds('none')).to.deep.equal([null, null, null, null]);
    expect(parse().options.seed).to.equal(undefined);
    for (const wrong of ['', '1,2', '1,2,3,4,5', '1.5', 'x', '9007199254740993', '1,,2']) {
      expect(() => parse('--seed', wrong), wrong).to.throw(CommanderError);
    }
  });

  it('parse model_args as pairs and as JSON', () => {
    expect(parse('-a', '{"pretrained": "a,b", "max_length": 8}').options.model_args).to.deep.equal({
      pretrained: 'a,b',
      max_length: '8',
    });
    for (const wrong of [
      'pretrained',
      '=x',
      '{"a": ',
      '{}x',
      'pretrained=a,dtype=f32,pretrained=b',
    ]) {
      expect(() => parse('-a', wrong), wrong).to.throw(CommanderError);
    }
  });

  it('read samples from a file, but not together with a limit', () => {
    const path = join(folder(), 'samples.json');
    writeFileSync(path, '{"piqa": [0]}');
    expect(parse('--samples', path).options.samples?.get('piqa')).to.deep.equal([0]);
    for (const wrong of [
      '{"a": []}',
      '{"a": [-1]}',
      '{"a": [0.5]}',
      '{"a": 1}',
      '[0]',
      'none.json',
    ]) {
      expect(() => parse('--samples', wrong), wrong).to.throw(CommanderError);
    }
    expect(() => parse('--samples', path, '--limit', '1')).to.throw(CommanderError);
  });

  it('without effect here are accepted', () => {
    const { options } = parse(
      ...['--gen_kwargs', 'temperature=0', 'top_p=1', '--trust_remote_code', '--metadata', '{}'],
      ...['--confirm_run_unsafe_code', '--max_batch_size', '8', '--cache_requests', '-t', 'copa'],
      ...['--fewshot_as_multiturn', 'false'],
    );
    expect(options.tasks).to.deep.equal(['copa']);
    expect(options.cache_requests).to.equal('true');
    expect(() =>
      refuseUnavailable(parse('--fewshot_as_multiturn', 'False').command),
    ).not.to.throw();
  });

  it('that would change the results are refused by name', () => {
    for (const args of [
      ['--apply_chat_template'],
      ['--apply-chat-template', 'chatml'],
      ['--fewshot_as_multiturn'],
      ['--include_path', 'x'],
      ['--predict_only'],
      ['-x'],
      ['-C', 'x.yaml'],
      ['--wandb_args', 'project=x'],
      ['--hf_hub_log_args', 'a=b', 'c=d'],
      ['--check_integrity'],
    ]) {
      const { command } = parse(...args);
      expect(() => refuseUnavailable(command), args.join(' '))
        .to.throw(UsageError)
        .with.property('message')
        .that.matches(/^--\w+: not available here: /);
    }
    expect(() => parse('--bootstrap_iters', '3')).to.throw(CommanderError, /unknown option/);
  });
});

describe('chooseModel', () => {
  it('selects the model by argument, --model or --model_args', () => {
    expect(choose('-a', 'pretrained=x/y,revision=z')).to.deep.include({
      kind: 'rene_ssm',
      name: 'x/y',
    });
    expect(choose('-m', './vllm').name).to.equal('./vllm');
    expect(choose('-m', 'hf', '-a', 'pretrained=d')).to.deep.include({
      kind: 'rene_ssm',
      name: 'd',
    });
    expect(choose('-m', 'mamba_ssm').kind).to.equal('rene_ssm');
    expect(choose().name).to.equal(undefined);
    expect(chooseModel(['a'], parse('-a', 'pretrained=a').options).name).to.equal('a');
    expect(() => chooseModel(['a', 'b'], parse().options)).to.throw(/found a and b/);
    expect(() => chooseModel(['a'], parse('-m', 'b').options)).to.throw(UsageError);
    expect(() => choose('-a', 'pretrained=a,model=b')).to.throw(UsageError);
  });

  it('refuses unknown keys of --model_args, for every kind', () => {
    const cases: [string[], string][] = [
      [['-a', 'pretraind=/no/such,dtyp=int8'], "'pretraind' for rene_ssm"],
      [['-a', 'pretrained=x,Dtype=int8'], "'Dtype' for rene_ssm"],
      [['-a', 'base_url=http://x'], "'base_url' for rene_ssm"],
      [['-a', 'toString=1'], "'toString' for rene_ssm"],
      [['-m', 'local-completions', '-a', 'model=x,base_ur=y'], "'base_ur' for local-completions"],
      [['-m', 'local-completions', '-a', 'model=x,dtype=f32'], "'dtype' for local-completions"],
      [['-m', 'transformers.js', '-a', 'pretrained=x,dtypes=q8'], "'dtypes' for transformers.js"],
    ];
    for (const [args, message] of cases) {
      expect(() => choose(...args), message)
        .to.throw(UsageError)
        .with.property('message')
        .that.includes(`--model_args: unknown key ${message}; expected `);
    }
  });

  it("accepts the harness's irrelevant keys with values of the same meaning", () => {
    const accepted =
      'pretrained=x,trust_remote_code=True,use_fast_tokenizer=False,parallelize=True,device_map=auto,' +
      'add_bos_token=False,softmax_dtype=float32,max_batch_size=64,logits_cache=True,is_hf=True';
    expect(choose('-a', accepted).name).to.equal('x');
    const server =
      'model=x,base_url=y,tokenized_requests=True,tokenizer_backend=None,max_retries=9';
    expect(() => choose('-m', 'local-completions', '-a', server)).to.throw(/tokenizer_backend/);
    for (const wrong of ['add_bos_token=True', 'softmax_dtype=bfloat16', 'subfolder=x']) {
      const [key] = wrong.split('=');
      expect(() => choose('-a', `pretrained=x,${wrong}`)).to.throw(
        UsageError,
        new RegExp(`--model_args: ${key}: expected .*, found `),
      );
    }
  });

  it("refuses the harness's other model kinds by name", () => {
    for (const kind of ['vllm', 'sglang', 'gguf', 'openai-chat-completions', 'anthropic']) {
      expect(() => choose('--model', kind)).to.throw(
        UsageError,
        `lm-eval's ${kind}, which is not available here`,
      );
    }
  });

  it("parses numbers and formats in the harness's spelling", () => {
    const { options } = parse();
    expect(chosenDtype(options, { dtype: 'bfloat16' })).to.equal('bf16');
    expect(() => chosenDtype(options, { dtype: 'int3' })).to.throw(UsageError, /dtype/);
    expect(chosenBackend(options, { backend: 'causal' })).to.equal('auto');
    expect(chosenBackend(options, { backend: 'simd' })).to.equal('simd');
    expect(chosenBackend(parse('--backend', 'cpu').options, { backend: 'simd' })).to.equal('cpu');
    expect(chosenBatchSize(options, { batch_size: '8' })).to.equal(8);
    expect(chosenBatchSize(options, { batch_size: 'auto:4' })).to.equal('auto');
    expect(chosenBatchSize(parse('-b', '2').options, { batch_size: '8' })).to.equal(2);
    expect(countArg({ max_length: 'None' }, 'max_length')).to.equal(undefined);
    for (const wrong of ['0', '-1', 'x', '1.5', '']) {
      expect(() => countArg({ max_length: wrong }, 'max_length')).to.throw(
        UsageError,
        /max_length/,
      );
    }
  });
});

describe('deviceNotice', () => {
  it('prints where the model runs if --device names another device', () => {
    for (const [device, backend] of [
      ['cuda', 'simd'],
      ['cuda:0', 'cpu'],
      ['mps', 'simd'],
      ['cpu', 'cuda'],
      ['cuda:1', 'cuda'],
    ] as const) {
      const where = backend === 'cuda' ? 'GPU' : 'CPU';
      expect(deviceNotice(device, backend)).to.equal(
        `--device ${device}: the model runs on the backend '${backend}' (${where}); --backend chooses another`,
      );
    }
    for (const [device, backend] of [
      [undefined, 'simd'],
      ['cpu', 'simd'],
      ['cpu:0', 'cpu'],
      ['cuda:0', 'cuda'],
      ['cuda', 'tensorflow'],
    ] as const) {
      expect(deviceNotice(device, backend)).to.equal(undefined);
    }
  });
});
