// lm-eval's other options and spellings. They are accepted if they have no effect here, else refused by name.
import { type Command, Option } from 'commander';
import { UsageError } from './report_error.js';

/** Accepted, so that commands written for lm-eval run unchanged. */
const IGNORED = [
  '--trust_remote_code [value]',
  '--max_batch_size <n>',
  '-v, --verbosity <level>',
  '--confirm_run_unsafe_code',
  // No task here generates text or takes metadata.
  '--gen_kwargs <args...>',
  '--metadata <args...>',
];

/** Options that are not available, and alternatives. */
const REFUSED: Readonly<Record<string, string>> = {
  '--apply_chat_template [template]': 'prompts are plain text, as for base models',
  '--fewshot_as_multiturn [value]': 'it needs a chat template, and prompts are plain text',
  '--include_path <dir>': 'give a custom task as --tasks FILE.jsonl',
  '-x, --predict_only': '--output_path DIR --log_samples writes the predictions',
  '--check_integrity': 'leave it out',
  '-C, --config <file>': 'give the options on the command line',
  '--wandb_args <args...>': '--output_path DIR writes the results',
  '--wandb_config_args <args...>': '--output_path DIR writes the results',
  '--trackio_args <args...>': '--output_path DIR writes the results',
  '--hf_hub_log_args <args...>': '--output_path DIR writes the results',
};

export function addHarnessOptions(command: Command): void {
  for (const flags of [...IGNORED, ...Object.keys(REFUSED)]) {
    command.addOption(new Option(flags).hideHelp());
  }
  acceptSpellings(command);
}

/** @throws UsageError for an lm-eval option that is not available here */
export function refuseUnavailable(command: Command): void {
  for (const [flags, instead] of Object.entries(REFUSED)) {
    const option = new Option(flags);
    const value: unknown = command.getOptionValue(option.attributeName());
    const isOff = typeof value === 'string' && /^(false|0|no)$/i.test(value);
    if (value === undefined || isOff) continue;
    throw new UsageError(`${option.long}: not available here: ${instead}`);
  }
}

/** lm-eval spells its options with underscores. Some versions have -M for --model. */
function acceptSpellings(command: Command): void {
  const spellings = new Map([['-M', '--model']]);
  for (const { long } of command.options) {
    if (long) spellings.set(`--${long.slice(2).replaceAll('_', '-')}`, long);
  }
  const parseOptions = command.parseOptions.bind(command);
  command.parseOptions = (args) => {
    const end = args.indexOf('--');
    return parseOptions(
      args.map((arg, i) => {
        if (end >= 0 && i > end) return arg;
        const [name = ''] = arg.split('=', 1);
        return (spellings.get(name) ?? name) + arg.slice(name.length);
      }),
    );
  };
}
