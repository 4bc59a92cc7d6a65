import { carriedState, densenet, languageModel, resnet, vgg11, type LanguageModel } from './networks/networks.js';

/** Where the standard files are that no registry has. */
export interface Folders {
  readonly 'cifar-10'?: string | undefined;
  readonly 'cifar-100'?: string | undefined;
  readonly ptb?: string | undefined;
}

/** How much is done: as published; in about an hour on two cores; or just enough to see that it works. */
export type Scale = 'full' | 'small' | 'tiny';

type Setting = number | boolean;
type Options = Readonly<Record<string, string | number>>;

/** A contender of `adakit compare`. */
export interface Contender {
  readonly name: string;
  readonly optimizer: string;
  readonly set: Readonly<Record<string, Setting | readonly Setting[]>>;
}

/** One comparison: a network on data, with every optimizer. */
export interface Experiment {
  readonly name: string;
  readonly title: string;
  /** What is compared, of the validation. */
  readonly monitor: 'accuracy' | 'perplexity';
  /** Folder of {@link Folders} that it needs. */
  readonly needs?: keyof Folders;
  readonly options: Options;
  readonly contenders: readonly Contender[];
  /** The model file, for a seed. */
  readonly model: (seed: number) => Uint8Array;
}

/** The six, with the settings that all of an experiment share. */
function contenders(
  shared: { readonly lr: number; readonly weightDecay: number },
  eps: { readonly usual: number; readonly small: number },
  sgd: readonly number[],
): Contender[] {
  const { lr, weightDecay } = shared;
  const betas = { beta1: 0.9, beta2: 0.999 };
  const adaptive = { lr, ...betas, weightDecay };
  return [
    // Its own rates: that of the others is another quantity.
    { name: 'SGD', optimizer: 'sgd', set: { lr: sgd, momentum: 0.9, weightDecay } },
    { name: 'Adam', optimizer: 'adam', set: { ...adaptive, eps: eps.usual } },
    { name: 'AMSGrad', optimizer: 'adam', set: { ...adaptive, eps: eps.usual, amsgrad: true } },
    { name: 'AdaBound', optimizer: 'adabound', set: { ...adaptive, eps: eps.usual } },
    {
      name: 'AdaBelief',
      optimizer: 'adabelief',
      set: { ...adaptive, eps: eps.small, weightDecouple: false, rectify: false },
    },
    { name: 'AdaDiff', optimizer: 'adadiff', set: { ...adaptive, eps: eps.small } },
  ];
}

const PICTURES = contenders({ lr: 1e-3, weightDecay: 5e-4 }, { usual: 1e-8, small: 1e-8 }, [0.1, 1e-3]);
const WORDS = contenders({ lr: 1e-2, weightDecay: 1.2e-6 }, { usual: 1e-8, small: 1e-16 }, [1, 1e-2]);

/** Epochs, and steps of an epoch: the rate is a tenth after three quarters, as after 150 of 200 epochs. */
function length(epochs: number, stepsAnEpoch: number): Options {
  return { epochs, schedule: `step:every=${Math.round(0.75 * epochs) * stepsAnEpoch},factor=0.1` };
}

interface PictureData {
  readonly name: string;
  readonly channels: number;
  readonly classes: number;
  readonly options: Options;
  readonly needs?: keyof Folders;
}

function pictureExperiments(
  { name, channels, classes, options, needs }: PictureData,
  widths: { readonly resnet: number; readonly densenet: number; readonly vgg: number },
  blocks: { readonly resnet: readonly number[]; readonly densenet: readonly number[] },
): Experiment[] {
  const pictures = { channels, classes, size: 32 };
  const depths = { resnet: depth(blocks.resnet), densenet: depth(blocks.densenet, blocks.densenet.length - 1) };
  const networks: readonly (readonly [string, string, Experiment['model']])[] = [
    [
      `resnet${depths.resnet}`,
      `ResNet-${depths.resnet}`,
      (seed) => resnet({ ...pictures, width: widths.resnet }, blocks.resnet, seed),
    ],
    [
      `densenet${depths.densenet}`,
      `DenseNet-${depths.densenet}`,
      (seed) => densenet({ ...pictures, width: widths.densenet }, blocks.densenet, seed),
    ],
    ['vgg11', 'VGG-11', (seed) => vgg11({ ...pictures, width: widths.vgg }, seed)],
  ];
  return networks.map(([id, title, model]) => ({
    name: `${name}-${id}`,
    title: `${title} on ${name}`,
    monitor: 'accuracy',
    ...(needs && { needs }),
    options: { metrics: 'accuracy', ...options },
    contenders: PICTURES,
    model,
  }));
}

