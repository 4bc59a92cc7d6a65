import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeAll, beforeEach, expect } from 'vitest';

interface Disposable {
  dispose(): unknown;
}

interface Clearance {
  /** Hands on what is to be disposed of after the test. */
  disposing<T extends Disposable>(made: T): T;
  /** Says that TensorFlow.js itself leaves so many tensors. */
  leaving(tensors: number): void;
}

/** Has every test of a file run on the cpu backend and leave as many tensors behind as it found. */
export function leaveNothing(): Clearance {
  let tensorsBefore: number;
  let disposables: Disposable[];

  beforeAll(async () => {
    // Those of an earlier file would be counted, and go with those of the first test.
    tf.disposeVariables();
    await tf.setBackend('cpu');
  });
  beforeEach(() => {
    tensorsBefore = tf.memory().numTensors;
    disposables = [];
    tf.engine().startScope();
  });
  afterEach(() => {
    for (const disposable of disposables) disposable.dispose();
    tf.disposeVariables();
    tf.engine().endScope();
    expect(tf.memory().numTensors, 'tensors left behind').toBe(tensorsBefore);
  });
  return {
    disposing(made) {
      disposables.push(made);
      return made;
    },
    leaving(tensors) {
      tensorsBefore += tensors;
    },
  };
}
