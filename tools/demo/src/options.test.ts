import { describe, expect, test } from 'vitest';
import { parseOptions, UsageError } from './options.js';

describe('the command line', () => {
  test('has defaults for everything', () => {
    const options = parseOptions([]);
    expect(options).toMatchObject({ help: false, json: false, seed: 1, out: 'out' });
    expect(options.contenders.map(({ name }) => name)).toEqual(['adadiff', 'adabelief', 'adabound', 'adam', 'sgd']);
  });

  test('selects optimizers', () => {
    const { contenders } = parseOptions(['--optimizer', 'sgd, adam']);
    expect(contenders.map(({ name }) => name)).toEqual(['adam', 'sgd']);
  });

  test.each([
    [['--steps', '0'], "--steps must be a whole number of at least 1, got '0'"],
    [['--steps', '1e3'], "got '1e3'"],
    [['--seed=-1'], "--seed must be a whole number of at least 0, got '-1'"],
    [['--optimizer', 'adamm'], "no optimizer 'adamm'; there are adadiff, adabelief, adabound, adam, sgd (did you mean"],
    [['--optimizer', ''], "there is no optimizer ''"],
    [['--epochs', '3'], '--epochs'],
    [['--steps'], '--steps'],
    [['train'], 'train'],
  ])('%j is refused, saying why', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError);
    expect(() => parseOptions(args)).toThrow(message);
  });
});
