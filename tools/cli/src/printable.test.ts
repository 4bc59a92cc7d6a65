import fc from 'fast-check';
import { Graph, modelFromGraph, parseModel, writeModel, checkModel } from '@adakit/onnx';
import { describe, expect, test } from 'vitest';
import { formatCheck } from './check/run.js';
import { Progress } from './progress.js';
import { oneLine, printable } from './printable.js';
import { formatTable } from './table.js';

const escape = '\u001b[2J\u001b[1;1H';

describe('names cannot steer the terminal', () => {
  test('what terminals obey is escaped, all else stays', () => {
    expect(printable(`${escape}weight\u009b31m\u202e\u007f\r`)).toBe(
      '\\u001b[2J\\u001b[1;1Hweight\\u009b31m\\u202e\\u007f\\u000d',
    );
    expect(printable('Gewichte größer 重み 🙂\nnext line')).toBe('Gewichte größer 重み 🙂\nnext line');
    expect(oneLine('a\nforged: trainable')).toBe('a\\nforged: trainable');
  });

  test('JSON says the same afterwards', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        expect(JSON.parse(printable(JSON.stringify({ name }, null, 2)))).toEqual({ name });
      }),
    );
  });

  test('in tables and in progress', () => {
    expect(formatTable(['name'], [[`${escape}\nx`]], 1)[1]).toBe('\\u001b[2J\\u001b[1;1H\\nx');
    const written: string[] = [];
    let now = 0;
    const progress = new Progress({ write: (text) => written.push(text) }, () => now);
    now = 1e9;
    progress.update(escape);
    expect(written).toEqual(['\\u001b[2J\\u001b[1;1H\n']);
  });

  test('in what a check prints of a model', () => {
    const graph = new Graph('test');
    const x = graph.addInput(`x\n${escape}`, { dtype: 'float32', shape: [2] });
    graph.outputs.push(x);
    const check = checkModel(parseModel(writeModel(modelFromGraph(graph))));
    const text = formatCheck('m.onnx', check);
    expect(text).toContain('  x\\n\\u001b[2J\\u001b[1;1H  float32 [2]\n');
    expect(printable(text)).not.toContain('\u001b');
  });
});