/** Layers with weights, as networks are named: two to a block, one at each end, and those between blocks. */
function depth(blocks: readonly number[], between = 0): number {
  return 2 + between + 2 * blocks.reduce((sum, count) => sum + count, 0);
}

function wordExperiments(
  name: string,
  options: Options,
  sizes: Pick<LanguageModel, 'vocabulary' | 'length' | 'embedding' | 'hidden' | 'carried'>,
  needs?: keyof Folders,
): Experiment[] {
  return [2, 3].map((layers) => ({
    name: `${name}-lstm${layers}`,
    title: `LSTM of ${layers} layers on ${name}`,
    monitor: 'perplexity',
    ...(needs && { needs }),
    options: {
      loss: sizes.carried ? 'cross-entropy:output=logits,classAxis=2' : 'cross-entropy:classAxis=2',
      metrics: 'perplexity',
      batch: 20,
      clip: 0.25,
      ...(sizes.carried && { carry: pairs(carriedState(layers)) }),
      ...options,
    },
    contenders: WORDS,
    model: (seed) => languageModel({ ...sizes, layers, dropout: 0.4 }, seed),
  }));
}

/** As `--carry` takes them. */
const pairs = (carried: Readonly<Record<string, string>>): string =>
  Object.entries(carried)
    .map((pair) => pair.join('='))
    .join(',');

const DEEP = { resnet: [3, 4, 6, 3], densenet: [6, 12, 24, 16] };

/** What is done at a scale. Options that name folders are added when they are known. */
export function experimentsAt(scale: Scale, folders: Folders): Experiment[] {
  switch (scale) {
    case 'full':
      return [
        ...([10, 100] as const).flatMap((classes) => {
          const needs = `cifar-${classes}` as const;
          const options = {
            data: `${needs}:${folders[needs] ?? ''}`,
            batch: 128,
            augment: 'crop:4,flip',
            ...length(200, 391),
          };
          const widths = { resnet: 64, densenet: 32, vgg: 64 };
          return pictureExperiments({ name: needs, channels: 3, classes, options, needs }, widths, DEEP);
        }),
        // 929,589 tokens in 20 parts of 46,479, each of 663 windows of 70.
        ...wordExperiments(
          'ptb',
          { data: `ptb:${folders.ptb ?? ''}`, ...length(200, 663) },
          { vocabulary: 10_000, length: 70, embedding: 400, hidden: 1150, carried: true },
          'ptb',
        ),
      ];
    case 'small': {
      const options = { data: 'fashion-mnist', take: 3200, val: 0.2, batch: 64, ...length(4, 40) };
      const data = { name: 'fashion-mnist', channels: 1, classes: 10, options };
      return [
        ...pictureExperiments(data, { resnet: 4, densenet: 4, vgg: 8 }, { ...DEEP, densenet: [2, 4, 6, 4] }),
        ...wordExperiments(
          'moby-dick',
          { data: 'words:moby-dick', vocabulary: 2000, take: 2000, val: 0.1, ...length(8, 90) },
          { vocabulary: 2000, length: 20, embedding: 32, hidden: 64, carried: false },
        ),
      ];
    }
    case 'tiny': {
      const options = { data: 'mnist', take: 32, batch: 16, val: 0.25, augment: 'crop:4,flip', ...length(1, 2) };
      const data = { name: 'mnist', channels: 1, classes: 10, options };
      return [
        ...pictureExperiments(
          data,
          { resnet: 2, densenet: 2, vgg: 2 },
          { resnet: [1, 1, 1, 1], densenet: [1, 1, 1, 1] },
        ),
        ...wordExperiments(
          'sentences',
          { data: 'words:sentences.txt', vocabulary: 8, val: 'words:valid.txt', ...length(1, 2) },
          { vocabulary: 8, length: 4, embedding: 3, hidden: 4, carried: true },
        ),
      ];
    }
  }
}
