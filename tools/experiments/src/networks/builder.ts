import { elementCount, fillRandom, nameKey } from '@adakit/core';
import { emitterOf, float, Graph, modelFromGraph, symbol, Tensor, writeModel, type Value } from '@adakit/onnx';

/** What networks are built with: layers whose weights begin as PyTorch's, from a seed. */
export class Builder {
  readonly #graph: Graph;
  readonly #e;
  readonly #seed: number;
  /** Outputs that are fed at the next batch. */
  readonly #carried: Value[] = [];

  constructor(name: string, seed: number) {
    this.#graph = new Graph(name);
    this.#e = emitterOf(this.#graph);
    this.#seed = seed;
  }

  /** Pictures [batch, channels, height, width]. */
  pictures(channels: number, size: number): Value {
    return this.#graph.addInput('image', { dtype: 'float32', shape: [symbol('batch'), channels, size, size] });
  }

  /** Tokens [batch, length]. */
  tokens(length: number): Value {
    return this.#graph.addInput('tokens', { dtype: 'int64', shape: [symbol('batch'), length] });
  }

  node(op: string, inputs: readonly (Value | undefined)[], attributes: Record<string, number | number[]> = {}): Value {
    return this.#e.node(op, inputs, attributes);
  }

  /** Uniform in [−bound, bound). */
  uniform(name: string, dims: readonly number[], bound: number): Value {
    const data = new Float32Array(elementCount(dims));
    fillRandom('uniform', { seed: this.#seed, key: nameKey(name), step: 0, stream: 0 }, data);
    return this.#graph.addInitializer(
      name,
      Tensor.of(
        'float32',
        dims,
        data.map((value) => (2 * value - 1) * bound),
      ),
    );
  }

  constant(name: string, dims: readonly number[], value: number): Value {
    const size = elementCount(dims);
    return this.#graph.addInitializer(name, Tensor.of('float32', dims, new Float32Array(size).fill(value)));
  }

  /** A convolution without a bias, as before a normalization; its size is kept but for the stride. */
  convolution(name: string, x: Value, [from, to]: readonly [number, number], kernel = 3, stride = 1): Value {
    // PyTorch's default: √(1 / inputs of an output).
    const weight = this.uniform(`${name}.weight`, [to, from, kernel, kernel], Math.sqrt(1 / (from * kernel * kernel)));
    const pad = (kernel - 1) / 2;
    return this.node('Conv', [x, weight], { strides: [stride, stride], pads: [pad, pad, pad, pad] });
  }

  normalization(name: string, x: Value, channels: number): Value {
    const part = (suffix: string, value: number) => this.constant(`${name}.${suffix}`, [channels], value);
    const parts = [part('weight', 1), part('bias', 0), part('running_mean', 0), part('running_var', 1)];
    return this.#e.node('BatchNormalization', [x, ...parts], { epsilon: float(1e-5), momentum: float(0.9) });
  }

  /** Dropout, which does something in training alone. */
  dropout(x: Value, rate: number): Value {
    return rate === 0 ? x : this.#e.node('Dropout', [x, this.#e.scalar(rate, 'float32')]);
  }

  relu(x: Value): Value {
    return this.node('Relu', [x]);
  }

  dense(name: string, x: Value, [from, to]: readonly [number, number]): Value {
    const bound = Math.sqrt(1 / from);
    const weight = this.uniform(`${name}.weight`, [to, from], bound);
    return this.#e.node('Gemm', [x, weight, this.uniform(`${name}.bias`, [to], bound)], { transB: 1 });
  }

  /** The mean of each channel, and from there classes. */
  classifier(x: Value, channels: number, classes: number): Uint8Array {
    const features = this.node('Flatten', [this.node('GlobalAveragePool', [x])]);
    return this.finish(this.dense('fc', features, [channels, classes]));
  }

  /**
   * An LSTM over [length, batch, from]; gives [length, batch, to].
   *
   * @param carried whether it begins with the inputs `NAME.h` and `NAME.c` [1, batch, to], and what they become are outputs,
   * `NAME.h_next` and `NAME.c_next`; otherwise it begins from zero
   */
  lstm(name: string, x: Value, [from, to]: readonly [number, number], carried: boolean): Value {
    const bound = Math.sqrt(1 / to);
    const weight = this.uniform(`${name}.weight_ih`, [1, 4 * to, from], bound);
    const recurrent = this.uniform(`${name}.weight_hh`, [1, 4 * to, to], bound);
    const bias = this.uniform(`${name}.bias`, [1, 8 * to], bound);
    const state = carried ? ['h', 'c'].map((part) => this.#state(`${name}.${part}`, to)) : [];
    const inputs = [x, weight, recurrent, bias, ...(carried ? [undefined, ...state] : [])];
    const [y, ...next] = this.#e.nodes('LSTM', inputs, { hidden_size: to }, carried ? 3 : 1);
    next.forEach((value, i) => {
      this.#graph.rename(value, `${state[i].name}_next`);
      this.#carried.push(value);
    });
    return this.#e.node('Squeeze', [y, this.#e.int64([1])]);
  }

  #state(name: string, size: number): Value {
    return this.#graph.addInput(name, { dtype: 'float32', shape: [1, symbol('batch'), size] });
  }

  /** The model, whose first output are the logits. */
  finish(logits: Value): Uint8Array {
    this.#graph.rename(logits, 'logits');
    this.#graph.outputs.push(logits, ...this.#carried);
    return writeModel(modelFromGraph(this.#graph));
  }
}
