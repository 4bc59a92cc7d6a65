import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, type Option } from 'commander';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { addCommands } from './commands.js';
import { errorText } from './error-text.js';
import { askLast, pointToHelp, prefixErrors, refuseEmpty } from './errors.js';
import { smallClassifier } from './testing/small-classifier.js';

function program(): { readonly command: Command; readonly printed: () => string } {
  let printed = '';
  const command = prefixErrors(new Command('adakit').exitOverride()).configureOutput({
    writeErr: (text) => (printed += text),
  });
  addCommands(command);
  pointToHelp(askLast(refuseEmpty(command)));
  return { command, printed: () => printed };
}

/** What is said of words on the command line. */
async function said(...words: readonly string[]): Promise<string> {
  const { command, printed } = program();
  try {
    await command.parseAsync(['node', 'adakit', ...words]);
  } catch (error) {
    return printed() === '' ? (errorText(error) ?? `unexpected: ${String(error)}`) : printed();
  }
  return 'nothing';
}

/** Every option with the words that lead to it. */
function allOptions(command: Command, path: readonly string[] = []): (readonly [readonly string[], Option])[] {
  return [
    ...command.options.map((option) => [path, option] as const),
    ...command.commands.flatMap((each) => allOptions(each, [...path, each.name()])),
  ];
}
const options = allOptions(program().command).flatMap(([path, option]) =>
  typeof option.long !== 'string' ? [] : [{ path, option, name: option.long }],
);
const named = options.map((each) => [`${each.path.join(' ')} ${each.name}`, each] as const);

test.each(named)('a slip in %s gets what was meant', async (_, { path, name, option }) => {
  const text = await said(...path, `${name}x`);
  expect(text).toContain(`adakit: unknown option '${name}x'\n`);
  if (!option.hidden) expect(text).toMatch(new RegExp(`\\(Did you mean .*${name}\\b`));
});

test.each(named.filter(([, { option }]) => option.required))('%s says that its value is missing', async (_, each) => {
  const { path, name, option } = each;
  expect(await said(...path, name)).toContain(`adakit: option '${option.flags}' argument missing\n`);
});

/** A value that each option refuses as soon as it is read, and why. `any`: what it is good for shows later. */
const refused: Readonly<Record<string, readonly [value: string, why: string] | 'any'>> = {
  '--accumulate': ['0', 'a whole number of at least 1 is needed.'],
  '--augment': ['turn', "there is no 'turn'; it takes crop:N, where N are pixels, and flip."],
  '--batch': ['1.5', 'a whole number of at least 1 is needed.'],
  '--carry': ['h0', 'input=output is needed, several separated by commas.'],
  '--case': ['decay', 'name={…} is needed, with options as JSON, such as decay={"weight_decay":0.1}.'],
  '--clip': ['-1', 'a number above 0 is needed.'],
  '--dim': ['batch', 'name=number is needed.'],
  '--directions': ['0', 'a whole number of at least 1 is needed.'],
  '--dtype': ['float16', 'Allowed choices are float32, float64.'],
  '--early-stop': ['0', 'a whole number of at least 1 is needed.'],
  '--ema': ['0', 'a number above 0 is needed.'],
  '--epochs': ['one', 'a whole number of at least 1 is needed.'],
  '--every': ['0', 'a whole number of at least 1 is needed.'],
  '--export-precision': ['half', 'it is file or float32.'],
  '--field': ['x', 'name=field is needed.'],
  '--fix': ['sr=fast', 'name=number is needed.'],
  '--freeze': 'any',
  '--freeze-before': 'any',
  '--from': ['0', 'a number above 0 is needed.'],
  '--hint': ['{', ''],
  '--jobs': ['0', 'a whole number of at least 1 is needed.'],
  '--keep': ['0', 'a whole number of at least 1 is needed.'],
  '--limit': ['soon', 'a whole number of at least 0 is needed.'],
  '--lr': ['0', 'a number above 0 is needed.'],
  '--memory-for': ['batch', 'name=number is needed.'],
  '--memory-limit': ['much', 'bytes are needed, such as 512MiB or 2GiB.'],
  '--plugin': 'any',
  '--precision': ['float64', 'it is float32, float16 or bfloat16.'],
  '--rounds': ['0', 'a whole number of at least 1 is needed.'],
  '--seed': ['-1', 'a whole number'],
  '--seeds': ['0', 'a whole number of at least 1 is needed.'],
  '--sequence': ['0', 'a whole number of at least 1 is needed.'],
  '--set': 'any',
  'state convert --set': ['lr', 'It must be <name>=<value>.'],
  '--slot': ['a', ''],
  '--start': ['1,b', 'two numbers are needed, as 0.5,-1.'],
  '--step': ['-1', 'a whole number of at least 0 is needed.'],
  '--steps': ['0', 'a whole number of at least 1'],
  '--steps-per-run': ['0', 'a whole number of at least 1 is needed.'],
  '--take': ['0', 'a whole number of at least 1 is needed.'],
  '--threads': ['100000', 'a whole number from 1 to 1024 is needed.'],
  '--to': ['high', 'a number above 0 is needed.'],
  '--tolerance': ['-1', 'It must be a number that is not negative.'],
  '--train': 'any',
  '--train-also': 'any',
  '--vocabulary': ['1', 'a whole number of at least 2 is needed.'],
  '--warmup': ['0', 'a whole number of at least 1 is needed.'],
  // Lists, whose entries are looked up later.
  '--backend': ['cpu,', 'a value between commas is empty.'],
  '--features': [',a', 'a value between commas is empty.'],
  '--need': ['cpu,,cuda', 'a value between commas is empty.'],
  '--optimizers': ['adam, ,sgd', 'a value between commas is empty.'],
};

