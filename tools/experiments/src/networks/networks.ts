import type { Value } from '@adakit/onnx';
import { Builder } from './builder.js';

/** What pictures a network takes, how wide it is, and how many classes it tells apart. */
export interface PictureNetwork {
  readonly channels: number;
  /** Height and width: a multiple of 32. */
  readonly size: number;
  readonly classes: number;
  /** Channels of the first stage (ResNet, VGG), or that each layer adds (DenseNet). */
  readonly width: number;
}

/**
 * A ResNet for small pictures: a convolution of 3×3 without pooling, four stages of basic blocks (He et al. 2015).
 *
 * @param blocks of each stage; [3, 4, 6, 3] is ResNet-34
 */
export function resnet(
  { channels, size, classes, width }: PictureNetwork,
  blocks: readonly number[],
  seed: number,
): Uint8Array {
  const b = new Builder('resnet', seed);
  let x = b.relu(b.normalization('bn1', b.convolution('conv1', b.pictures(channels, size), [channels, width]), width));
  let from = width;
  blocks.forEach((count, stage) => {
    const to = width * 2 ** stage;
    for (let block = 0; block < count; block++) {
      const name = `layer${stage + 1}.${block}`;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const conv1 = b.convolution(`${name}.conv1`, x, [from, to], 3, stride);
      const first = b.relu(b.normalization(`${name}.bn1`, conv1, to));
      const second = b.normalization(`${name}.bn2`, b.convolution(`${name}.conv2`, first, [to, to]), to);
      const beside =
        from === to
          ? x
          : b.normalization(`${name}.shortcut.1`, b.convolution(`${name}.shortcut.0`, x, [from, to], 1, stride), to);
      x = b.relu(b.node('Add', [second, beside]));
      from = to;
    }
  });
  return b.classifier(x, from, classes);
}

/**
 * A DenseNet with bottlenecks for small pictures (Huang et al. 2016).
 *
 * @param blocks layers of each block; [6, 12, 24, 16] is DenseNet-121
 */
export function densenet(
  { channels, size, classes, width: growth }: PictureNetwork,
  blocks: readonly number[],
  seed: number,
): Uint8Array {
  const b = new Builder('densenet', seed);
  let from = 2 * growth;
  let x = b.convolution('conv1', b.pictures(channels, size), [channels, from]);
  blocks.forEach((count, block) => {
    for (let layer = 0; layer < count; layer++) {
      const name = `dense${block + 1}.${layer}`;
      const first = b.relu(b.normalization(`${name}.bn1`, x, from));
      const narrow = b.convolution(`${name}.conv1`, first, [from, 4 * growth], 1);
      const second = b.relu(b.normalization(`${name}.bn2`, narrow, 4 * growth));
      x = b.node('Concat', [b.convolution(`${name}.conv2`, second, [4 * growth, growth]), x], { axis: 1 });
      from += growth;
    }
    if (block === blocks.length - 1) return;
    const name = `transition${block + 1}`;
    const to = Math.floor(from / 2);
    const narrow = b.convolution(`${name}.conv`, b.relu(b.normalization(`${name}.bn`, x, from)), [from, to], 1);
    x = b.node('AveragePool', [narrow], { kernel_shape: [2, 2], strides: [2, 2] });
    from = to;
  });
  return b.classifier(b.relu(b.normalization('bn', x, from)), from, classes);
}

/** VGG-11 with batch normalization and one dense layer (Simonyan and Zisserman 2014, as it is used on small pictures). */
export function vgg11({ channels, size, classes, width }: PictureNetwork, seed: number): Uint8Array {
  const b = new Builder('vgg11', seed);
  let x: Value = b.pictures(channels, size);
  let from = channels;
  // Multiples of the width, and where the picture is halved.
  ([1, 'pool', 2, 'pool', 4, 4, 'pool', 8, 8, 'pool', 8, 8, 'pool'] as const).forEach((layer, i) => {
    if (layer === 'pool') {
      x = b.node('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
      return;
    }
    const to = layer * width;
    x = b.relu(b.normalization(`bn${i}`, b.convolution(`conv${i}`, x, [from, to]), to));
    from = to;
  });
  return b.classifier(x, from, classes);
}

/** Sizes of a language model. */
export interface LanguageModel {
  readonly vocabulary: number;
  /** Tokens at a time. */
  readonly length: number;
  readonly embedding: number;
  readonly hidden: number;
  /** LSTMs one after the other. */
  readonly layers: number;
  /** Of the embedding, and of what each LSTM gives. */
  readonly dropout: number;
  /** Whether the state of the LSTMs is carried from window to window, through inputs and outputs of {@link carriedState}. */
  readonly carried: boolean;
}

/** What is fed back at the next window: outputs by input. */
export const carriedState = (layers: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: layers }, (_, layer) => ['h', 'c'].map((part) => `lstm${layer}.${part}`))
      .flat()
      .map((input) => [input, `${input}_next`]),
  );

/** An LSTM language model: tokens [batch, length] → logits [batch, length, vocabulary]. */
export function languageModel(
  { vocabulary, length, embedding, hidden, layers, dropout, carried }: LanguageModel,
  seed: number,
): Uint8Array {
  const b = new Builder('language-model', seed);
  const embedded = b.node('Gather', [b.uniform('embedding.weight', [vocabulary, embedding], 0.1), b.tokens(length)]);
  let x = b.dropout(b.node('Transpose', [embedded], { perm: [1, 0, 2] }), dropout);
  let from = embedding;
  for (let layer = 0; layer < layers; layer++) {
    x = b.dropout(b.lstm(`lstm${layer}`, x, [from, hidden], carried), dropout);
    from = hidden;
  }
  const weight = b.uniform('decoder.weight', [hidden, vocabulary], 0.1);
  const logits = b.node('MatMul', [b.node('Transpose', [x], { perm: [1, 0, 2] }), weight]);
  return b.finish(b.node('Add', [logits, b.constant('decoder.bias', [vocabulary], 0)]));
}
