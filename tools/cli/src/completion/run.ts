import type { Command } from 'commander';
import { optimizerNames } from '../known-names.js';
import { UsageError } from '../usage-error.js';
import { shells } from './command.js';

/** Runs `adakit completion`. */
export async function printCompletion(name: string, program: Command): Promise<void> {
  const shell = shells.find((each) => each === name);
  if (shell !== undefined) {
    process.stdout.write(scripts[shell](wordsOf(program)));
    return;
  }
  const { suggestion } = await import('@adakit/core');
  throw new UsageError(`there is no completion for '${name}'${suggestion(name, shells)} (known: ${shells.join(', ')})`);
}

/** A command as it is typed after `adakit`, and what may follow it. */
interface Words {
  /** `''` is the program itself. */
  readonly path: string;
  readonly about: string;
  readonly commands: readonly string[];
  readonly options: readonly string[];
}

function wordsOf(command: Command, path = ''): Words[] {
  const own: Words = {
    path,
    about: command.summary() === '' ? command.description() : command.summary(),
    commands: command.commands.map((each) => each.name()),
    options: command.options.flatMap(({ long, hidden }) => (hidden || !long ? [] : [long])),
  };
  return [
    own,
    ...command.commands.flatMap((each) => wordsOf(each, path === '' ? each.name() : `${path} ${each.name()}`)),
  ];
}

const scripts: Readonly<Record<(typeof shells)[number], (words: readonly Words[]) => string>> = {
  bash,
  // zsh understands the functions of bash.
  zsh: (words) => `autoload -U +X bashcompinit && bashcompinit\n${bash(words)}`,
  fish,
};

function bash(words: readonly Words[]): string {
  const cases = words
    .map(
      ({ path, commands, options }) =>
        `    ${path === '' ? "''" : `'${path}'`}) words='${[...commands, ...options].join(' ')}' ;;`,
    )
    .join('\n');
  return `_adakit() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path='' words='' i
  case $before in
    --optimizer|--optimizers) COMPREPLY=($(compgen -W '${optimizerNames.join(' ')}' -- "$current")); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${path:+$path }\${COMP_WORDS[i]}" in
${words
  .filter(({ path }) => path !== '')
  .map(({ path }) => `      '${path}') path='${path}' ;;`)
  .join('\n')}
      *) break ;;
    esac
  done
  case $path in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current"))
}
complete -o filenames -F _adakit adakit
`;
}

function fish(words: readonly Words[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", String.raw`\'`)}'`;
  const lines = words.flatMap(({ path, commands, options }) => {
    const names = path.split(' ').filter((name) => name !== '');
    const condition =
      names.length === 0
        ? '__fish_use_subcommand'
        : names.map((name) => `__fish_seen_subcommand_from ${name}`).join('; and ');
    return [
      ...commands.map((name) => {
        const about = words.find((each) => each.path === [...names, name].join(' '))?.about ?? '';
        return `complete -c adakit -n ${quoted(condition)} -a ${name} -d ${quoted(about.split('\n')[0])}`;
      }),
      ...options.map((option) => {
        const values = ['--optimizer', '--optimizers'].includes(option)
          ? ` -x -a ${quoted(optimizerNames.join(' '))}`
          : '';
        return `complete -c adakit -n ${quoted(condition)} -l ${option.slice(2)}${values}`;
      }),
    ];
  });
  return `${lines.join('\n')}\n`;
}