test.each(named.filter(([, { option }]) => option.parseArg !== undefined))(
  '%s refuses another kind of value at once',
  async (place, { path, name, option }) => {
    const example = Object.hasOwn(refused, place) ? refused[place] : refused[name];
    expect(example, `a value that ${name} refuses`).toBeDefined();
    if (example === 'any') return;
    const [value, why] = example;
    const text = await said(...path, name, value);
    expect(text).toContain(`adakit: option '${option.flags}' argument '${value}' is invalid. ${why}`);
    expect(text).toContain(`(adakit ${path.join(' ')} --help lists what it takes)`);
  },
);

const before = process.cwd();
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-mistakes-'));
  writeFileSync(join(folder, 'net.onnx'), smallClassifier(4, 3));
  writeFileSync(join(folder, 'blank.txt'), '\n');
  writeFileSync(join(folder, 't.csv'), `a,b,kind\n${'1,2,x\n2,1,y\n'.repeat(4)}`);
  process.chdir(folder);
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

const train = 'train net.onnx --data iris --val none';
const exported = 'export net.onnx --out art';
describe('options that say nothing together, or name what is not there', () => {
  it.each([
    // What another option is needed for, or excludes.
    [`${train} --resume`, '--resume goes on from checkpoints; say where they are with --checkpoint DIR'],
    [`${train} --every 3`, '--every says when to save; say where with --checkpoint DIR'],
    [`${train} --keep 2`, '--keep says how many checkpoints stay; say where with --checkpoint DIR'],
    [`${train} --early-stop 2`, '--early-stop needs validation data, and --val is none'],
    [`${train} --metrics accuracy`, '--metrics needs validation data, and --val is none'],
    [`${train} --monitor accuracy`, '--monitor needs validation data, and --val is none'],
    [`${train} --schedule plateau`, '--schedule plateau follows the validation, and --val is none'],
    [`${train} --steps 3 --warmup 5 --schedule cosine`, '--warmup 5 is as long as the run, which has 3 steps'],
    [`${train} --target kind`, '--target names a column of a table, and iris is none'],
    [`${train} --features a,b`, '--features names columns of a table, and iris is none'],
    [`${train} --sequence 8`, '--sequence is for a text, and iris is none'],
    [`${train} --vocabulary 8`, '--vocabulary is for a text by words, and iris is none'],
    [
      `${train} --memory-for batch=8`,
      '--memory-for says which sizes a limit is for; say the limit with --memory-limit SIZE',
    ],
    [`${exported} --memory-for batch=8`, '--memory-for says which sizes a limit is for'],
    [
      'train net.onnx --data t.csv --features a',
      '--features names what is learnt from; say what is learnt with --target COLUMN',
    ],
    ['train net.onnx --data iris --val 1.5', '--val 1.5: a share is between 0 and 1, such as 0.1'],
    ['lr-find net.onnx --data iris --from 1 --to 0.1', '--from 1 must be below --to 0.1'],
    ['lr-find net.onnx --data iris --set lr=1', '--set lr is what is looked for; leave it out'],
    ['compare net.onnx --data iris', 'which optimizers? Give --optimizers a,b,… or --config FILE'],
    ['compare net.onnx --data iris --optimizers adam --seed none', '--seed none: a comparison goes from seed to seed'],
    ['compare net.onnx --data iris --optimizers adam,adam', "there are two contenders 'adam'; give one another name"],
    [`${exported} --precision float16`, 'artifacts cannot train in float16'],
    ['train net.onnx --dta iris', "unknown option '--dta'\n(Did you mean --data?)"],
    ['train net.onnx', "required option '--data <spec>' not specified"],
    ['train net.onnx more --data iris', "too many arguments for 'train'. Expected 1 argument but got 2."],
    ['state convert a', "missing required argument 'out'"],
    [`${train} --out net.onnx`, '--out net.onnx is the model that is trained; name another file'],
    ['state convert a b --save-mapping map.json', '--save-mapping writes what --like derives; give --like FILE'],
    ['state to-torch net.onnx ./net.onnx', './net.onnx is the file that is converted; name another one'],
    ['state from-torch net.onnx net.onnx', 'net.onnx is the file that is converted; name another one'],
    [
      'state convert a b --like a --save-mapping none/map.json',
      '--save-mapping none/map.json: there is no folder none',
    ],
    ['train net.onnx --data text:blank.txt', 'text:blank.txt: the text is empty'],
    ['verify-plugin .', 'there is no '],
    // Names.
    [`${train} --optimizer adm`, "there is no optimizer 'adm', did you mean 'adam'?"],
    [`${train} --optimizer sgd`, 'sgd: lr is required; give it with --set lr=NUMBER'],
    [`${exported} --optimizer sgd`, 'sgd: lr is required; give it with --set lr=NUMBER'],
    [`${train} --set l=1`, 'adam: unknown hyperparameter "l", did you mean "lr"?'],
    [`${train} --set lr`, "--set: 'lr' is not of the form name=value"],
    [`${train} --set lr=abc`, 'adam: lr must be a finite number, got "abc"'],
    [`${train} --set beta1=2`, 'adam: beta1 must be >= 0 and < 1, got 2'],
    [`${train} --ema 1.5`, 'ema: decay must be >= 0 and < 1, got 1.5'],
    [`${train} --loss crossentropy`, "--loss: there is no 'crossentropy', did you mean 'cross-entropy'?"],
    [
      `${train} --loss cross-entropy:classAxs=1`,
      "--loss cross-entropy: there is no 'classAxs', did you mean 'classAxis'?",
    ],
    [`${train} --loss cross-entropy:classAxis=x`, "--loss cross-entropy: classAxis must be a number, got 'x'"],
    [
      `${train} --steps 30 --schedule warmup-stable-decay:warmup=10,decay=20`,
      '--schedule warmup-stable-decay: warmup=10 and decay=20 leave nothing of 30 steps between them',
    ],
    [`${train} --schedule cosin`, "--schedule: there is no 'cosin', did you mean 'cosine'?"],
    [`${train} --schedule cosine:flor=1`, "--schedule cosine: there is no 'flor', did you mean 'floor'?"],
    [`${train} --schedule step`, '--schedule step: every is missing; write --schedule step:every=NUMBER'],
    [`${train} --field z=input`, "--field: the model has no input or target 'z', did you mean 'x'?"],
    [
      `${train} --augment flip`,
      '--augment is for pictures, and the model has no input [batch, channels, height, width]',
    ],
    [`${train} --train fc3`, "train: the model has no float initializer 'fc3'"],
    [`${train} --dim bach=3`, "net.onnx has no free dimension 'bach' (did you mean 'batch'?)"],
    [`${train} --carry z=logits`, "--carry z=logits: the model has no input 'z', did you mean 'x'?"],
    [`${train} --plot loss.gif`, '--plot loss.gif: plots are .svg or .png files'],
    [`${train} --backend foo`, 'none of the execution providers can run the model. Tried:\n  foo: not in this build'],
    [
      'train net.onnx --data iris --val 0.2 --metrics acuracy',
      "--metrics: there is no 'acuracy', did you mean 'accuracy'?",
    ],
    ['train net.onnx --data iris --val 0.2 --monitor los', "there is no metric 'los' to monitor, did you mean 'loss'?"],
    ['train net.onnx --data iriss', "there are no data 'iriss', did you mean 'iris'?"],
    ['train net.onnx --data t.csv', 'which column of t.csv is to be learnt? Say --target with one of a, b, kind'],
    ['train net.onnx --data t.csv --target knd', "t.csv has no column 'knd', did you mean 'kind'?"],
    ['train nett.onnx --data iris', 'no file at nett.onnx; check the path'],
    [`${exported} --target cdua`, "--target: there is no 'cdua', did you mean 'cpu'?"],
    ['landscape --optimizers adm', "there is no optimizer 'adm', did you mean 'adam'?"],
    ['landscape --optimizers adam --function rosenbrok', "did you mean 'rosenbrock'?"],
    ['optimizers adm', "there is no optimizer 'adm', did you mean 'adam'?"],
    ['gradcheck net.onnx --loss zz', "'zz' is neither a loss (mse, cross-entropy, sum, FILE.onnx) nor an output"],
    ['replay t.csv -b tfjs-cpuu', 'unknown backend "tfjs-cpuu", did you mean "tfjs-cpu"?'],
    ['replay gone.json', 'cannot read gone.json: there is no such file'],
    ['replay .', 'cannot read .: it is a folder'],
    ['record a.py:B --name b --python no-such-python', '--python: no-such-python cannot be run'],
    ['completion bsh', "there is no completion for 'bsh', did you mean 'bash'?"],
    ['state conver', "unknown command 'conver'\n(Did you mean convert?)"],
    ['help trian', "unknown command 'trian'\n(Did you mean train?)"],
    ['trian', "unknown command 'trian'\n(Did you mean train?)"],
  ])('adakit %s', async (line, message) => {
    const text = await said(...line.split(' '));
    expect(text).toMatch(/^adakit: /);
    expect(text).toContain(message);
  });
});

/** Variables of a shell that are not set. */
it.each([
  [['train', 'net.onnx', '--data', 'iris', '--out', ''], "option '--out <file>' argument is empty"],
  [['train', 'net.onnx', '--data', 'iris', '--checkpoint', ''], "option '--checkpoint <dir>' argument is empty"],
  [['export', 'net.onnx', '--out', ''], "option '--out <dir>' argument is empty"],
  [['check', ''], "argument 'model' is empty"],
  [['state', 'verify', 'a.safetensors', ''], "argument 'file' is empty"],
])('an empty value is none: %j', async (words, message) => {
  expect(await said(...words)).toContain(`adakit: ${message}\n(adakit ${words[0]}`);
});

it('help of every command has an example', () => {
  for (const each of program().command.commands.flatMap((one) => (one.commands.length > 0 ? one.commands : [one]))) {
    let text = '';
    each.configureOutput({ writeOut: (more) => (text += more) }).outputHelp();
    if (each.name() !== 'help') expect(text, each.name()).toMatch(/\nExamples?:\n {2}(adakit|source) /);
  }
});
