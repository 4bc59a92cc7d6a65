import { elementCount } from '@adakit/core';
import type { BatchTensor } from '@adakit/runner-onnx';

/** Numbers in [0, 1) (mulberry32), the same for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function tensor(dims: readonly number[], valueAt: (index: number) => number): BatchTensor {
  const size = elementCount(dims);
  return { data: Float32Array.from({ length: size }, (_, i) => valueAt(i)), dims, type: 'float32' };
}

/** Sums elements of one axis after another: what noise looks like that has passed a lens or a throat. */
function smoothNoise(length: number, width: number, random: () => number): Float32Array {
  const raw = Float32Array.from({ length: length + width }, () => random() * 2 - 1);
  return Float32Array.from({ length }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < width; k++) sum += raw[i + k];
    return sum / Math.sqrt(width);
  });
}

/**
 * Audio at a sampling rate in samples a second, in [−1, 1]: `voiced`, harmonics of a gliding pitch that come and go at
 * the pace of syllables, or else the hiss of a room.
 */
export function audio(samples: number, rate: number, voiced: boolean, seed: number): Float32Array {
  const random = generator(seed);
  const hiss = smoothNoise(samples, 3, random);
  if (!voiced) return hiss.map((value) => 0.02 * value);
  const pitch = 100 + 120 * random();
  const glide = 40 * (random() - 0.5);
  const strength = Array.from({ length: 12 }, (_, k) => (0.5 + random()) / (k + 1));
  return hiss.map((noise, i) => {
    const time = i / rate;
    const phase = 2 * Math.PI * (pitch * time + 0.5 * glide * time * time);
    const tone = strength.reduce((sum, weight, k) => sum + weight * Math.sin((k + 1) * phase), 0);
    return 0.1 * (1 + Math.sin(2 * Math.PI * 4 * time + seed)) * tone + 0.005 * noise;
  });
}

/**
 * Pictures as [pictures, channels, height, width], elements in [0, 1]: a bright background of one colour with dark bars
 * and dots, as writing on paper has, all of it a little soft.
 */
export function pictures(count: number, channels: number, height: number, width: number, seed: number): Float32Array {
  const random = generator(seed);
  const pixels = new Float32Array(count * channels * height * width);
  for (let n = 0; n < count; n++) {
    const paper = Array.from({ length: channels }, () => 0.7 + 0.3 * random());
    const strokes = Array.from({ length: 14 }, () => {
      const [x, y] = [random() * width, random() * height];
      return { x, y, w: 1 + random() * (width / 6), h: 1 + random() * (height / 4), ink: random() * 0.4 };
    });
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        let light = 1;
        for (const { x, y, w, h, ink } of strokes) {
          const outside = Math.max(Math.abs(column - x) - w / 2, Math.abs(row - y) - h / 2, 0);
          light = Math.min(light, ink + outside / 2);
        }
        for (let c = 0; c < channels; c++) {
          pixels[((n * channels + c) * height + row) * width + column] = Math.min(1, light) * paper[c];
        }
      }
    }
  }
  return pixels;
}

/** Letters of five columns and seven rows, a row a number whose bits are the columns. */
const LETTERS = [
  [17, 17, 17, 31, 17, 17, 17],
  [31, 16, 16, 30, 16, 16, 31],
  [16, 16, 16, 16, 16, 16, 31],
  [14, 17, 17, 17, 17, 17, 14],
  [31, 4, 4, 4, 4, 4, 4],
];

/** Dark lines of writing on light paper, [height, width] elements in [0, 1]. */
export function writing(height: number, width: number, scale: number, seed: number): Float32Array {
  const random = generator(seed);
  const pixels = new Float32Array(height * width).fill(0.95);
  for (let top = 2 * scale; top + 7 * scale < height; top += 14 * scale) {
    for (let left = 2 * scale; left + 5 * scale < width; left += 6 * scale) {
      const letter = LETTERS[Math.floor(random() * LETTERS.length)];
      for (let i = 0; i < 35 * scale * scale; i++) {
        const [row, column] = [Math.floor(i / (5 * scale)), i % (5 * scale)];
        const inked = (letter[Math.floor(row / scale)] >> (4 - Math.floor(column / scale))) & 1;
        if (inked === 1) pixels[(top + row) * width + left + column] = 0.1;
      }
    }
  }
  return pixels;
}
