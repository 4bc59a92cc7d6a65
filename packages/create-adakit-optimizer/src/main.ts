import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { packageFiles, packageName, ruleName, starts, type Choices, type Start } from './package-files.js';

const usage = `npm create adakit-optimizer NAME -- [options]

  NAME                  lower case, with hyphens: my-adam becomes adakit-optimizer-my-adam
  --scope @SCOPE        makes it @SCOPE/adakit-optimizer-NAME
  --title TEXT          what it does, in one line
  --start ${starts.join('|')}   what the rule is at first
  --license ID          SPDX identifier (default MIT)
  --author TEXT
  --repository URL
  --folder PATH         where it goes, in a folder that is there (default: the package's name)
  --yes                 takes defaults in place of questions
`;

const parse = (args: readonly string[]) =>
  parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      name: { type: 'string' },
      scope: { type: 'string' },
      title: { type: 'string' },
      start: { type: 'string' },
      license: { type: 'string' },
      author: { type: 'string' },
      repository: { type: 'string' },
      folder: { type: 'string' },
      yes: { type: 'boolean', short: 'y' },
      help: { type: 'boolean', short: 'h' },
    },
  });

/**
 * Asks what is not given, and writes the package.
 *
 * @param args of the command line
 * @returns what to print
 * @throws Error for options that are wrong, or a folder that is there or cannot be made
 */
export async function create(args: readonly string[]): Promise<string> {
  const { values, positionals } = parse(args);
  if (values.help) return usage;
  if (positionals.length > 1) throw new Error(`one name is taken, not ${positionals.length}: ${positionals.join(' ')}`);
  if (values.start !== undefined) startOf(values.start);
  if (!values.yes && !process.stdin.isTTY) {
    throw new Error('what is not given is asked for on a terminal, and this is none; --yes takes defaults instead');
  }
  const choices = await choose(values, values.name ?? positionals.at(0));
  const files = packageFiles(choices);
  const folder = resolve(values.folder ?? unscoped(choices));
  if (existsSync(folder)) throw new Error(`${folder} is there already`);
  // Alone: Node's own way with those above it (`recursive`) never ends where the system has no folder to make, as in /proc.
  mkdirSync(folder);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return whatIsNext(folder, choices);
}

/** What is given, and answers to questions for the rest; with `yes`, defaults. */
async function choose(given: ReturnType<typeof parse>['values'], named: string | undefined): Promise<Choices> {
  const questions = given.yes ? undefined : createInterface({ input: process.stdin, output: process.stdout });
  const ask = async (known: string | undefined, question: string, standard: string): Promise<string> => {
    if (known !== undefined || questions === undefined) return known ?? standard;
    return (await questions.question(`${question} (${standard}): `)) || standard;
  };
  const { scope } = given;
  try {
    const name = await ask(named, 'Name', 'my-adam');
    const title = await ask(given.title, 'What it does, in one line', `${name}: a variant of Adam`);
    const start = startOf(await ask(given.start, `Start from ${starts.join(', ')}`, 'adam'));
    const license = await ask(given.license, 'License', 'MIT');
    const author = await ask(given.author, 'Author', 'its authors');
    const home = `https://github.com/OWNER/${unscoped({ name, scope })}`;
    const repository = await ask(given.repository, 'Repository', home);
    if (scope !== undefined && !/^@[a-z0-9][a-z0-9._-]*$/.test(scope)) {
      throw new Error(`--scope: "${scope}" is no scope, such as @someone`);
    }
    if (!URL.canParse(repository)) {
      throw new Error(`--repository: "${repository}" is no URL, such as https://github.com/someone/my-adam`);
    }
    return { name, scope, title, start, license, author, repository, adakit: ownVersion() };
  } finally {
    questions?.close();
  }
}

const unscoped = (choices: Pick<Choices, 'name' | 'scope'>): string => packageName(choices).replace(/^@.*\//, '');

function whatIsNext(folder: string, { name, start, license }: Choices): string {
  const next = [
    [`src/${name}.ts`, 'the rule and its formula; then reference/, README.md, "adakit" in package.json'],
    ...(start === 'wrapper'
      ? []
      : [
          ['npm run record', 'records what reference/reference.py does (Python with torch)'],
          ['npm run verify', 'all checks, and a badge for README.md'],
        ]),
    ...(license === 'MIT' ? [] : [['LICENSE', `the text of ${license}, which is yours to put there`]]),
  ];
  return `${folder} is there. What is next:

  cd ${folder} && npm install
  npm run build && npm test      # the rule ${ruleName(name)} passes as it is
${next.map(([what, why]) => `  ${what.padEnd(30)} ${why}\n`).join('')}`;
}

function startOf(text: string): Start {
  const start = starts.find((each) => each === text);
  if (start === undefined) throw new Error(`--start: there is no '${text}' (${starts.join(', ')})`);
  return start;
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
